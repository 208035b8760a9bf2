"""The runner without a stack: what a turn's events come to, how figures add up, what is told of held-out cases."""

from io import StringIO
from pathlib import Path

import pytest
import structlog
from pydantic import JsonValue
from rich.console import Console

from evals.command import Reporter, logged
from evals.figures import Evaluation, Row, SetResult, code_version, keep, print_evaluation, row, set_result, times, unplayed
from evals.first_job.doors import heard
from evals.first_job.player import Played, SharedEmbeddings
from evals.first_job.suite import Case, FactoryState, Recorded
from evals.run import CaseSet, Progress, case_sets, choose_models
from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.settings import Settings
from tools.plan import Plan


def event(kind: str, **payload: JsonValue) -> dict[str, JsonValue]:
    return {"id": 1, "kind": kind, "plan_id": "", "payload": payload}


def case(name: str, outcome: str = "question") -> Case:
    return Case.model_validate({"id": name, "group": "clear", "requests": ["whisper"], "expect": {"outcome": outcome}})


def played(name: str, outcome: str = "question", planning: float = 1.0, execution: float | None = None) -> Played:
    state = FactoryState()
    record = Recorded.model_validate(
        {"case_id": name, "outcomes": (outcome,), "before": state, "after": state, "seconds": planning + (execution or 0)}
    )
    return Played(recorded=record, planning_seconds=planning, execution_seconds=execution)


def judged(*, show: bool) -> SetResult:
    cases = [case("good"), case("bad"), case("lost")]
    rows = [
        row(cases[0], played("good", planning=1.0)),
        row(cases[1], played("bad", "reply", planning=3.0, execution=5.0)),
        unplayed(cases[2], "no slots"),
    ]
    return set_result("none", "dev" if show else "heldout", cases, rows, show=show)


def printed(*results: SetResult) -> str:
    text = StringIO()
    evaluation = Evaluation(suite="first-job", started_at=utcnow(), version="1", results=list(results), skipped={"m": "no weights"})
    print_evaluation(Console(file=text, width=200), evaluation)
    return text.getvalue()


class TestHeard:
    def test_a_plan_is_taken_with_its_digest(self) -> None:
        plan = Plan(id="p", tenant="vision", thread_id="t", requested_by="ann", request="r", title="t", steps=())
        told = heard([event("message.user"), event("turn.done"), event("plan.proposed", plan=plan.model_dump(mode="json"), digest="d")])
        assert (told.outcome, told.plan, told.digest) == ("plan", plan, "d")

    def test_a_refusal_keeps_its_code(self) -> None:
        assert heard([event("refusal", code="team_unknown")]).code == "team_unknown"

    @pytest.mark.parametrize(
        ("events", "outcome"),
        [
            ([event("question")], "question"),
            ([event("tool.returned"), event("message.assistant")], "reading"),
            ([event("tool.returned"), event("question")], "question"),
            ([event("message.assistant")], "reply"),
            ([event("question"), event("refusal", code="x")], "refusal"),
        ],
    )
    def test_what_was_said_decides(self, events: list[dict[str, JsonValue]], outcome: str) -> None:
        assert heard(events).outcome == outcome


class TestFigures:
    def test_a_case_that_was_not_played_is_no_success_and_counts(self) -> None:
        result = judged(show=True)
        assert (result.summary.success, result.summary.cases, result.unplayed) == (1, 3, 1)
        assert result.summary.by_group == {"clear": (1, 3)}

    def test_planning_and_execution_are_told_apart(self) -> None:
        result = judged(show=True)
        assert (result.planning.median, result.planning.p90) == (1.0, 3.0)
        assert (result.execution.median, result.execution.p90) == (5.0, 5.0)

    def test_a_case_that_was_not_played_fails_the_whole(self) -> None:
        assert not Evaluation(suite="first-job", started_at=utcnow(), version="1", results=[judged(show=True)]).held
        assert Evaluation(suite="first-job", started_at=utcnow(), version="1").held

    def test_ranks_are_nearest(self) -> None:
        found = times([float(each) for each in range(1, 11)])
        assert (found.median, found.p90) == (5.0, 9.0)
        assert times([None]).median is None

    def test_held_out_cases_give_sums_only(self) -> None:
        result = judged(show=False)
        assert result.rows is None
        assert result.summary.by_group == {}
        assert not any(word in result.model_dump_json() + printed(result) for word in ("good", "bad", "lost", "whisper", "clear"))

    def test_failures_of_the_others_are_told_with_their_reason(self) -> None:
        text = printed(judged(show=True))
        assert "1/3" in text
        assert "bad: outcome is reply, not question" in text
        assert "lost: not played: no slots" in text
        assert "m was skipped: no weights" in text

    def test_a_result_is_kept_whole(self, tmp_path: Path) -> None:
        made = Evaluation(suite="first-job", started_at=utcnow(), version=code_version(), results=[judged(show=True)])
        assert Evaluation.model_validate_json(keep(made, tmp_path).read_text()) == made

    def test_the_version_names_the_code(self) -> None:
        assert code_version() == code_version()
        assert "+" in code_version()


class TestChoice:
    def test_a_model_without_weights_is_skipped_unless_it_was_asked_for(self, settings: Settings) -> None:
        models, skipped = choose_models([], settings)
        assert models == ["none", "scripted:first-choice"]
        assert "lineshaft models pull" in skipped["embedded:qwen2.5-coder-0.5b"]
        with pytest.raises(NotFound):
            choose_models(["embedded:qwen2.5-coder-0.5b"], settings)

    def test_an_unknown_model_is_refused_before_anything_starts(self, settings: Settings) -> None:
        with pytest.raises(InvalidInput):
            choose_models(["oracle"], settings)

    def test_an_unknown_case_is_refused(self) -> None:
        with pytest.raises(NotFound):
            case_sets("dev", ["no-such-case"])

    def test_the_held_out_set_is_not_shown(self) -> None:
        assert [(each.name, each.show) for each in case_sets("all", [])] == [("dev", True), ("heldout", False)]


class TestProgress:
    @pytest.mark.parametrize(("show", "said"), [(True, True), (False, False)])
    def test_a_held_out_case_is_neither_named_nor_judged(self, show: bool, said: bool) -> None:
        text = StringIO()
        done = row(case("secret"), played("secret"))
        told: Row = done
        Reporter(Console(file=text)).played(Progress("none", CaseSet("heldout", [case("secret")], show=show), 1, told))
        assert ("secret" in text.getvalue()) is said
        assert ("ok" in text.getvalue()) is said


def test_a_log_holds_the_traceback_and_no_value(settings: Settings) -> None:
    with logged(settings):
        whisper = "ls_" + "w" * 8
        try:
            raise ValueError(len(whisper))
        except ValueError:
            structlog.get_logger("t").exception("a case broke")
    kept = (settings.home / "evals" / "last.log").read_text()
    assert "ValueError: 11" in kept
    assert "ls_wwwwwwww" not in kept


class Counting:
    """Embeddings that count how often they are asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(texts)
        return [[1.0] for _ in texts]


async def test_examples_are_embedded_once_and_requests_always() -> None:
    inner, shared = Counting(), SharedEmbeddings()
    for _ in range(2):
        over = shared.over(inner)
        await over.embed(["a", "b"])
        await over.embed(["request"])
    assert inner.asked == [["a", "b"], ["request"], ["request"]]
