"""`lineshaft kpis`: the key figures with what they are made of; alerts; counterfactuals."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, cell, show, show_one
from cli.waiting import DURATION, UNITS
from factory_infra.errors import InvalidInput

app = typer.Typer(help="Key figures: over any window, with numerator, denominator and exclusions.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Since = Annotated[
    str, typer.Option(help="Where the window begins: a moment (2026-03-01T00:00:00Z), or how long before its end, on the hour (7d, 12h).")
]
Until = Annotated[str, typer.Option(help="Where it ends: a moment; now if left out.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
COLUMNS = ("figure", "value", "goal", "met", "numerator", "denominator", "note")
ALERT_COLUMNS = ("id", "objective", "severity", "burn", "raised_at", "cleared_at", "reason")


def moment(text: str) -> datetime:
    """A moment as ISO 8601 writes it; without a zone it is UTC. Raises InvalidInput."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is no moment.", remedy="Write 2026-03-01 or 2026-03-01T12:00:00Z.") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def window(since: str, until: str) -> dict[str, str]:
    """The window as the API is asked for it; one that is given by its length begins on the hour. Raises InvalidInput."""
    last = moment(until) if until else datetime.now(UTC)
    asked = {"until": last.isoformat()} if until or since else {}
    length = DURATION.fullmatch(since.strip()) if since else None
    if length is not None:
        since_hour = (last - timedelta(seconds=float(length[1]) * UNITS[length[2] or "d"])).replace(minute=0, second=0, microsecond=0)
        return asked | {"since": since_hour.isoformat()}
    return asked | ({"since": moment(since).isoformat()} if since else {})


def number(value: object, unit: object) -> str:
    """A figure in its unit."""
    if not isinstance(value, int | float):
        return "—"
    if unit == "share":
        return f"{value:.2%}"
    return f"{value:,.1f} h" if unit == "hours" else f"{value:,.0f} s"


def line(kpi: JsonObject) -> JsonObject:
    """A figure as a row."""
    goal = kpi["goal"]
    amounts = {name: each for name in ("numerator", "denominator") if isinstance(each := kpi[name], dict)}
    return {
        "figure": kpi["title"],
        "value": number(kpi["value"], kpi["unit"]),
        "goal": goal["words"] if isinstance(goal, dict) else "",
        "met": "" if kpi["met"] is None else "yes" if kpi["met"] else "NO",
        "note": kpi["note"],
        **{name: f"{cell(each['value'])} {each['unit']}" for name, each in amounts.items()},
    }


@app.command("list")
def list_kpis(context: typer.Context, since: Since = "", until: Until = "", as_json: Json = False) -> None:
    """Show every figure over a window: the last 30 days if none is named."""
    with client_of(context) as client:
        page = client.get_object("/v1/kpis", **window(since, until))
    if as_json:
        out.print_json(json.dumps(page))
        return
    kpis = page["kpis"]
    show([line(each) for each in kpis if isinstance(each, dict)] if isinstance(kpis, list) else [], COLUMNS, as_json=False, empty="")
    out.print(
        f"from {cell(page['since'])} until {cell(page['until'])} UTC, of {page['log_events']} events; {cell(page['milliseconds'])} ms. "
        "'lineshaft kpis show NAME' tells what a figure leaves out."
    )


@app.command("show")
def show_kpi(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The figure's name, such as gpu_occupancy: see --json of list.")],
    since: Since = "",
    until: Until = "",
    query: Annotated[bool, typer.Option("--query", help="Print only the SQL that gives the same sums from the log.")] = False,
    as_json: Json = False,
) -> None:
    """Show one figure with its parts, its exclusions and where its formula is from."""
    with client_of(context) as client:
        kpi = client.get_object(f"/v1/kpis/{name}", **window(since, until))
    if as_json:
        out.print_json(json.dumps(kpi))
    elif query:
        out.print(str(kpi["query"]), markup=False, soft_wrap=True)
    else:
        explain(kpi)


def explain(kpi: JsonObject) -> None:
    """Print a figure with all that it is made of."""
    told = line(kpi)
    out.print(
        f"[bold]{escape(str(kpi['title']))}[/bold]  {escape(str(told['value']))}  (goal {told['goal']}; met: {told['met'] or 'not known'})"
    )
    for words in (kpi["definition"], kpi["note"], kpi["source"]):
        if words:
            out.print(f"  {escape(str(words))}")
    for name in ("numerator", "denominator"):
        amount = kpi[name]
        if isinstance(amount, dict):
            out.print(f"  {name:12} {told[name]}: {escape(str(amount['words']))}")
    if kpi["lower"] is not None:
        upper = f" and {number(kpi['upper'], kpi['unit'])}" if kpi["upper"] is not None else ""
        out.print(f"  bounds       at least {number(kpi['lower'], kpi['unit'])}{upper}")
    for each in rows(kpi, "exclusions"):
        out.print(f"  left out     {cell(each['amount'])} {escape(str(each['words']))}")
    parts = [{**each, "value": number(each["value"], kpi["unit"])} for each in rows(kpi, "parts")]
    if parts:
        show(parts, ("name", "value", "numerator", "denominator", "note"), as_json=False, empty="")


def rows(kpi: JsonObject, name: str) -> list[JsonObject]:
    """A list of a figure."""
    found = kpi[name]
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


@app.command()
def alerts(
    context: typer.Context,
    open_only: Annotated[bool, typer.Option("--open", help="Only those that stand.")] = False,
    limit: Limit = 50,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List alerts: objectives whose budget of errors was burnt too quickly."""
    with client_of(context) as client:
        found = client.get_list("/v1/kpis/alerts", open_only=open_only, limit=limit, offset=offset)
    show(found, ALERT_COLUMNS, as_json=as_json, empty="No objective burns.")


@app.command()
def counterfactuals(context: typer.Context, limit: Limit = 50, offset: Offset = 0, as_json: Json = False) -> None:
    """List what costs are compared with."""
    with client_of(context) as client:
        found = client.get_list("/v1/kpis/counterfactuals", limit=limit, offset=offset)
    show(found, ("digest", "fixed_at", "fixed_by", "document"), as_json=as_json, empty="None was fixed: see 'lineshaft kpis fix'.")


@app.command()
def fix(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="JSON: name, currency, hourly {gpu:H100: 12.29, …}, used_share, basis.")],
    as_json: Json = False,
) -> None:
    """Fix what slots would cost otherwise, for windows that begin from now on. It cannot be changed."""
    body = read(file)
    with client_of(context) as client:
        show_one(client.post("/v1/kpis/counterfactuals", body), as_json=as_json)


def read(file: Path) -> JsonObject:
    """The document in a file. Raises InvalidInput."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{file}: {error}", remedy="Give a file that holds one JSON object.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{file} holds no object.", remedy="Give a file that holds one JSON object.")
    return found


@app.command()
def rebuild(context: typer.Context, as_json: Json = False) -> None:
    """Make the kept sums anew from the log, which the worker reads on; until its end there are no figures."""
    with client_of(context) as client:
        show_one(client.post("/v1/kpis/rebuild", {}), as_json=as_json)
