"""`lineshaft isolation`: audit the walls between two teams by attack, read the reports, see which walls stand."""

import json
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.markup import escape

from api.client import ApiClient
from cli.access import access, client_of
from cli.context import out, settings_of
from cli.listing import JsonObject, show
from factory_infra.iaas.isolation.models import AuditReport

app = typer.Typer(help="Isolation: attack the walls between two teams, and see what refused it.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AUDIT_SECONDS = 900.0
EXIT_HOLES = 1
ATTEMPTS = ("door", "through", "tried", "refused", "by")
WALLS = ("pool", "name", "state", "note")
AUDITS = ("id", "pool", "attacker", "victim", "at", "holds", "tried", "asked_by")


@app.command()
def audit(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    team: Annotated[str, typer.Option("--team", help="Who attacks; a team made for audits if left out.")] = "",
    against: Annotated[str, typer.Option("--against", help="Who is attacked; another such team if left out.")] = "",
    pool: Annotated[str, typer.Option(help="Only this pool; every pool if left out.")] = "",
    doors: Annotated[bool, typer.Option(help="Also the doors that all pools share: REST, gateway, MCP, command line.")] = True,
    as_json: Json = False,
) -> None:
    """Put objects of one team in place and try, as the other one, to see, stop, read and use them and to spend, through every door.

    Ends with code 1 where anything came through, or a wall that can be had is missing.
    """
    body: JsonObject = {name: value for name, value in (("attacker", team), ("victim", against), ("pool", pool)) if value}
    body |= {} if doors else {"doors": False}
    with ApiClient(*access(settings_of(context)), timeout_seconds=AUDIT_SECONDS) as client:
        told = client.post_list("/v1/isolation/audits", body)
    if as_json:
        out.print_json(json.dumps(told))
    else:
        for each in told:
            print_report(AuditReport.model_validate(each["report"]), everything=False)
    if not all(each["holds"] for each in told):
        raise typer.Exit(EXIT_HOLES)


def print_report(report: AuditReport, *, everything: bool) -> None:
    """One report: the walls, what came through, and how much was refused by what."""
    verdict = "holds" if report.holds else "[red]does not hold[/red]"
    out.print(f"{escape(report.pool)}: {escape(report.attacker)} against {escape(report.victim)}: {verdict}")
    show([wall.model_dump(mode="json") for wall in report.walls], WALLS[1:], as_json=False, empty="")
    through = [each for each in report.attempts if not each.refused]
    shown: list[JsonObject] = [each.model_dump(mode="json") for each in (report.attempts if everything else through)]
    show(shown, ATTEMPTS, as_json=False, empty="nothing came through")
    counts: dict[str, int] = {}
    for each in report.attempts:
        if each.refused:
            counts[each.through] = counts.get(each.through, 0) + 1
    said = ", ".join(f"{count} through {escape(name)}" for name, count in counts.items())
    out.print(f"{len(report.attempts)} tried, {len(report.attempts) - len(through)} refused ({said})\n")


@app.command("list")
def list_audits(
    context: typer.Context,
    pool: Annotated[str | None, typer.Option(help="Only this pool's.")] = None,
    team: Annotated[str | None, typer.Option("--team", "--tenant", help="Only those that this team took part in.")] = None,
    as_json: Json = False,
) -> None:
    """List audits, newest first."""
    with client_of(context) as client:
        rows = client.get_list("/v1/isolation/audits", pool=pool, tenant=team, limit=100)
    for row in rows if not as_json else []:
        report = row.get("report")
        if isinstance(report, dict):
            row |= {name: report[name] for name in ("pool", "attacker", "victim", "at")} | {"tried": length(report.get("attempts"))}
    show(rows, AUDITS, as_json=as_json, empty="No audit yet: see 'lineshaft isolation audit'.")


def length(value: JsonValue) -> int:
    """How many there are."""
    return len(value) if isinstance(value, list) else 0


@app.command("show")
def show_audit(context: typer.Context, audit_id: Annotated[str, typer.Argument(help="The audit's id.")], as_json: Json = False) -> None:
    """Show an audit with everything that was tried, and what refused it."""
    with client_of(context) as client:
        told = client.get_object(f"/v1/isolation/audits/{audit_id}")
    if as_json:
        out.print_json(json.dumps(told))
    else:
        print_report(AuditReport.model_validate(told["report"]), everything=True)


@app.command()
def walls(
    context: typer.Context,
    team: Annotated[str | None, typer.Option("--team", "--tenant", help="Whose walls; of a team's key its own.")] = None,
    pool: Annotated[str | None, typer.Option(help="Only this pool's.")] = None,
    as_json: Json = False,
) -> None:
    """Show which walls stand around a team in each pool."""
    with client_of(context) as client:
        pools = client.get_list("/v1/isolation/walls", tenant=team, pool=pool)
    rows: list[JsonObject] = []
    for each in pools:
        listed = each.get("walls")
        found = [wall for wall in listed if isinstance(wall, dict)] if isinstance(listed, list) else []
        rows += [{"pool": each["pool"], **wall} for wall in found] or [{"pool": each["pool"], "state": "unknown", "note": each.get("note")}]
    show(pools if as_json else rows, WALLS, as_json=as_json, empty="No pool is known.")
