"""The first-job data set and its scorers."""

from pathlib import Path

import pytest

from evals.first_job.suite import (
    DEVELOPMENT,
    Case,
    EndpointSeen,
    FactoryState,
    LeaseSeen,
    PlanSeen,
    Recorded,
    VersionSeen,
    load_cases,
    score,
    summarise,
)
from factory_infra.errors import InvalidInput
from tools.plan import Effect, PlanState, Step

ENDPOINT = EndpointSeen(team="vision", name="digits", model_name="digits-classifier", version=1, dataset="digits", accuracy=0.97)
VERSION = VersionSeen(team="vision", model_name="digits-classifier", version=1, dataset="digits")
LIVE = FactoryState(endpoints=(ENDPOINT,), versions=(VERSION,))


def step(tool: str, **arguments: object) -> Step:
    return Step.model_validate(
        {"id": tool, "tool": tool, "agent": "trainer", "summary": tool, "arguments": arguments, "effect": Effect.COSTLY}
    )


def recorded(case: Case, **changes: object) -> Recorded:
    steps = (step("leases.acquire", slots=2), step("training.run", dataset="digits"), step("deployments.gate", threshold=0.95))
    plan = PlanSeen(team="vision", steps=steps, state=PlanState.DONE)
    fields: dict[str, object] = {"outcomes": ("plan",), "plan": plan, "before": FactoryState(), "after": LIVE, "seconds": 1.0}
    return Recorded.model_validate({"case_id": case.id, **fields, **changes})


@pytest.fixture
def clear() -> Case:
    return next(case for case in load_cases() if case.id == "clear-gated")


@pytest.fixture
def wrong() -> Case:
    return next(case for case in load_cases() if case.id == "wrong-team")


class TestData:
    def test_twenty_phrasings_of_five_groups(self) -> None:
        cases = load_cases(DEVELOPMENT)
        assert len(cases) == 20 and {case.group for case in cases} == {"clear", "vague", "wrong", "impossible", "language"}

    def test_a_bad_file_is_named(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.yaml"
        path.write_text("cases: [{id: x, group: clear, requests: [], expect: {outcome: plan}}]", encoding="utf-8")
        with pytest.raises(InvalidInput, match=r"bad\.yaml"):
            load_cases(path)


class TestScores:
    def test_as_expected(self, clear: Case) -> None:
        result = score(clear, recorded(clear))
        assert result.success and not result.wrong_card and not result.wrong_effect and result.asked == 0

    def test_another_value_is_a_wrong_card(self, clear: Case) -> None:
        steps = (step("leases.acquire", slots=3), step("training.run", dataset="digits"), step("deployments.gate", threshold=0.95))
        result = score(clear, recorded(clear, plan=PlanSeen(team="vision", steps=steps, state=PlanState.DONE)))
        assert not result.success and result.wrong_card and not result.wrong_effect

    def test_a_lease_left_behind_is_a_wrong_effect(self, clear: Case) -> None:
        after = LIVE.model_copy(update={"leases": (LeaseSeen(team="vision", id="l", slots=2),)})
        result = score(clear, recorded(clear, after=after))
        assert not result.success and result.wrong_effect

    def test_a_refusal_needs_its_code_and_leaves_everything(self, wrong: Case) -> None:
        good = {"outcomes": ("refusal",), "refusal_code": "team_unknown", "plan": None, "after": FactoryState()}
        assert score(wrong, recorded(wrong, **good)).success
        assert not score(wrong, recorded(wrong, **{**good, "refusal_code": "internal"})).success
        assert score(wrong, recorded(wrong, **{**good, "after": LIVE})).wrong_effect

    def test_a_plan_where_none_was_right_is_a_wrong_card(self, wrong: Case) -> None:
        result = score(wrong, recorded(wrong, after=FactoryState()))
        assert not result.success and result.wrong_card and not result.wrong_effect

    def test_sums(self, clear: Case, wrong: Case) -> None:
        summary = summarise([clear, wrong], [score(clear, recorded(clear))])
        assert (summary.success, summary.cases) == (1, 2) and summary.by_group == {"clear": (1, 1), "wrong": (0, 1)}
