"""`lineshaft leases`: ask, list, show, renew, release."""

from typing import Annotated, Literal

import typer

from cli.access import client_of
from cli.listing import show, show_one
from cli.proposing import JsonObject, carried_out, propose, step

app = typer.Typer(help="Leases: slots that belong to a team for a time.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
LeaseId = Annotated[str, typer.Argument(help="The lease's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
COLUMNS = ("id", "tenant", "pool", "slot_kind", "accelerator", "slots", "state", "purpose", "granted_at", "expires_at")
PriceWord = Literal["on_demand", "spot", "reserved", "capacity_block"]


@app.command("list")
def list_leases(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    tenant: Team = None,
    pool: Annotated[str, typer.Option(help="Only in this pool.")] = "",
    ended: Annotated[bool, typer.Option(help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    as_json: Json = False,
) -> None:
    """List leases, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/leases", tenant=tenant, active=not ended, pool=pool, limit=limit)
    show(rows, COLUMNS, as_json=as_json, empty="No lease.")


@app.command("show")
def show_lease(context: typer.Context, lease_id: LeaseId, as_json: Json = False) -> None:
    """Show a lease."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/leases/{lease_id}"), as_json=as_json)


@app.command()
def acquire(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    slots: Annotated[int, typer.Argument(min=1, help="How many.")],
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    seconds: Annotated[int, typer.Option(min=60, help="For how long at most.")] = 3600,
    price_class: Annotated[PriceWord | None, typer.Option(help="Where machines are made for it.")] = None,
    topology: Annotated[Literal["any", "node", "rack"], typer.Option(help="How near to each other.")] = "any",
    purpose: Annotated[str, typer.Option(help="What for.")] = "",
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Ask for slots: a plan of one step, priced and held against quota and budget."""
    arguments: JsonObject = {"slots": slots, "pool": pool, "accelerator": accelerator, "seconds": seconds, "price_class": price_class}
    wanted = step("lease", "leases.acquire", f"lease {slots} slots", {**arguments, "topology": topology, "purpose": purpose})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Lease {slots} slots", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def renew(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    lease_id: LeaseId,
    seconds: Annotated[int, typer.Option(min=60, help="By how long.")] = 3600,
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Lengthen a lease that is held."""
    wanted = step("renew", "leases.renew", f"lengthen {lease_id} by {seconds} s", {"lease_id": lease_id, "seconds": seconds})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Renew {lease_id}", [wanted]), yes=yes, wait=True, as_json=as_json)


@app.command()
def release(context: typer.Context, lease_id: LeaseId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Give a lease back; what still runs on it is ended."""
    wanted = step("release", "leases.release", f"release {lease_id}", {"lease_id": lease_id})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Release {lease_id}", [wanted]), yes=yes, wait=True, as_json=as_json)
