"""`lineshaft twin`: run a scenario in virtual time, or ask what would become of the installation if something were different."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cli.access import client_of
from cli.context import out
from cli.listing import JsonObject, show
from factory_infra.errors import Conflict, InvalidInput, StorageFull
from factory_infra.iaas.twin.engine import Progress as Told
from factory_infra.iaas.twin.engine import compare
from factory_infra.iaas.twin.plots import plot
from factory_infra.iaas.twin.question_words import EXAMPLES
from factory_infra.iaas.twin.results import METRICS, Comparison
from factory_infra.iaas.twin.scenario import Scenario
from factory_infra.iaas.twin.scenario_file import load

app = typer.Typer(help="The twin: scenarios in virtual time, and what-ifs from now. All its numbers are simulated.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
WAITING = ("lease_id", "queue", "slots", "starts_as_it_is", "starts_then", "sooner_seconds")
SEEDS_MAX = 100


@app.command("run")
def run_scenario(  # noqa: PLR0913 - each is an option of its own
    file: Annotated[Path, typer.Argument(help="The scenario file; docs/twin.md has its fields.", metavar="SCENARIO")],
    seeds: Annotated[str, typer.Option(help="Seeds with commas between; those of the file if left out.")] = "",
    only: Annotated[str, typer.Option(help="Policies of the file with commas between; all if left out.")] = "",
    metrics: Annotated[str, typer.Option(help=f"Columns with commas between: {', '.join(METRICS)}.")] = "",
    plots: Annotated[Path | None, typer.Option(help="Draw PNG pictures into this folder.", show_default=False)] = None,
    result: Annotated[Path | None, typer.Option(help="Write everything as JSON into this file.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Run every policy of a scenario with every seed and lay them side by side. Ctrl-C ends it; nothing real is touched."""
    found, scenarios = load(file)
    chosen = chosen_of(scenarios, only)
    columns = columns_of(metrics)
    with told(quiet=as_json) as progress:
        comparison = simulate(chosen, seeds_of(seeds) or list(found.seeds), progress)
    if result is not None:
        write(result, comparison)
    pictures = plot(comparison, plots) if plots is not None else []
    if as_json:
        out.print_json(comparison.model_dump_json())
        return
    out.print(comparison.table(columns), markup=False)
    for picture in pictures:
        out.print(f"drawn: {picture}", markup=False)


def simulate(scenarios: list[Scenario], seeds: list[int], progress: Told) -> Comparison:
    """Run them; Ctrl-C ends it as an error that says so."""
    try:
        return compare(scenarios, seeds, progress)
    except KeyboardInterrupt:
        raise Conflict("The simulation was ended.", remedy="Run it again; a seed gives the same again.", code="twin_cancelled") from None


def chosen_of(scenarios: list[Scenario], only: str) -> list[Scenario]:
    """The policies that were asked for. Raises InvalidInput for one that the file does not have."""
    names = [name.strip() for name in only.split(",") if name.strip()]
    known = {scenario.name: scenario for scenario in scenarios}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput(f"The file has no policy '{unknown[0]}'.", remedy=f"Policies: {', '.join(known)}.", code="scenario_invalid")
    return [known[name] for name in names] if names else scenarios


def columns_of(metrics: str) -> tuple[str, ...]:
    """The columns that were asked for, or all. Raises InvalidInput."""
    names = tuple(name.strip() for name in metrics.split(",") if name.strip())
    unknown = [name for name in names if name not in METRICS]
    if unknown:
        raise InvalidInput(f"There is no metric '{unknown[0]}'.", remedy=f"Metrics: {', '.join(METRICS)}.", code="metric_unknown")
    return names or tuple(METRICS)


def seeds_of(text: str) -> list[int]:
    """Seeds from a list such as `1,2,3`. Raises InvalidInput."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts) or len(parts) > SEEDS_MAX:
        remedy = f"Write up to {SEEDS_MAX} whole numbers with commas between, such as 1,2,3."
        raise InvalidInput(f"'{text[:40]}' are no seeds.", remedy=remedy, code="scenario_invalid")
    return [int(part) for part in parts]


@contextlib.contextmanager
def told(*, quiet: bool) -> Iterator[Told]:
    """Show how far it is, on stderr, where somebody looks."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda share: True
        return
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("simulating", total=1.0)

        def on(share: float) -> bool:
            bar.update(task, completed=share)
            return True

        yield on


def write(path: Path, comparison: Comparison) -> None:
    """Write a result wholly or not at all. Raises StorageFull."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(comparison.model_dump_json(indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise StorageFull(f"The result cannot be written to {path.name}: {error.strerror}.", remedy="Name another file.") from error


@app.command("what-if")
def what_if(
    context: typer.Context,
    words: Annotated[str, typer.Argument(help=f"Changes with `and` between, such as: {'; '.join(EXAMPLES)}.", metavar="CHANGES")],
    pool: Annotated[str, typer.Option(help="The pool that is asked about; the default one if left out.")] = "",
    as_json: Json = False,
) -> None:
    """Run the installation on from now in virtual time, as it is and with the changes. Nothing real changes."""
    with client_of(context) as client:
        answer = client.post("/v1/twin/what-if", {"words": words, "pool": pool})
    if as_json:
        out.print_json(json.dumps(answer))
        return
    print_answer(answer)


def print_answer(answer: JsonObject) -> None:
    """The changes as they were understood, who starts when, and the figures."""
    out.print(f"simulated, from {str(answer['as_of'])[:19].replace('T', ' ')} UTC in {', '.join(texts(answer['pools']))}")
    for each in texts(answer["told"]):
        out.print(f"  {escape(each)}")
    show(objects(answer["leases"]), WAITING, as_json=False, empty="Nothing of yours waits.")
    if answer["others"]:
        out.print(f"{answer['others']} of other teams wait too; {answer['others_delayed']} of them would start later")
    figures = objects(answer["figures"])
    show([rounded(row) for row in figures], list(figures[0]) if figures else (), as_json=False, empty="")


def rounded(row: JsonObject) -> JsonObject:
    """A row with numbers as a person reads them."""
    return {name: round(value, 1) if isinstance(value, float) else value for name, value in row.items()}


def texts(value: JsonValue) -> list[str]:
    """A list of texts of an answer."""
    return [str(each) for each in value] if isinstance(value, list) else []


def objects(value: JsonValue) -> list[JsonObject]:
    """A list of objects of an answer."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
