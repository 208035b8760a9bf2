"""`lineshaft costs`: who used what, what stood idle, the plan that mends it, what will be needed, and how it is bought best."""

import json
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show
from cli.proposing import carried_out
from factory_infra.errors import InvalidInput, StorageFull
from factory_infra.paas.optimization.focus_check import check_file

app = typer.Typer(help="Costs: who used what, what stood idle, what mends it, what will be needed.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Team = Annotated[str | None, typer.Option("--team", "--tenant", help="The team; your key's own, or all for an administrator.")]
Month = Annotated[str | None, typer.Option(help="Such as 2026-11; this month (UTC) if left out.")]
Since = Annotated[str | None, typer.Option(help="The first day, in place of a month.")]
Until = Annotated[str | None, typer.Option(help="The first day that is no longer in it.")]
Limit = Annotated[int, typer.Option(min=1, max=500, help="At most so many.")]
Offset = Annotated[int, typer.Option(min=0, help="Leave out so many.")]
FindingId = Annotated[str, typer.Argument(help="The finding.", metavar="FINDING")]
SUMS = ("unit", "charges", "quantity", "quantity_out", "amount")
UNLEASED = ("pool", "accelerator", "slot_kind", "slot_seconds", "leased_slot_seconds", "idle_slot_seconds", "amount")
SHARES = ("team", "pool", "weight", "amount")
UNUSED = ("lease_id", "team", "pool", "slots", "leased_slot_seconds", "unused_slot_seconds", "amount", "active")
FINDINGS = ("id", "kind", "team", "subject", "evidence", "saving_hourly", "saving_left", "state", "blocked")
BUDGETS = ("team", "budget", "taken", "left", "percent", "mark", "per_day", "ends_at", "currency")
TEAMS = ("team", "now", "mean", "low", "high", "model", "error_ratio")
MIXES = ("name", "cost", "cost_low", "cost_high", "saved_percent", "slower_percent", "queue_p95_seconds", "lost_slot_hours", "good_enough")


def rows(found: JsonValue) -> list[JsonObject]:
    """A list of objects, as it should be."""
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


@app.command()
def allocation(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    by: Annotated[str, typer.Option(help="Of organisation, team, project, plan, model, pool, agent, key and day, with commas.")] = (
        "organisation,team,project,pool,model"
    ),
    team: Team = None,
    month: Month = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Show what was charged; each amount is in one line, and the lines are the ledger, to the last digit."""
    with client_of(context) as client:
        told = client.get_object("/v1/costs/allocation", tenant=team, by=by, month=month, since=since, until=until)
    if as_json:
        out.print_json(json.dumps(told))
        return
    show(rows(told["lines"]), (*by.replace(" ", "").split(","), *SUMS), as_json=False, empty="Nothing was charged.")
    exact = "the ledger says the same" if told["total"] == told["ledger_total"] else f"THE LEDGER SAYS {told['ledger_total']}"
    out.print(f"{told['since']} until before {told['until']}: {told['total']} {told['currency']}; {exact}", markup=False)


@app.command()
def idle(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    rule: Annotated[str | None, typer.Option(help="platform, use or quota; the installation's own if left out.")] = None,
    team: Team = None,
    month: Month = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """Show what stood unleased, who is shown it by the rule, and what was leased and not used."""
    with client_of(context) as client:
        told = client.get_object("/v1/costs/idle", tenant=team, rule=rule, month=month, since=since, until=until)
    if as_json:
        out.print_json(json.dumps(told))
        return
    show(rows(told["unleased"]), UNLEASED, as_json=False, empty="No pool is shown to you as a whole.")
    out.print(f"rule: {told['rule']}. {told['rule_in_words']}", markup=False)
    show(rows(told["shares"]), SHARES, as_json=False, empty="Nobody is shown a share.")
    show(rows(told["unused"]), UNUSED, as_json=False, empty="No lease went unused.")
    hours = f"{told['observed_hours']:.1f} of {told['period_hours']:.1f} h were observed"
    out.print(f"unused, within what was charged: {told['unused_total']} {told['currency']}; {hours}", markup=False)


@app.command()
def focus(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to write it, .csv or .parquet; printed as CSV if left out.")] = None,
    team: Team = None,
    month: Month = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Export charges in FOCUS 1.2; BilledCost adds up to the ledger."""
    parquet = file is not None and file.suffix == ".parquet"
    with client_of(context) as client:
        path = f"/v1/costs/focus.{'parquet' if parquet else 'csv'}"
        content = client.get_bytes(path, tenant=team, month=month, since=since, until=until)
    if file is None:
        typer.echo(content.decode(), nl=False)
        return
    try:
        file.write_bytes(content)
    except OSError as error:
        raise StorageFull(f"{file} cannot be written: {error.strerror}", remedy="Name another place.") from error
    out.print(f"written: {file}", markup=False)


@app.command("check-focus")
def check_focus(
    file: Annotated[Path, typer.Argument(help="A file of CSV or Parquet, of any provider.")],
    as_json: Json = False,
) -> None:
    """Check a file against FOCUS 1.2; exit code 1 where it does not conform. Needs no running stack."""
    report = check_file(file)
    if as_json:
        out.print_json(report.model_dump_json())
    else:
        violations: list[JsonObject] = [each.model_dump() for each in report.first]
        show(violations, ("row", "column", "rule", "words"), as_json=False, empty="Nothing is wrong.")
        told = f"FOCUS {report.version}: {report.rows} rows, BilledCost {report.billed_cost}, {report.violations} violations"
        out.print(told, markup=False)
    raise typer.Exit(0 if report.conforms else 1)


@app.command()
def findings(  # noqa: PLR0913 - each is a filter of its own
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="lease_idle, lease_oversized, lease_dear, endpoint_idle or cluster_idle.")] = None,
    idle_minutes: Annotated[int | None, typer.Option(min=1, help="Nothing ran for so long; 30 if left out.")] = None,
    every: Annotated[bool, typer.Option("--every", help="Dismissed ones, too.")] = False,
    team: Team = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: Json = False,
) -> None:
    """List what is paid for and not needed, what saves most first; 'fix' proposes the plan that mends one."""
    idle_seconds = None if idle_minutes is None else idle_minutes * 60
    page = {"limit": limit, "offset": offset}
    with client_of(context) as client:
        found = client.get_list("/v1/costs/findings", tenant=team, kind=kind, idle_seconds=idle_seconds, every=every, **page)
    show(found, FINDINGS, as_json=as_json, empty="Nothing is paid for in vain.")


@app.command()
def fix(
    context: typer.Context,
    finding: FindingId,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan without asking.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Watch it to its end.")] = True,
    as_json: Json = False,
) -> None:
    """Propose the plan that mends a finding, show it, have it decided, and watch it."""
    with client_of(context) as client:
        proposed = client.post(f"/v1/costs/findings/{finding}/fix")
        carried_out(client, proposed, yes=yes, wait=wait, as_json=as_json)


@app.command()
def dismiss(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    finding: FindingId,
    reason: Annotated[str, typer.Option(help="Why it is left as it is.")],
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="For so long.")] = 30,
    good: Annotated[bool, typer.Option("--for-good", help="For ever.")] = False,
    as_json: Json = False,
) -> None:
    """Leave a finding out of lists."""
    with client_of(context) as client:
        told = client.post(f"/v1/costs/findings/{finding}/dismiss", {"reason": reason, "days": None if good else days})
    if as_json:
        out.print_json(json.dumps(told))
    else:
        out.print(f"dismissed {'for good' if good else f'for {days} days'}: {told['title']}", markup=False)


@app.command()
def budgets(context: typer.Context, team: Team = None, limit: Limit = 100, offset: Offset = 0, as_json: Json = False) -> None:
    """List budgets with what is taken of each, and when it ends at the pace of the last seven days."""
    with client_of(context) as client:
        found = client.get_list("/v1/costs/budgets", tenant=team, limit=limit, offset=offset)
    show(found, BUDGETS, as_json=as_json, empty="There is no team.")


@app.command()
def capacity(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pool: Annotated[str, typer.Option(help="The default one if left out.")] = "",
    bucket: Annotated[str | None, typer.Option(help="day or hour; by how much of the past there is if left out.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, max=366, help="So many of them.")] = None,
    level: Annotated[float, typer.Option(min=0.01, max=0.99, help="How much of the future the interval is to hold.")] = 0.8,
    reserved_share: Annotated[float | None, typer.Option(help="A reserved hour's price over one on demand; by the price book.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forecast anew.")] = False,
    as_json: Json = False,
) -> None:
    """Foresee what a pool will be asked for, by team, when it is full, and how much is best reserved."""
    asked: JsonObject = {"bucket": bucket, "horizon": horizon, "level": level, "reserved_share": reserved_share, "fresh": fresh}
    with client_of(context) as client:
        told = client.get_object("/v1/costs/capacity", pool=pool, **asked)
    if as_json:
        out.print_json(json.dumps(told))
        return
    out.print(f"pool {told['pool']}, {told['history']} {told['bucket']}s of the past: {told['words']}", markup=False)
    show([team_row(each) for each in rows(told["teams"])], TEAMS, as_json=False, empty="No team has a line.")
    for line in (backtest_words(told.get("backtest")), reserving_words(told.get("reserving"))):
        if line:
            out.print(line, markup=False)


def team_row(line: JsonObject) -> JsonObject:
    """A team's line on the mean of the horizon, with how its forecast did against the naive one."""
    points, backtest = rows(line["points"]), line.get("backtest")
    means: JsonObject = {name: mean([each[name] for each in points]) for name in ("mean", "low", "high")}
    return {**line, **means, "error_ratio": ratio(backtest)}


def mean(values: list[JsonValue]) -> float:
    """Of numbers; 0 of none."""
    known = [value for value in values if isinstance(value, int | float)]
    return sum(known) / len(known) if known else 0.0


def ratio(backtest: JsonValue) -> float | None:
    """The error of a forecast over that of the seasonal naive one."""
    if not isinstance(backtest, dict):
        return None
    error, naive = backtest.get("error"), backtest.get("error_naive")
    return error / naive if isinstance(error, int | float) and isinstance(naive, int | float) and naive else None


def backtest_words(backtest: JsonValue) -> str:
    """How good the forecast of the total is, in a line."""
    if not isinstance(backtest, dict):
        return ""
    told = f"{backtest['error']:.3f} slots off on the mean, {backtest['error_naive']:.3f} the seasonal naive forecast"
    return f"backtest on {backtest['steps']} steps ahead, unseen: {told}; {100 * float(str(backtest['coverage'])):.0f} % in the interval"


def reserving_words(reserving: JsonValue) -> str:
    """What is best reserved, in a line."""
    if not isinstance(reserving, dict):
        return ""
    costs = f"{reserving['hourly_cost']:.2f} an hour, {reserving['hourly_cost_on_demand']:.2f} with none"
    return f"best reserved: {reserving['slots']} slots ({costs}, {reserving['hourly_cost_peak']:.2f} with the peak reserved)"


@app.command()
def mix(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    pool: Annotated[str, typer.Option(help="Whose past is run again; the default one if left out.")] = "",
    file: Annotated[Path | None, typer.Option("--file", help="Further fields as JSON, such as `load`; docs/costs.md has all.")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=60, help="So much of the past.")] = None,
    reserved_share: Annotated[float | None, typer.Option(help="A reserved hour's price over one on demand.")] = None,
    spot_share: Annotated[float | None, typer.Option(help="A spot hour's price over one on demand, on the mean.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=20, help="How often it is run.")] = None,
    as_json: Json = False,
) -> None:
    """Simulate mixes of reserved, spot and on-demand machines for the same work. All its numbers are simulated."""
    named = {"pool": pool, "days": days, "reserved_share": reserved_share, "spot_share": spot_share, "seeds": seeds}
    body = {**(document(file) if file else {}), **{name: value for name, value in named.items() if value not in (None, "")}}
    with client_of(context) as client:
        told = client.post("/v1/costs/mix", body)
    if as_json:
        out.print_json(json.dumps(told))
        return
    out.print(f"simulated: {told['work']}, {told['jobs']:.0f} jobs, mean of {told['seeds']} seeds, in {told['currency']}", markup=False)
    show(rows(told["lines"]), MIXES, as_json=False, empty="")
    out.print(str(told["words"]), markup=False)


def document(path: Path) -> JsonObject:
    """A file of JSON. Raises InvalidInput."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {str(error)[:200]}", remedy="Give a file of JSON.") from error
    if not isinstance(read, dict):
        raise InvalidInput(f"{path} holds no object.", remedy="See docs/costs.md.")
    return read
