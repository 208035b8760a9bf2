"""`lineshaft members`, `lineshaft roles` and `lineshaft accounts`: who may what, and where."""

from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.keys import told_once
from cli.listing import JsonObject, show, show_one
from cli.organisations import Json, Limit, Name, Offset, Revision, Team, TeamName, Title

app = typer.Typer(help="People and their roles: add, list, remove.", no_args_is_help=True)
roles = typer.Typer(help="Roles of one's own: make, list, change, remove; list permissions.", no_args_is_help=True)
accounts = typer.Typer(help="Service accounts of programs: make, list, end; make their keys.", no_args_is_help=True)
Organisation = Annotated[str | None, typer.Option(help="In this organisation, with all its teams.")]
Project = Annotated[str, typer.Option(help="Only in this project of the team.")]
Permissions = Annotated[list[str], typer.Option("--permission", help="NOUN:ACTION, NOUN:* or *:read; may be repeated.")]
RoleId = Annotated[str, typer.Argument(help="The role's id.")]
AccountName = Annotated[str, typer.Argument(help="The service account.")]
COLUMNS = ("id", "subject", "title", "organisation", "tenant", "project", "role", "source")


@app.command("list")
def list_members(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    team: Team = None,
    organisation: Organisation = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List who has which role in a team or an organisation."""
    with client_of(context) as client:
        found = client.get_list("/v1/members", tenant=team, organisation=organisation, limit=limit, offset=offset)
    show(found, COLUMNS, as_json=as_json, empty="No member.")


@app.command()
def add(  # noqa: PLR0913 - each is a part of the membership
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="The person, as the provider of identities names them: oidc:NAME.")],
    role: Annotated[str, typer.Option(help="viewer, user, operator, approver, admin, or a role of the place's own.")] = "user",
    team: Team = None,
    organisation: Organisation = None,
    project: Project = "",
    title: Title = "",
    as_json: Json = False,
) -> None:
    """Give a person a role in a team, in one of its projects, or in an organisation."""
    place: JsonObject = {"organisation": organisation, "tenant": team, "project": project}
    with client_of(context) as client:
        show_one(client.post("/v1/members", {"subject": subject, "role": role, "title": title, **place}), as_json=as_json)


@app.command()
def remove(context: typer.Context, member: Annotated[str, typer.Argument(help="The member's id.")]) -> None:
    """Take a person's role away, within a second everywhere."""
    with client_of(context) as client:
        client.delete(f"/v1/members/{member}")
    out.print(f"member {member} is removed")


@roles.command("list")
def list_roles(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List the roles of a team and of its organisation."""
    with client_of(context) as client:
        found = client.get_list("/v1/roles", tenant=team, limit=limit, offset=offset)
    columns = ("id", "name", "organisation", "tenant", "counts_as", "permissions", "revision")
    show(found, columns, as_json=as_json, empty="No role but the built-in ones: viewer, user, operator, approver, admin.")


@roles.command("permissions")
def list_permissions(context: typer.Context, as_json: Json = False) -> None:
    """List every permission, and the routes that ask for it."""
    with client_of(context) as client:
        show(client.get_list("/v1/permissions"), ("permission", "routes"), as_json=as_json, empty="")


@roles.command("make")
def make_role(  # noqa: PLR0913 - each is a part of the role
    context: typer.Context,
    name: Name,
    permission: Permissions,
    team: Team = None,
    organisation: Organisation = None,
    counts_as: Annotated[str, typer.Option(help="viewer, user, operator or approver: where people of a role are asked for.")] = "viewer",
    title: Title = "",
    as_json: Json = False,
) -> None:
    """Make a role of a team or an organisation."""
    place: JsonObject = {"organisation": organisation, "tenant": team, "title": title}
    with client_of(context) as client:
        body: JsonObject = {"name": name, "permissions": [*permission], "counts_as": counts_as, **place}
        show_one(client.post("/v1/roles", body), as_json=as_json)


@roles.command("change")
def change_role(context: typer.Context, role: RoleId, permission: Permissions, revision: Revision = None, as_json: Json = False) -> None:
    """Give a role other permissions, in place of those that it has."""
    with client_of(context) as client:
        show_one(client.patch(f"/v1/roles/{role}", {"permissions": [*permission], "revision": revision}), as_json=as_json)


@roles.command("remove")
def remove_role(context: typer.Context, role: RoleId) -> None:
    """Remove a role: whoever has it may nothing from now on."""
    with client_of(context) as client:
        client.delete(f"/v1/roles/{role}")
    out.print(f"role {role} is removed")


@accounts.command("list")
def list_accounts(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List service accounts."""
    with client_of(context) as client:
        found = client.get_list("/v1/accounts", tenant=team, limit=limit, offset=offset)
    show(found, ("tenant", "name", "title", "role", "project", "created_by", "disabled_at"), as_json=as_json, empty="No service account.")


@accounts.command("make")
def make_account(  # noqa: PLR0913 - each is a part of the account
    context: typer.Context,
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, user, operator, or a role of the team's own.")] = "user",
    team: Team = None,
    project: Project = "",
    title: Title = "",
    as_json: Json = False,
) -> None:
    """Make a service account of a team."""
    with client_of(context) as client:
        body: JsonObject = {"tenant": team, "name": name, "role": role, "project": project, "title": title}
        show_one(client.post("/v1/accounts", body), as_json=as_json)


@accounts.command("key")
def account_key(
    context: typer.Context,
    team: TeamName,
    account: AccountName,
    days: Annotated[float | None, typer.Option(min=0, help="It expires after so many days.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key of a service account; its secret is printed once."""
    with client_of(context) as client:
        told_once(client.post(f"/v1/accounts/{team}/{account}/keys", {} if days is None else {"days": days}), as_json=as_json)


@accounts.command("end")
def end_account(context: typer.Context, team: TeamName, account: AccountName) -> None:
    """End a service account with all its keys, at once."""
    with client_of(context) as client:
        client.delete(f"/v1/accounts/{team}/{account}")
    out.print(f"service account {account} has ended")
