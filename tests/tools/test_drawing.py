"""A plan as a person reads it, in words and as a diagram."""

from decimal import Decimal

from tools.drawing import diagram_of, text_of
from tools.plan import DryRun, Effect, Plan, Price, Step, Verdict

PRICE = Price(low=Decimal("0.1"), high=Decimal("0.5"), basis="1 slot for an hour")


def step(identity: str, **fields: object) -> Step:
    known = {"id": identity, "tool": "leases.acquire", "agent": "provisioner", "summary": f"do {identity}", "effect": Effect.COSTLY}
    return Step.model_validate({**known, **fields})


PLAN = Plan(
    id="plan-1",
    tenant="vision",
    thread_id="t",
    requested_by="ann",
    request="r",
    title="Train.",
    price=PRICE,
    notes=("One slot is the default.",),
    revision=2,
    verdict=Verdict(decision="approve", approvals=2, policy="v1", reasons=("Two people.",)),
    steps=(
        step("lease", price=PRICE, undo="release it", dry_run=DryRun(quota="1 of 4 slots", starts_in_seconds=0)),
        step(
            "train", after=("lease",), arguments={"lease_id": {"from_step": "lease", "field": "lease_id"}}, postcondition="a run is there"
        ),
        step('say "hi"', tool='odd"tool', after=("train",), effect=Effect.READ, gate=True),
    ),
)


def test_the_text_says_what_an_approver_must_know() -> None:
    text = text_of(PLAN)
    for said in (
        "Train.  (team vision, plan plan-1, revision 2)",
        "1. [costly] provisioner: do lease",
        "undo: release it",
        "dry run: 1 of 4 slots",
        "starts in: 0 s",
        "price: 0.1000 to 0.5000 USD (1 slot for an hour)",
        "after: lease",
        "holds afterwards: a run is there",
        "note: One slot is the default.",
        "policy v1: approve, 2 approvals by approver",
        "  Two people.",
    ):
        assert said in text


def test_the_diagram_has_a_node_a_step_and_an_arrow_an_order() -> None:
    lines = diagram_of(PLAN).splitlines()
    assert lines[0] == "flowchart TD"
    assert '  s0["lease: leases.acquire"]:::costly' in lines
    assert "  s0 -.-> s1" in lines  # a result is taken
    assert "  s0 --> s1" not in lines
    assert "  s1 --> s2" in lines


def test_names_cannot_break_out_of_the_diagram() -> None:
    gate = next(line for line in diagram_of(PLAN).splitlines() if line.startswith("  s2"))
    assert gate == "  s2{\"say 'hi': odd'tool\"}:::read"


def test_a_plan_without_steps_is_drawn_too() -> None:
    empty = PLAN.model_copy(update={"steps": (), "verdict": None})
    assert text_of(empty).startswith("Train.")
    assert diagram_of(empty).startswith("flowchart TD")


def test_an_arrow_to_what_is_not_there_is_left_out() -> None:
    odd = PLAN.model_copy(update={"steps": (step("a", after=("nowhere",), arguments={"x": {"from_step": "b", "field": "f"}}),)})
    assert "-->" not in diagram_of(odd)
    assert "-.->" not in diagram_of(odd)
