"""Runs a suite: the composition root that starts a scratch stack, plays every case with every model, and adds up."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from cli.stack.events import Event, OnEvent, ignore
from evals.figures import Evaluation, Row, SetName, SetResult, code_version, row, set_result, unplayed
from evals.first_job.player import Player
from evals.first_job.suite import DEVELOPMENT, HELDOUT, Case, load_cases
from evals.scratch import scratch
from factory_infra.errors import InvalidInput, LineshaftError, NotFound
from factory_infra.saas.models.registry import chat_model
from factory_infra.saas.models.weights import DEFAULT, find, presence
from factory_infra.settings import Settings

SUITE = "first-job"
EMBEDDED = "embedded"
MODELS = (f"{EMBEDDED}:{DEFAULT}", "none", "scripted:first-choice")
FILES = {"dev": DEVELOPMENT, "heldout": HELDOUT}
CASE_SECONDS_MAX = 1200.0

log = structlog.get_logger("evals")


@dataclass(frozen=True)
class CaseSet:
    """Cases that are judged together. `show`: whether single cases may be told of."""

    name: SetName
    cases: list[Case]
    show: bool


@dataclass(frozen=True)
class Progress:
    """What happened so far with one case."""

    model: str
    cases_set: CaseSet
    number: int
    row: Row


@dataclass(frozen=True)
class Order:
    """What to run."""

    settings: Settings
    models: list[str]
    sets: list[CaseSet]
    on_progress: Callable[[Progress], None]
    on_event: OnEvent = field(default=ignore)


def case_sets(which: str, only: list[str]) -> list[CaseSet]:
    """Read the sets that were asked for; naming a case of a held-out set is to look at it. Raises InvalidInput, NotFound."""
    names: list[SetName] = [name for name in ("dev", "heldout") if which in (name, "all")]
    if not names:
        raise InvalidInput(f"There is no set '{which}'.", remedy="Choose dev, heldout or all.")
    found = []
    for name in names:
        cases = [case for case in _read(name) if not only or case.id in only]
        if cases:
            found.append(CaseSet(name, cases, show=name == "dev" or bool(only)))
    missing = sorted(set(only) - {case.id for each in found for case in each.cases})
    if missing:
        raise NotFound(f"There is no case {', '.join(missing)}.", remedy="See 'lineshaft eval list'.")
    return found


def _read(name: SetName) -> list[Case]:
    try:
        return load_cases(FILES[name])
    except InvalidInput:
        if name == "dev":
            raise
        raise InvalidInput(
            "The held-out cases are not of the suite's form.", remedy="Their author must mend them.", code="cases_invalid"
        ) from None


def choose_models(asked: list[str], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Return the models to judge and those that are skipped, with the reason. Raises InvalidInput, NotFound for one that was asked for."""
    models, skipped = list(dict.fromkeys(asked)) or list(MODELS), {}
    for model in models:
        chat_model(settings.model_copy(update={"model": model}))
        name = model.removeprefix(f"{EMBEDDED}:")
        if name != model and not presence(find(name), settings.weights_dir).present:
            reason, remedy = f"The weights of {name} are not here.", f"Run 'lineshaft models pull {name}'."
            if asked:
                raise NotFound(reason, remedy=remedy, code="weights_missing")
            skipped[model] = f"{reason} {remedy}"
    models = [model for model in models if model not in skipped]
    if sum(model.startswith(f"{EMBEDDED}:") for model in models) > 1:
        raise InvalidInput("The model server loads one embedded model at a time.", remedy="Name one embedded model in each run.")
    return models, skipped


async def evaluate(order: Order) -> Evaluation | None:
    """Play all cases with all models, one after another; None when it was interrupted. Leaves no process and no file."""
    found = Evaluation(suite=SUITE, started_at=datetime.now(UTC), version=code_version())
    began = time.monotonic()
    embedded = next((model for model in order.models if model.startswith(f"{EMBEDDED}:")), "none")
    async with scratch(order.settings, embedded, order.on_event) as made:
        made.stack.handle_signals()
        await made.start()
        playing = asyncio.create_task(play_all(order, await Player.on(made)))
        asked = asyncio.create_task(made.stack.wait())
        await asyncio.wait({playing, asked}, return_when=asyncio.FIRST_COMPLETED)
        order.on_event(Event("", "stopping"))
        if not playing.done():
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            return None
        asked.cancel()
        found.results = playing.result()
    found.seconds = round(time.monotonic() - began, 1)
    return found


async def play_all(order: Order, player: Player) -> list[SetResult]:
    """Play every set with every model."""
    try:
        return [await _play_set(order, player, model, cases) for model in order.models for cases in order.sets]
    finally:
        await player.close()


async def _play_set(order: Order, player: Player, model: str, cases: CaseSet) -> SetResult:
    rows = []
    for number, case in enumerate(cases.cases, start=1):
        rows.append(await _play(player, case, model))
        order.on_progress(Progress(model, cases, number, rows[-1]))
    return set_result(model, cases.name, cases.cases, rows, show=cases.show)


async def _play(player: Player, case: Case, model: str) -> Row:
    try:
        async with asyncio.timeout(CASE_SECONDS_MAX):
            return row(case, await player.play(case, model))
    except LineshaftError as error:
        return unplayed(case, str(error))
    except Exception as error:  # one case that breaks must not end the others
        log.exception("a case broke", model=model)
        return unplayed(case, f"{type(error).__name__}: {error}")
