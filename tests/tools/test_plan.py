"""What a plan is: impossible ones say why, and any change changes the digest."""

import pytest

from tools.plan import Effect, Plan, Scope, Step, Verdict


def step(identity: str, *after: str, **fields: object) -> Step:
    known = {"tool": "leases.acquire", "agent": "a", "summary": "s", "effect": Effect.WRITE}
    return Step.model_validate({"id": identity, "after": after, **known, **fields})


def taking(identity: str, source: str) -> Step:
    return step(identity, arguments={"x": {"from_step": source, "field": "f"}})


def plan(*steps: Step, **fields: object) -> Plan:
    known = {"id": "p", "tenant": "vision", "thread_id": "t", "requested_by": "ann", "request": "r", "title": "T"}
    return Plan.model_validate({**known, "steps": steps, **fields})


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ((step("a"), step("a")), "alike"),
        ((step("a", "z"),), "not there: z"),
        ((taking("a", "z"),), "not there: z"),
        ((step("a", "a"),), "wait for each other"),
        ((step("a", "b"), step("b", "a")), "wait for each other"),
        ((taking("a", "b"), step("b", "a")), "wait for each other"),
        ((step("a", "c"), step("b", "a"), step("c", "b"), step("d")), "wait for each other"),
    ],
)
def test_what_cannot_run_says_why(steps: tuple[Step, ...], said: str) -> None:
    assert said in plan(*steps).problem()


@pytest.mark.parametrize("steps", [(), (step("a"),), (step("b", "a"), step("a")), (step("a"), taking("b", "a"), step("c", "a", "b"))])
def test_what_can_run_has_no_problem(steps: tuple[Step, ...]) -> None:
    assert plan(*steps).problem() == ""


@pytest.mark.parametrize(
    "change",
    [
        {"title": "U"},
        {"tenant": "language"},
        {"requested_by": "bob"},
        {"requester_role": "admin"},
        {"revision": 2},
        {"verdict": Verdict(decision="run")},
        {"scope": Scope(tools=("x",))},
        {"lessons": ("L-1",)},
        {"steps": (step("a", arguments={"slots": 2}),)},
        {"steps": (step("a"), step("b"))},
    ],
)
def test_whatever_changes_changes_the_digest(change: dict[str, object]) -> None:
    made = plan(step("a", arguments={"slots": 1}))
    assert made.model_copy(update=change).digest() != made.digest()


def test_the_digest_survives_json() -> None:
    made = plan(step("a", arguments={"slots": 1, "name": "é"}), verdict=Verdict(decision="approve"))
    assert Plan.model_validate_json(made.model_dump_json()).digest() == made.digest()
