"""`lineshaft keys`: make, list, rotate, revoke."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one

app = typer.Typer(help="Keys: make, list, rotate, revoke.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KeyId = Annotated[str, typer.Argument(help="The key's id: the twelve characters after 'ls_'.")]
Team = Annotated[
    str | None, typer.Option("--team", "--tenant", help="Of an administrator: for which team; none for an administrator's key.")
]
Project = Annotated[str | None, typer.Option(help="What its use is charged to.")]
COLUMNS = ("id", "tenant", "project", "name", "role", "scopes", "models", "state", "created_at", "expires_at", "old_until")


class State(StrEnum):
    """Which keys are wanted."""

    ACTIVE = "active"
    REVOKED = "revoked"
    EXPIRED = "expired"


class Opens(StrEnum):
    """What a key opens."""

    GATEWAY = "gateway"
    MANAGE = "manage"
    NODES = "nodes"


@app.command()
def make(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    team: Team = None,
    role: Annotated[str, typer.Option(help="viewer, user, operator, approver or admin.")] = "user",
    custom_role: Annotated[str | None, typer.Option(help="A role of the team's own, in place of --role.")] = None,
    project: Project = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="A model that it may call; may be repeated. All if left out.")] = None,
    scope: Annotated[list[Opens] | None, typer.Option("--scope", help="What it opens; may be repeated.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="It expires after so many days.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key; its secret is printed once."""
    expires_at = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat()
    body: JsonObject = {
        "name": name,
        "tenant": team,
        "role": role,
        "custom_role": custom_role,
        "project": project,
        "models": [*model] if model else None,
        "scopes": [each.value for each in scope] if scope else None,
        "expires_at": expires_at,
    }
    with client_of(context) as client:
        told = client.post("/v1/keys", {field: value for field, value in body.items() if value is not None})
    told_once(told, as_json=as_json)


def told_once(told: JsonObject, *, as_json: bool) -> None:
    """Print a secret: on a terminal and in a pipe it is the last line, alone, so that it can be taken from there."""
    if as_json:
        show_one(told, as_json=True)
        return
    out.print(str(told["secret"]), markup=False)


@app.command("list")
def list_keys(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    team: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    project: Project = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 100,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many.")] = 0,
    as_json: Json = False,
) -> None:
    """List keys, without their secrets."""
    wanted = state.value if state else None
    with client_of(context) as client:
        rows = client.get_list("/v1/keys", tenant=team, project=project, state=wanted, limit=limit, offset=offset)
    show(rows, COLUMNS, as_json=as_json, empty="No such key.")


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyId,
    overlap: Annotated[int, typer.Option(min=0, help="For so many seconds the secret of now stays good.")] = 0,
    as_json: Json = False,
) -> None:
    """Give a key a new secret, which is printed once."""
    with client_of(context) as client:
        told = client.post(f"/v1/keys/{key_id}/rotate", {"overlap_seconds": overlap})
    told_once(told, as_json=as_json)


@app.command()
def revoke(context: typer.Context, key_id: KeyId) -> None:
    """Revoke a key at once, in every process."""
    with client_of(context) as client:
        client.delete(f"/v1/keys/{key_id}")
    out.print(f"key {key_id} is revoked")
