"""`lineshaft clusters`: make, list, show, scale, replace, release, reconcile, template."""

import json
from typing import Annotated, Literal

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out
from cli.leases import PriceWord
from cli.listing import show, show_one
from cli.proposing import JsonObject, carried_out, propose, step

app = typer.Typer(help="Clusters: machines that are made for a team, and what differs from the ledger.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
ClusterId = Annotated[str, typer.Argument(help="The cluster's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
Form = Annotated[Literal["fleet", "auto_scaling", "kubernetes", "hyperpod"], typer.Option(help="How machines are made.")]
COLUMNS = ("id", "tenant", "pool", "form", "machine", "count", "state", "expires_at", "note")
FINDINGS = ("found_at", "kind", "pool", "tenant", "cluster_id", "lease_id", "words", "outcome")


@app.command("list")
def list_clusters(
    context: typer.Context,
    tenant: Team = None,
    every: Annotated[bool, typer.Option("--all", help="Those that ended too.")] = False,
    as_json: Json = False,
) -> None:
    """List clusters, newest first. Those of leases are listed with the leases."""
    with client_of(context) as client:
        rows = client.get_list("/v1/clusters", tenant=tenant, standing="false" if every else "true")
    show(rows, COLUMNS, as_json=as_json, empty="No cluster.")


@app.command("show")
def show_cluster(context: typer.Context, cluster_id: ClusterId, as_json: Json = False) -> None:
    """Show a cluster with its machines, as they are now."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/clusters/{cluster_id}"), as_json=as_json)


@app.command()
def provision(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    machine: Annotated[str, typer.Argument(help="The type of machine, such as p5.48xlarge.")],
    pool: Annotated[str, typer.Option(help="A pool in which machines are made.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    count_max: Annotated[int, typer.Option(min=0, max=1000, help="It may be scaled to so many, which are reserved.")] = 0,
    hours: Annotated[float, typer.Option(min=0.1, max=720, help="Then it is released.")] = 1.0,
    form: Form = "fleet",
    alternative: Annotated[list[str] | None, typer.Option(help="Another type that will do; several times.")] = None,
    price_class: Annotated[PriceWord | None, typer.Option(help="On demand, spot, reserved, capacity block.")] = None,
    rack: Annotated[bool, typer.Option("--rack", help="Close together, with EFA where the machine has it.")] = False,
    reservation: Annotated[str, typer.Option(help="A capacity reservation or block to launch into.")] = "",
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make a cluster: a plan of one step, priced and held against the budget."""
    arguments: JsonObject = {
        "pool": pool,
        "machine": machine,
        "count": count,
        "count_max": count_max,
        "hours": hours,
        "form": form,
        "alternatives": [*(alternative or [])],
        "price_class": price_class,
        "rack": rack,
        "reservation_id": reservation,
    }
    change(context, "provision", f"Make {count} {machine} in {pool}", arguments, tenant=tenant, yes=yes, as_json=as_json)


def change(  # noqa: PLR0913  (options of a command)
    context: typer.Context, verb: str, title: str, arguments: JsonObject, *, tenant: str | None, yes: bool, as_json: bool
) -> None:
    """Propose one of the tools over clusters."""
    wanted = step(verb, f"clusters.{verb}", title, arguments)
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, title, [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def scale(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    cluster_id: ClusterId,
    count: Annotated[int, typer.Argument(min=1, max=1000, help="How many machines.")],
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Bring a cluster to so many machines. Fewer ends the newest ones, with what runs there."""
    arguments: JsonObject = {"cluster_id": cluster_id, "count": count}
    change(context, "scale", f"Scale {cluster_id} to {count}", arguments, tenant=tenant, yes=yes, as_json=as_json)


@app.command()
def replace(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    cluster_id: ClusterId,
    machine_id: Annotated[str, typer.Argument(help="The machine that goes.")],
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put another machine in the place of one."""
    arguments: JsonObject = {"cluster_id": cluster_id, "machine_id": machine_id}
    change(context, "replace", f"Replace {machine_id}", arguments, tenant=tenant, yes=yes, as_json=as_json)


@app.command()
def release(context: typer.Context, cluster_id: ClusterId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a cluster with all its machines, and charge what was used."""
    change(context, "release", f"Release {cluster_id}", {"cluster_id": cluster_id}, tenant=tenant, yes=yes, as_json=as_json)


@app.command()
def findings(context: typer.Context, tenant: Team = None, as_json: Json = False) -> None:
    """List what differs between what exists and what the ledger owns."""
    with client_of(context) as client:
        show(client.get_list("/v1/cluster-findings", tenant=tenant), FINDINGS, as_json=as_json, empty="Nothing differs.")


@app.command()
def reconcile(
    context: typer.Context,
    pool: Annotated[list[str] | None, typer.Option(help="Only this pool; several times.")] = None,
    as_json: Json = False,
) -> None:
    """Compare what exists with what the ledger owns, now. Strays are removed where the pool says `strays: remove`."""
    pools: list[JsonValue] = [*(pool or [])]
    with client_of(context) as client:
        found = client.post("/v1/cluster-findings/reconcile", {"pools": pools})
    show_one(found, as_json=as_json)


@app.command()
def template(
    context: typer.Context,
    pool: Annotated[str, typer.Argument(help="The pool.")],
    machine: Annotated[str, typer.Argument(help="The type of machine.")],
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    form: Form = "kubernetes",
) -> None:
    """Print the CloudFormation template of what is long-lived: network, bucket, roles, Batch's queue, EKS. Nothing is made."""
    with client_of(context) as client:
        told = client.post("/v1/clusters/template", {"pool": pool, "machine": machine, "count": count, "form": form})
    out.print_json(json.dumps(told))
