"""`lineshaft limits`: set, list, remove."""

from enum import StrEnum
from typing import Annotated

import typer

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show, show_one

app = typer.Typer(help="Limits of teams, projects and keys: money, tokens, requests, parallel calls.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str, typer.Argument(help="The team.")]
Project = Annotated[str | None, typer.Option(help="Only this project of it.")]
Key = Annotated[str | None, typer.Option("--key", help="Only this key of it, by its id.")]
COLUMNS = ("id", "tenant", "project", "key_id", "resource", "window", "cap", "used", "set_by", "set_at")


class What(StrEnum):
    """What is limited."""

    MONEY = "money"
    TOKENS = "tokens"
    REQUESTS = "requests"
    PARALLEL = "parallel"


class Window(StrEnum):
    """In which time."""

    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"
    TOTAL = "total"
    NOW = "now"


@app.command("set")
def set_limit(  # noqa: PLR0913 - each is a part of the limit's name
    context: typer.Context,
    team: Team,
    what: Annotated[What, typer.Argument(help="What is limited.")],
    cap: Annotated[str, typer.Argument(help="Money in the price book's currency, else a whole number. 0 lets nothing through.")],
    window: Annotated[Window | None, typer.Option("--per", help="In which time; a month if left out.")] = None,
    project: Project = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Set a limit, or change its cap; it holds in every process at once."""
    per = window or (Window.NOW if what is What.PARALLEL else Window.MONTH)
    body: JsonObject = {
        "tenant": team,
        "project": project or "",
        "key_id": key or "",
        "resource": what.value,
        "window": per.value,
        "cap": cap,
    }
    with client_of(context) as client:
        show_one(client.put("/v1/limits", body), as_json=as_json)


@app.command("list")
def list_limits(
    context: typer.Context,
    team: Annotated[str | None, typer.Option("--team", "--tenant", help="Only this team's.")] = None,
    project: Project = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List limits with what is used of them in the window of now."""
    with client_of(context) as client:
        rows = client.get_list("/v1/limits", tenant=team, project=project, key_id=key, limit=500)
    show(rows, COLUMNS, as_json=as_json, empty="No limit but the teams' budgets: see 'lineshaft teams list'.")


@app.command()
def remove(context: typer.Context, limit_id: Annotated[str, typer.Argument(help="The limit's id, as the list shows it.")]) -> None:
    """Remove a limit."""
    with client_of(context) as client:
        client.delete(f"/v1/limits/{limit_id}")
    out.print(f"limit {limit_id} is removed", markup=False)
