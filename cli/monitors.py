"""What `lineshaft features` does about drift: watch, check, list what was found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer
import yaml
from pydantic import JsonValue
from rich.markup import escape

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, cell, show, show_one
from factory_infra.errors import InvalidInput

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; your key's own if left out.")]
Name = Annotated[str, typer.Argument(help="The monitor.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
MONITORS = ("tenant", "name", "view", "endpoint", "every_seconds", "verdict", "checked_at", "revision")
FEATURES = ("feature", "drifted", "psi", "psi_noise", "ks", "ks_p", "mmd", "mmd_p", "missing_before", "missing_now", "since", "words")
ALERTS = ("opened_at", "closed_at", "monitor", "plan_id", "reason")
EXIT_DRIFT = 1


def of_team(path: str, team: str | None) -> str:
    """A path for a team."""
    return f"{path}?{urlencode({'tenant': team})}" if team else path


def list_monitors(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List what is watched for drift, with the last verdicts."""
    with client_of(context) as client:
        rows = client.get_list("/v1/features/monitors", tenant=team, limit=limit, offset=offset)
    show(rows, MONITORS, as_json=as_json, empty="Nothing is watched: see 'lineshaft features watch'.")


def watch(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What is watched, YAML or JSON.")],
    team: Team = None,
    revision: Annotated[int | None, typer.Option(help="Of a change: the revision that you read.")] = None,
    as_json: Json = False,
) -> None:
    """Watch a view or an endpoint's predictions, or change what is watched."""
    try:
        read = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {str(error)[:200]}", remedy="Give a file of YAML or JSON.") from error
    if not isinstance(read, dict) or not isinstance(read.get("name"), str):
        raise InvalidInput(f"{file} names no monitor.", remedy="See docs/features.md for one.")
    spec: JsonObject = json.loads(json.dumps(read, default=str))
    with client_of(context) as client:
        told = client.put(of_team(f"/v1/features/monitors/{spec['name']}", team), {"spec": spec, "revision": revision})
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"{told['name']} is watched every {told['every_seconds']} s, revision {told['revision']}", markup=False)


def unwatch(context: typer.Context, name: Name, team: Team = None) -> None:
    """Watch no more; what was found stays."""
    with client_of(context) as client:
        client.delete(of_team(f"/v1/features/monitors/{name}", team))
    out.print(f"{name} is watched no more", markup=False)


def check(context: typer.Context, name: Name, team: Team = None, as_json: Json = False) -> None:
    """Compare now; ends with code 1 where there is drift, which becomes an alert and a plan as by the schedule."""
    with client_of(context) as client:
        told = client.post(of_team(f"/v1/features/monitors/{name}/check", team))
    found, alert = told["check"], told["alert"]
    report = found["report"] if isinstance(found, dict) else {}
    if as_json:
        out.print_json(json.dumps(told))
    elif isinstance(report, dict):
        print_report(report)
        if isinstance(alert, dict):
            out.print(f"alert {alert['id']}, plan {alert['plan_id'] or 'none'}", markup=False)
    if isinstance(report, dict) and report["verdict"] == "drifted":
        raise typer.Exit(EXIT_DRIFT)


def print_report(report: JsonObject) -> None:
    """A comparison: the verdict, then a line a feature."""
    out.print(f"{report['verdict']}: {report['reason']}", markup=False)
    out.print(f"{cell(report['rows_before'])} rows before, {cell(report['rows_now'])} in the window", markup=False)
    features = report["features"]
    show(rows_of(features), FEATURES, as_json=False, empty="")


def rows_of(value: JsonValue) -> list[JsonObject]:
    """The objects of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def list_checks(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context, name: Name, team: Team = None, limit: Limit = 20, offset: Offset = 0, as_json: Json = False
) -> None:
    """List what was found, newest first."""
    with client_of(context) as client:
        rows = client.get_list(f"/v1/features/monitors/{name}/checks", tenant=team, limit=limit, offset=offset)
    if not as_json:
        rows = [{**row, "reason": row["report"].get("reason") if isinstance(row["report"], dict) else ""} for row in rows]
    show(rows, ("at", "verdict", "reason", "id"), as_json=as_json, empty="Nothing was compared yet.")


def list_alerts(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    team: Team = None,
    every: Annotated[bool, typer.Option("--every", help="Closed ones too.")] = False,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List drift that is not answered yet, with the plan that answers each."""
    with client_of(context) as client:
        rows = client.get_list("/v1/features/alerts", tenant=team, every=every, limit=limit, offset=offset)
    show(rows, ALERTS, as_json=as_json, empty="No drift is open.")


def show_monitor(context: typer.Context, name: Name, team: Team = None, as_json: Json = False) -> None:
    """Show a monitor with its revision."""
    with client_of(context) as client:
        told = client.get_object(f"/v1/features/monitors/{name}", tenant=team)
    if not as_json:
        out.print(escape(str(told["name"])))
    show_one(told, as_json=as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "monitors": list_monitors,
    "monitor": show_monitor,
    "watch": watch,
    "unwatch": unwatch,
    "check": check,
    "checks": list_checks,
    "alerts": list_alerts,
}
