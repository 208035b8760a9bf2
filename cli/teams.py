"""`lineshaft teams`: list, create, change, keys."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import show, show_one

app = typer.Typer(help="Teams, their limits and their keys.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The team's name.")]
Slots = Annotated[int | None, typer.Option(min=0, help="Slots that the team may hold at one time.")]
Budget = Annotated[float | None, typer.Option(min=0, help="Money that the team may spend and reserve in all.")]


@app.command("list")
def list_teams(context: typer.Context, as_json: Json = False) -> None:
    """List teams."""
    with client_of(context) as client:
        show(client.get_list("/v1/tenants"), ("name", "quota_slots", "budget", "created_at"), as_json=as_json, empty="No team yet.")


@app.command()
def create(context: typer.Context, name: Name, slots: Slots = 2, budget: Budget = 20.0, as_json: Json = False) -> None:
    """Make a team."""
    with client_of(context) as client:
        show_one(client.post("/v1/tenants", {"name": name, "quota_slots": slots, "budget": str(budget)}), as_json=as_json)


@app.command()
def change(context: typer.Context, name: Name, slots: Slots = None, budget: Budget = None, as_json: Json = False) -> None:
    """Change a team's limits."""
    body = {"quota_slots": slots, "budget": None if budget is None else str(budget)}
    with client_of(context) as client:
        show_one(client.patch(f"/v1/tenants/{name}", {key: value for key, value in body.items() if value is not None}), as_json=as_json)


@app.command()
def key(
    context: typer.Context,
    name: Name,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    role: Annotated[str, typer.Option(help="viewer, user or approver.")] = "user",
) -> None:
    """Make a key of a team; its secret is printed once."""
    with client_of(context) as client:
        told = client.post(f"/v1/tenants/{name}/keys", {"name": label, "role": role})
    out.print(str(told["secret"]), markup=False)


@app.command()
def revoke(context: typer.Context, key_id: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """Revoke a key at once."""
    with client_of(context) as client:
        client.delete(f"/v1/keys/{key_id}")
    out.print(f"key {key_id} is revoked")
