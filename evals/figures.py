"""What an evaluation found: a model's figures on a set of cases, and how they are printed and kept."""

import hashlib
import math
import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evals.first_job.player import Played
from evals.first_job.suite import Case, Group, Score, Summary, score, summarise

ROOT = Path(__file__).resolve().parents[1]
CODE = ("agents", "tools", "workflows", "factory_infra", "evals")
KINDS = {".py", ".md", ".yaml"}

SetName = Literal["dev", "heldout"]


class Figures(BaseModel):
    """A part of a result: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid")


class Row(Figures):
    """One case: its score and where its time went."""

    group: Group
    score: Score
    outcomes: tuple[str, ...] = ()
    planning_seconds: float | None = None
    execution_seconds: float | None = None


class Times(Figures):
    """Median and ninetieth percentile, in seconds; None where nothing was measured."""

    median: float | None = None
    p90: float | None = None


class SetResult(Figures):
    """One model on one set of cases. A held-out set shows its sums only: which of its cases fail is nobody's business while tuning."""

    model: str
    cases_set: SetName
    summary: Summary
    unplayed: int
    planning: Times
    execution: Times
    rows: list[Row] | None


class Evaluation(Figures):
    """One run of a suite."""

    suite: str
    started_at: datetime
    version: str
    seconds: float = 0.0
    results: list[SetResult] = []
    skipped: dict[str, str] = {}

    @property
    def wrong_effects(self) -> int:
        """How often the factory changed in a way that was not asked for: any is a failure of the whole."""
        return sum(result.summary.wrong_effects for result in self.results)

    @property
    def held(self) -> bool:
        """Whether nothing was wrongly changed, and every case was played."""
        return not self.wrong_effects and not any(result.unplayed for result in self.results)


def row(case: Case, played: Played) -> Row:
    """Score a played case."""
    return Row(
        group=case.group,
        score=score(case, played.recorded),
        outcomes=played.recorded.outcomes,
        planning_seconds=played.planning_seconds,
        execution_seconds=played.execution_seconds,
    )


def unplayed(case: Case, why: str) -> Row:
    """A case that could not be played: no success, and no judgement of what it would have done."""
    lost = Score(case_id=case.id, success=False, wrong_card=False, wrong_effect=False, asked=0, seconds=0.0, wrong=(f"not played: {why}",))
    return Row(group=case.group, score=lost)


def set_result(model: str, cases_set: SetName, cases: list[Case], rows: list[Row], *, show: bool) -> SetResult:
    """Add up the rows of one model on one set; `show` keeps the rows and the groups."""
    played = [each for each in rows if each.planning_seconds is not None]
    summary = summarise(cases, [each.score for each in played])
    return SetResult(
        model=model,
        cases_set=cases_set,
        summary=summary if show else summary.model_copy(update={"by_group": {}}),
        unplayed=len(cases) - len(played),
        planning=times([each.planning_seconds for each in played]),
        execution=times([each.execution_seconds for each in played]),
        rows=rows if show else None,
    )


def times(measured: Sequence[float | None]) -> Times:
    """Median and ninetieth percentile by nearest rank of what was measured."""
    known = sorted(each for each in measured if each is not None)
    return Times(median=_ranked(known, 0.5), p90=_ranked(known, 0.9)) if known else Times()


def _ranked(ordered: list[float], share: float) -> float:
    return round(ordered[max(math.ceil(share * len(ordered)), 1) - 1], 2)


def shown(model: str) -> str:
    """A model's name for a reader: without one, the router answers alone."""
    return "router (none)" if model == "none" else model


def print_evaluation(out: Console, evaluation: Evaluation) -> None:
    """Print a row a model and set, the groups of the sets that may be looked at, and why cases failed there."""
    out.print(_sums(evaluation))
    if any(result.summary.by_group for result in evaluation.results):
        out.print(_groups(evaluation))
    for result in evaluation.results:
        for each in result.rows or []:
            if not each.score.success:
                what = "; ".join(each.score.wrong)
                out.print(f"[red]x[/red] {escape(shown(result.model))} · {each.score.case_id}: {escape(what)}")
    for model, why in evaluation.skipped.items():
        out.print(f"[yellow]{escape(shown(model))} was skipped:[/yellow] {escape(why)}")


def _sums(evaluation: Evaluation) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("model", "set", "success", "wrong cards", "wrong effects", "asked", "planning s (p90)", "execution s (p90)", "not played"):
        table.add_column(name, justify="left" if name in ("model", "set") else "right")
    for result in evaluation.results:
        sums = result.summary
        table.add_row(
            escape(shown(result.model)),
            result.cases_set,
            f"{sums.success}/{sums.cases}",
            str(sums.wrong_cards),
            str(sums.wrong_effects),
            str(sums.asked),
            _pair(result.planning),
            _pair(result.execution),
            str(result.unplayed),
        )
    return table


def _pair(found: Times) -> str:
    return "-" if found.median is None else f"{found.median:.1f} ({found.p90:.1f})"


def _groups(evaluation: Evaluation) -> Table:
    named = [result for result in evaluation.results if result.summary.by_group]
    groups = list(dict.fromkeys(group for result in named for group in result.summary.by_group))
    table = Table(box=None, pad_edge=False)
    table.add_column("model")
    table.add_column("set")
    for group in groups:
        table.add_column(group, justify="right")
    for result in named:
        counts = [result.summary.by_group.get(group, (0, 0)) for group in groups]
        table.add_row(escape(shown(result.model)), result.cases_set, *(f"{good}/{total}" for good, total in counts))
    return table


def code_version() -> str:
    """The product's version and a digest of the files that were judged: equal digests mean equal code, in a checkout or an image."""
    digest = hashlib.sha256()
    for path in sorted(each for name in CODE for each in (ROOT / name).rglob("*") if each.suffix in KINDS):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return f"{version}+{digest.hexdigest()[:12]}"


def keep(evaluation: Evaluation, home: Path) -> Path:
    """Write the result under the user's home, as a file of its own, and return its path."""
    folder = home / "evals"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{evaluation.suite}-{evaluation.started_at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(evaluation.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path
