"""`lineshaft eval`: run an evaluation suite on a stack of its own, and list what there is."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated

import structlog
import typer
from rich.console import Console

from cli.context import out, settings_of
from cli.listing import JsonObject, show
from cli.stack.events import Event
from evals.figures import Evaluation, keep, print_evaluation, shown
from evals.injection import table as injection
from evals.injection.cases import make_cases
from evals.injection.suite import run_suite
from evals.retrieval import table as retrieval
from evals.run import SUITE, Order, Progress, case_sets, choose_models, evaluate
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.saas.models.providers.obedient import Obedient
from factory_infra.settings import Settings

app = typer.Typer(help="Run an evaluation suite.", no_args_is_help=True)
INTERRUPTED = 130
PROCESSORS: list[structlog.typing.Processor] = [
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
]
"""Tracebacks without the values of variables, which may hold secrets."""


class Which(StrEnum):
    """Which cases of a suite."""

    DEV = "dev"
    HELDOUT = "heldout"
    ALL = "all"


@app.command("list")
def list_suites(context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the suites; the cases that are held out are counted, not named."""
    rows: list[JsonObject] = []
    for cases in case_sets("all", []):
        ids = ", ".join(case.id for case in cases.cases) if cases.show else "(held out)"
        rows.append({"suite": SUITE, "set": cases.name, "cases": len(cases.cases), "ids": ids})
    for half in ("dev", "heldout"):
        count = sum(query.half == half for query in retrieval.queries())
        rows.append({"suite": retrieval.SUITE, "set": half, "cases": count, "ids": "(queries)"})
    rows.append({"suite": injection.SUITE, "set": "made from a seed", "cases": injection.CASES, "ids": "SEED-NUMBER"})
    show(rows, ("suite", "set", "cases", "ids"), as_json=as_json, empty="No suite.")


@app.command()
def run(  # noqa: PLR0913  (one parameter an option)
    context: typer.Context,
    suite: Annotated[str, typer.Argument(help="Which suite: first-job, injection or retrieval.")],
    model: Annotated[list[str] | None, typer.Option(help="A model to judge; may be repeated. Default: embedded, none, scripted.")] = None,
    which: Annotated[Which, typer.Option("--suite", help="The cases to tune on, those held out, or all.")] = Which.ALL,
    case: Annotated[list[str] | None, typer.Option(help="Only this case; may be repeated.")] = None,
    cases: Annotated[int, typer.Option(min=1, max=100_000, help="injection: how many cases.")] = injection.CASES,
    seed: Annotated[int, typer.Option(help="injection: what the cases are made from.")] = injection.SEED,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, progress on standard error.")] = False,
) -> None:
    """Play a suite's requests on a scratch stack; exit code 1 if the factory changed in a way not asked for, or a case was not played."""
    settings = settings_of(context)
    if suite == injection.SUITE:
        raise typer.Exit(run_injection(settings, cases, seed, as_json=as_json))
    if suite == retrieval.SUITE:
        raise typer.Exit(run_retrieval(as_json=as_json))
    if suite != SUITE:
        raise NotFound(f"There is no suite '{suite}'.", remedy=f"Choose one of: {SUITE}, {injection.SUITE}, {retrieval.SUITE}.")
    models, skipped = choose_models(model or [], settings)
    progress = Console(stderr=True, highlight=False, soft_wrap=True) if as_json else out
    reporter = Reporter(progress)
    order = Order(settings, models, case_sets(which.value, case or []), reporter.played, reporter.happened)
    with logged(settings):
        found = played(order)
    if found is None:
        progress.print("Interrupted; nothing was kept.")
        raise typer.Exit(INTERRUPTED)
    found.skipped = skipped
    path = keep(found, settings.home)
    if as_json:
        out.print_json(found.model_dump_json())
    else:
        out.print()
        print_evaluation(out, found)
        out.print(f"{found.seconds:.0f} s, version {found.version}, kept in {path}")
    raise typer.Exit(0 if found.held else 1)


def run_injection(settings: Settings, cases: int, seed: int, *, as_json: bool) -> int:
    """Play injection cases in this process, with the gate on and off; return the exit code."""
    progress = Console(stderr=True, highlight=False, soft_wrap=True)
    found = asyncio.run(run_suite(make_cases(seed, cases), Obedient("suite", settings), seed, progress.print))
    path = injection.keep_report(found, settings.home)
    if as_json:
        out.print_json(found.model_dump_json())
    else:
        injection.print_report(out, found)
        out.print(f"{found.seconds:.0f} s, kept in {path}")
    return 0 if found.held else 1


def run_retrieval(*, as_json: bool) -> int:
    """Measure the catalog's search on servers of its own; return the exit code."""
    found = retrieval.measured()
    if as_json:
        out.print_json(found.model_dump_json())
    else:
        retrieval.print_report(out, found)
    return 0 if found.held else 1


def played(order: Order) -> Evaluation | None:
    """Run the evaluation; None when it was interrupted, also while the stack came up."""
    try:
        return asyncio.run(evaluate(order))
    except LineshaftError as error:
        if error.error_code == "stack_stopped":
            return None
        raise


@contextmanager
def logged(settings: Settings) -> Iterator[None]:
    """Keep what the product logs out of the terminal, in one file of the user's home."""
    path = settings.home / "evals" / "last.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        structlog.configure(processors=PROCESSORS, logger_factory=structlog.WriteLoggerFactory(file))
        logging.basicConfig(stream=file, level=logging.WARNING, force=True)
        try:
            yield
        finally:
            structlog.reset_defaults()
            logging.basicConfig(level=logging.WARNING, force=True)


class Reporter:
    """Says while it runs what has happened; of a held-out case only that it is over."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def happened(self, event: Event) -> None:
        """A line for what the scratch stack does that takes time."""
        if event.kind == "ready":
            self._console.print(f"scratch stack ready in {event.seconds or 0:.1f} s")
        if event.kind in {"failed", "restarting"} or (event.kind == "stopping" and not event.part):
            self._console.print(f"{event.part or 'scratch stack'} {event.kind} {event.text}".rstrip())

    def played(self, progress: Progress) -> None:
        """A line a case."""
        row, total = progress.row, len(progress.cases_set.cases)
        place = f"{shown(progress.model)} · {progress.cases_set.name} {progress.number}/{total}"
        if not progress.cases_set.show:
            self._console.print(place)
            return
        verdict = "[green]ok[/green]" if row.score.success else "[red]x[/red] "
        spent = f"{row.planning_seconds or 0:.1f} s" + (f" + {row.execution_seconds:.1f} s" if row.execution_seconds else "")
        self._console.print(f"{place} {verdict} {row.score.case_id}  {'>'.join(row.outcomes)}  {spent}")
