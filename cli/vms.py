"""`lineshaft vms`: launch, list, show, stop, start, enter, terminate."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.leases import PriceWord
from cli.listing import show, show_one
from cli.proposing import JsonObject, carried_out, propose, step

app = typer.Typer(help="Virtual machines: one machine for a team, for a time.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; of the key if left out.")]
VmId = Annotated[str, typer.Argument(help="The machine's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")]
COLUMNS = ("id", "name", "tenant", "pool", "machine", "accelerator", "state", "address", "expires_at")


@app.command("list")
def list_vms(context: typer.Context, tenant: Team = None, as_json: Json = False) -> None:
    """List machines, newest first."""
    with client_of(context) as client:
        show(client.get_list("/v1/vms", tenant=tenant), COLUMNS, as_json=as_json, empty="No machine.")


@app.command("show")
def show_vm(context: typer.Context, vm_id: VmId, as_json: Json = False) -> None:
    """Show a machine."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/vms/{vm_id}"), as_json=as_json)


@app.command()
def launch(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the team calls it.")],
    pool: Annotated[str, typer.Option(help="A pool in which machines are made.")],
    slots: Annotated[int, typer.Option(min=1, help="At least so many accelerators, or vCPUs.")] = 1,
    accelerator: Annotated[str, typer.Option("--gpu", "--accelerator", help="The type, such as L4.")] = "",
    seconds: Annotated[int, typer.Option(min=60, help="Then it is removed.")] = 3600,
    price_class: Annotated[PriceWord | None, typer.Option(help="On demand, spot, reserved.")] = None,
    tenant: Team = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Launch a machine: a plan of one step, priced and held against quota and budget."""
    arguments: JsonObject = {"name": name, "pool": pool, "slots": slots, "accelerator": accelerator, "seconds": seconds}
    wanted = step("vm", "vms.launch", f"launch {name} in {pool}", {**arguments, "price_class": price_class})
    with client_of(context) as client:
        carried_out(client, propose(client, tenant, f"Launch {name}", [wanted]), yes=yes, wait=True, as_json=as_json)


def switch(  # noqa: PLR0913  (options of a command)
    context: typer.Context, verb: str, vm_id: str, tenant: str | None, *, yes: bool, as_json: bool
) -> None:
    """Propose one of the tools over a machine."""
    wanted = step(verb, f"vms.{verb}", f"{verb} {vm_id}", {"vm_id": vm_id})
    with client_of(context) as client:
        proposed = propose(client, tenant, f"{verb.capitalize()} {vm_id}", [wanted])
        carried_out(client, proposed, yes=yes, wait=True, as_json=as_json)


@app.command()
def stop(context: typer.Context, vm_id: VmId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Switch a machine off; its disk stays, and its slots are charged on."""
    switch(context, "stop", vm_id, tenant, yes=yes, as_json=as_json)


@app.command()
def start(context: typer.Context, vm_id: VmId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Switch a machine on again."""
    switch(context, "start", vm_id, tenant, yes=yes, as_json=as_json)


@app.command()
def terminate(context: typer.Context, vm_id: VmId, tenant: Team = None, yes: Yes = False, as_json: Json = False) -> None:
    """Remove a machine with its disks."""
    switch(context, "terminate", vm_id, tenant, yes=yes, as_json=as_json)


@app.command()
def ssh(
    context: typer.Context,
    vm_id: VmId,
    key_name: Annotated[str, typer.Option("--key", help="The key pair's name in the pool's account.")],
    user: Annotated[str, typer.Option(help="The account on the machine.")] = "ec2-user",
    as_json: Json = False,
) -> None:
    """Let a key in for a minute, and say how to connect with its private half."""
    with client_of(context) as client:
        told = client.post(f"/v1/vms/{vm_id}/ssh", {"key_name": key_name, "user": user})
    if as_json:
        show_one(told, as_json=True)
        return
    out.print(f"for {told['seconds']} s: ssh {told['user']}@{told['address']}", markup=False)
