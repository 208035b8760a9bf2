"""`lineshaft teams`: list, show, create, change, close, keys."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one

app = typer.Typer(help="Teams, their limits and their keys.", no_args_is_help=True)
COLUMNS = ("name", "title", "organisation", "quota_slots", "budget", "created_at", "closed_at")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The team's name.")]
Slots = Annotated[int | None, typer.Option(min=0, help="Slots that the team may hold at one time.")]
Title = Annotated[str | None, typer.Option(help="What people call it, in any script.")]
Organisation = Annotated[str | None, typer.Option(help="The organisation that it belongs to; empty for none any more.")]
Revision = Annotated[int | None, typer.Option(help="The revision that you read: nothing is changed where it is not the present one.")]
Budget = Annotated[float | None, typer.Option(min=0, help="Money that the team may spend and reserve in all.")]


@app.command("list")
def list_teams(context: typer.Context, as_json: Json = False) -> None:
    """List teams."""
    with client_of(context) as client:
        show(client.get_list("/v1/tenants"), COLUMNS, as_json=as_json, empty="No team yet.")


@app.command()
def create(  # noqa: PLR0913 - each is a part of the team
    context: typer.Context,
    name: Name,
    slots: Slots = 2,
    budget: Budget = 20.0,
    title: Title = None,
    organisation: Organisation = None,
    as_json: Json = False,
) -> None:
    """Make a team."""
    body: JsonObject = {"name": name, "quota_slots": slots, "budget": str(budget), "title": title, "organisation": organisation}
    with client_of(context) as client:
        show_one(client.post("/v1/tenants", {key: value for key, value in body.items() if value is not None}), as_json=as_json)


@app.command()
def change(  # noqa: PLR0913 - each is a part of the change
    context: typer.Context,
    name: Name,
    slots: Slots = None,
    budget: Budget = None,
    title: Title = None,
    organisation: Organisation = None,
    revision: Revision = None,
    as_json: Json = False,
) -> None:
    """Change a team's limits and names."""
    money = None if budget is None else str(budget)
    body: JsonObject = {"quota_slots": slots, "budget": money, "title": title, "organisation": organisation, "revision": revision}
    with client_of(context) as client:
        show_one(client.patch(f"/v1/tenants/{name}", {key: value for key, value in body.items() if value is not None}), as_json=as_json)


@app.command("show")
def show_team(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a team."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/tenants/{name}"), as_json=as_json)


@app.command()
def close(context: typer.Context, name: Name) -> None:
    """Close a team: its keys end, its records remain. Refused while something of it is live."""
    with client_of(context) as client:
        client.delete(f"/v1/tenants/{name}")
    out.print(f"team {name} is closed")


@app.command()
def key(
    context: typer.Context,
    name: Name,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "key",
    role: Annotated[str, typer.Option(help="viewer, user, operator or approver.")] = "user",
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
