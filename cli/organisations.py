"""`lineshaft organisations` and `lineshaft projects`: what groups teams, and what belongs to them."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one

app = typer.Typer(help="Organisations that group teams: make, list, show, change.", no_args_is_help=True)
projects = typer.Typer(help="Projects of teams: make, list, show, change, remove.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="Its name: lower-case letters, digits and hyphens.")]
Title = Annotated[str, typer.Option(help="What people call it, in any script.")]
Revision = Annotated[int | None, typer.Option(help="The revision that you read: nothing is changed where it is not the present one.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="Of an administrator: which team.")]
TeamName = Annotated[str, typer.Argument(help="The team.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="After so many.")]
COLUMNS = ("name", "title", "revision", "created_at")


@app.command("list")
def list_organisations(context: typer.Context, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List organisations."""
    with client_of(context) as client:
        found = client.get_list("/v1/organisations", limit=limit, offset=offset)
    show(found, COLUMNS, as_json=as_json, empty="No organisation.")


@app.command()
def make(context: typer.Context, name: Name, title: Title = "", as_json: Json = False) -> None:
    """Make an organisation."""
    with client_of(context) as client:
        show_one(client.post("/v1/organisations", {"name": name, "title": title}), as_json=as_json)


@app.command("show")
def show_organisation(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show an organisation."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/organisations/{name}"), as_json=as_json)


@app.command()
def change(context: typer.Context, name: Name, title: Title, revision: Revision = None, as_json: Json = False) -> None:
    """Give an organisation another title."""
    with client_of(context) as client:
        show_one(client.patch(f"/v1/organisations/{name}", retitled(title, revision)), as_json=as_json)


@projects.command("list")
def list_projects(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List projects."""
    with client_of(context) as client:
        found = client.get_list("/v1/projects", tenant=team, limit=limit, offset=offset)
    show(found, ("tenant", *COLUMNS), as_json=as_json, empty="No project.")


@projects.command("make")
def make_project(context: typer.Context, name: Name, team: Team = None, title: Title = "", as_json: Json = False) -> None:
    """Make a project of a team."""
    with client_of(context) as client:
        show_one(client.post("/v1/projects", {"tenant": team, "name": name, "title": title}), as_json=as_json)


@projects.command("show")
def show_project(context: typer.Context, team: TeamName, name: Name, as_json: Json = False) -> None:
    """Show a project."""
    with client_of(context) as client:
        show_one(client.get_object(f"/v1/projects/{team}/{name}"), as_json=as_json)


@projects.command("change")
def change_project(  # noqa: PLR0913 - each is a part of the change
    context: typer.Context, team: TeamName, name: Name, title: Title, revision: Revision = None, as_json: Json = False
) -> None:
    """Give a project another title."""
    with client_of(context) as client:
        show_one(client.patch(f"/v1/projects/{team}/{name}", retitled(title, revision)), as_json=as_json)


@projects.command("remove")
def remove_project(context: typer.Context, team: TeamName, name: Name) -> None:
    """Remove a project that no key, member or service account names any more."""
    with client_of(context) as client:
        client.delete(f"/v1/projects/{team}/{name}")
    out.print(f"project {name} is removed")


def retitled(title: str, revision: int | None) -> JsonObject:
    """The body of a new title."""
    return {"title": title, **({} if revision is None else {"revision": revision})}
