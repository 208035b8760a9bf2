"""`lineshaft leases`: ask, list, show, why, foresee, renew, release."""

from typing import Annotated, Literal

import typer

from cli.access import client_of
from cli.listing import show, show_one
from cli.proposing import JsonObject, carried_out, propose, step
from cli.waiting import foreseen, seconds_of, show_foreseen, show_why

app = typer.Typer(help="Leases: slots that belong to a team for a time.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
LeaseId = Annotated[str, typer.Argument(help="The lease's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
COLUMNS = (
    "id",
    "tenant",
    "pool",
    "slot_kind",
    "accelerator",
    "slots",
    "slots_wanted",
    "state",
    "waits_for",
    "purpose",
    "project",
    "granted_at",
    "expires_at",
)
Project = Annotated[str, typer.Option(help="The team's project that it is charged to.")]
Wait = Annotated[str, typer.Option("--wait", help="Wait so long for what is not free: 10m, 2h, 1d. Without it: be refused at once.")]
PriceWord = Literal["on_demand", "spot", "reserved", "capacity_block"]


@app.command("list")
def list_leases(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    tenant: Team = None,
    pool: Annotated[str, typer.Option(help="Only in this pool.")] = "",
    project: Annotated[str, typer.Option(help="Only of this project.")] = "",
    ended: Annotated[bool, typer.Option(help="Ended ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    as_json: Json = False,
) -> None:
    """List leases, newest first: those that hold slots, and those that wait for them with the reason."""
    with client_of(context) as client:
        rows = client.get_list("/v1/leases", tenant=tenant, active=not ended, pool=pool, project=project, limit=limit)
    show([with_wait(row) for row in rows], COLUMNS, as_json=as_json, empty="No lease.")


def with_wait(row: JsonObject) -> JsonObject:
    """A lease with the reason of its waiting as one text."""
    waiting = row.get("waiting")
    return {**row, "waits_for": str(waiting["reason"]) if row.get("state") == "queued" and isinstance(waiting, dict) else ""}


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
    wait: Wait = "",
    queue: Annotated[str, typer.Option(help="A queue of the quota tree; the team's own if left out.")] = "",
    priority: Annotated[int, typer.Option(min=-100, max=100, help="Higher comes first, among those that wait.")] = 0,
    preemptible: Annotated[bool, typer.Option("--preemptible", help="It may be ended early, for one of a higher priority.")] = False,
    or_pool: Annotated[list[str] | None, typer.Option("--or-pool", help="Another pool that will do; several times.")] = None,
    least: Annotated[int, typer.Option("--least", min=0, help="Begin with so few if not all are free.")] = 0,
    expected: Annotated[str, typer.Option(help="How long it will likely be held, if less than its term: 30m, 2h.")] = "",
    deadline: Annotated[str, typer.Option(help="When what runs on it must be done, from now: 6h, 2d.")] = "",
    tenant: Team = None,
    project: Project = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Ask for slots: a plan of one step, priced and held against quota and budget. With --wait, for slots that are not free yet."""
    arguments: JsonObject = {
        "slots": slots,
        "pool": pool,
        "or_pools": [*(or_pool or [])],
        "accelerator": accelerator,
        "seconds": seconds,
        "price_class": price_class,
        "topology": topology,
        "purpose": purpose,
        "wait_seconds": seconds_of(wait) or None,
        "queue": queue,
        "priority": priority or None,
        "preemptible": preemptible or None,
        "slots_min": least or None,
        "expected_seconds": seconds_of(expected) or None,
        "deadline_seconds": seconds_of(deadline) or None,
    }
    wanted = step("lease", "leases.acquire", f"lease {slots} slots", arguments)
    with client_of(context) as client:
        proposed = propose(client, tenant, f"Lease {slots} slots", [wanted], project)
        carried_out(client, proposed, yes=yes, wait=True, as_json=as_json)


@app.command()
def why(context: typer.Context, lease_id: LeaseId, as_json: Json = False) -> None:
    """Tell why a lease waits, when it should begin, and what would let it begin sooner."""
    with client_of(context) as client:
        show_why(client.get_object(f"/v1/leases/{lease_id}/why"), as_json=as_json)


@app.command()
def foresee(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    slots: Annotated[int, typer.Argument(min=1, help="How many.")],
    pool: Annotated[str, typer.Option(help="Where; the first pool if left out.")] = "",
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as H100.")] = "",
    seconds: Annotated[int, typer.Option(min=60, help="For how long at most.")] = 3600,
    price_class: Annotated[PriceWord | None, typer.Option(help="Where machines are made for it.")] = None,
    topology: Annotated[Literal["any", "node", "rack"], typer.Option(help="How near to each other.")] = "any",
    priority: Annotated[int, typer.Option(min=-100, max=100)] = 0,
    tenant: Team = None,
    as_json: Json = False,
) -> None:
    """Tell what would become of a lease if it were asked for now: will it begin, when, for how much. Nothing is done."""
    wanted: JsonObject = {"slots": slots, "pool": pool, "accelerator": accelerator, "seconds": seconds, "price_class": price_class}
    with client_of(context) as client:
        show_foreseen(foreseen(client, {**wanted, "topology": topology, "priority": priority, "tenant": tenant}), as_json=as_json)


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
    """Give a lease back, or withdraw one that waits; what still runs on it is ended."""
    wanted = step("release", "leases.release", f"release {lease_id}", {"lease_id": lease_id})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Release {lease_id}", [wanted]), yes=yes, wait=True, as_json=as_json)
