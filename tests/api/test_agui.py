"""AG-UI as a fold over events: real models, always one end, and resumed at every position without loss or repeat."""

import json
from typing import Any

import pytest
from ag_ui.core import Event as Protocol
from ag_ui.core import EventType
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from api.agui import BEFORE, Asked, Fold, Position, frame, interrupt_id, translated
from factory_infra.database import utcnow
from factory_infra.records.models import Event

PROTOCOL: TypeAdapter[Any] = TypeAdapter(Protocol)
RUN, DIGEST = "plan-t-1", "d" * 64
PLAN = {
    "title": "Train wine",
    "expires_at": "2030-01-01T00:00:00Z",
    "steps": [{"id": "lease", "arguments": {"slots": 1}}, {"id": "train", "arguments": {}}],
}
Told = tuple[str, dict[str, Any]]


def record(*told: Told, run: str = RUN, plan: str = "", first: int = 1) -> list[Event]:
    """Events of one run, numbered with gaps as in a thread that is not alone."""
    return [
        Event.model_validate(
            {
                "id": first + 3 * i,
                "tenant": "vision",
                "thread_id": "t",
                "plan_id": plan,
                "run_id": run,
                "kind": k,
                "payload": p,
                "at": utcnow(),
            }
        )
        for i, (k, p) in enumerate(told)
    ]


ASKED: list[Told] = [
    ("message.user", {"text": "train wine", "actor": "ann", "message_id": "m-1"}),
    ("agent.started", {"agent": "dispatcher", "model": None, "planner": "playbook"}),
    ("model.called", {"agent": "dispatcher", "tokens": 3}),
    ("tool.returned", {"tool": "leases.list", "agent": "scheduler", "outcome": "ok"}),
]
CARD: list[Told] = [("plan.proposed", {"plan": PLAN, "digest": DIGEST})]
WORK: list[Told] = [
    ("plan.approved", {"actor": "ann", "digest": DIGEST}),
    ("plan.started", {"steps": 2}),
    ("step.started", {"step": "lease", "tool": "leases.acquire", "agent": "provisioner", "summary": "Lease"}),
    ("step.done", {"step": "lease", "tool": "leases.acquire", "agent": "provisioner", "result": {"lease_id": "l"}}),
    ("step.started", {"step": "train", "tool": "training.run", "agent": "trainer", "summary": "Train"}),
    ("step.progress", {"step": "train", "job_id": "j", "percent": 50, "stage": "fit"}),
    ("plan.paused", {"actor": "ann", "reason": ""}),
    ("plan.resumed", {"actor": "ann"}),
    ("step.failed", {"step": "train", "tool": "training.run", "code": "job_failed", "reason": "r", "remedy": ""}),
    ("step.undone", {"step": "lease", "told": "released"}),
    ("plan.ended", {"state": "failed", "text": "Failed."}),
    ("message.assistant", {"text": "Failed: Train wine.", "citations": [], "plan_id": RUN, "state": "failed"}),
]
DONE: Told = ("turn.done", {"turn": 1, "message_id": "m-1", "plan_id": RUN})
BY_ITSELF = [("plan.proposed", {"plan": {**PLAN, "verdict": {"decision": "run"}}, "digest": DIGEST})]
READING: list[Told] = [
    *ASKED,
    ("message.assistant", {"text": "4 slots are free.", "citations": [], "agent": "scheduler", "notes": []}),
    ("turn.done", {"turn": 1, "message_id": "m-1", "plan_id": None}),
]
QUESTION: list[Told] = [*ASKED, ("question", {"text": "Which?", "options": ["a"]}), ("turn.done", {"message_id": "m-1", "plan_id": None})]
REFUSAL: list[Told] = [
    *ASKED,
    ("refusal", {"code": "quota_exceeded", "reason": "No.", "remedy": "Less."}),
    ("turn.done", {"message_id": "m-1", "plan_id": None}),
]
MESSAGE = Asked(thread_id="mine", run_id="run-1", kept_in="t", message_id="m-1", actor="ann")
ANSWER = Asked(thread_id="mine", run_id="run-2", kept_in="t", plan_id=RUN, digest=DIGEST, actor="ann")
RUNS: dict[str, tuple[Asked, list[Event]]] = {
    "reading": (MESSAGE, record(*READING)),
    "question": (MESSAGE, record(*QUESTION)),
    "refusal": (MESSAGE, record(*REFUSAL)),
    "proposal": (MESSAGE, record(*ASKED, DONE, *CARD, plan=RUN)),
    "card before the turn's end": (MESSAGE, record(*ASKED, *CARD, DONE, plan=RUN)),
    "by itself": (MESSAGE, record(*ASKED, *BY_ITSELF, DONE, *WORK, plan=RUN)),
    "approved": (ANSWER, record(*ASKED, *CARD, DONE, *WORK, plan=RUN)),
}


def protocol(asked: Asked, events: list[Event], after: Position = BEFORE, cut: int = 1) -> list[tuple[Position, Any]]:
    """What a client receives, however the pages of the record are cut."""
    fold, given = Fold(asked), []
    if after < (0, 0):
        given.append(((0, 0), fold.begin()))
    for start in range(0, len(events), cut):
        given += translated(fold, events[start : start + cut], after)
    return given


def lines(told: list[tuple[Position, Any]]) -> list[str]:
    return [frame(event, position) for position, event in told]


@pytest.mark.parametrize("name", RUNS)
def test_every_event_is_the_protocols_and_the_last_ends_the_run(name: str) -> None:
    told = protocol(*RUNS[name])
    parsed = [PROTOCOL.validate_json(line.partition("data: ")[2]) for line in lines(told)]
    assert [event.type for event in parsed].count(EventType.RUN_STARTED) == 1 and parsed[0].type is EventType.RUN_STARTED
    ends = [event for event in parsed if event.type in {EventType.RUN_FINISHED, EventType.RUN_ERROR}]
    assert ends == [parsed[-1]] and not any(event.model_extra for event in parsed)
    positions = [position for position, _ in told]
    assert positions == sorted(set(positions))


@pytest.mark.parametrize("name", RUNS)
def test_what_is_opened_is_closed_before_the_end(name: str) -> None:
    open_things: set[str] = set()
    for _, event in protocol(*RUNS[name]):
        kind, identity = (
            event.type.value,
            str(getattr(event, "message_id", getattr(event, "tool_call_id", getattr(event, "step_name", "")))),
        )
        if kind.endswith("_START") or kind == "STEP_STARTED":
            assert identity not in open_things
            open_things.add(identity)
        elif kind.endswith(("_END", "_CONTENT", "_ARGS")) or kind == "STEP_FINISHED":
            assert identity in open_things
            open_things -= {identity} if not kind.endswith(("_CONTENT", "_ARGS")) else set()
    assert open_things == set()


@pytest.mark.parametrize("name", RUNS)
def test_a_stream_that_breaks_anywhere_is_resumed_without_loss_or_repeat(name: str) -> None:
    asked, events = RUNS[name]
    whole = protocol(asked, events)
    for place, (position, _) in enumerate(whole):
        assert lines(protocol(asked, events, position)) == lines(whole[place + 1 :])


@given(st.sampled_from(sorted(RUNS)), st.lists(st.integers(0, 60), max_size=6), st.integers(1, 9), st.integers(1, 9))
def test_any_number_of_breaks_over_any_pages(name: str, breaks: list[int], cut: int, other: int) -> None:
    asked, events = RUNS[name]
    whole, seen, after = lines(protocol(asked, events)), list[str](), BEFORE
    for number in [*breaks, 10_000]:
        got = protocol(asked, events, after, cut)[:number]
        seen += lines(got)
        after, cut, other = (got[-1][0] if got else after), other, cut
    assert seen == whole


def test_control_a_resumption_that_knows_only_the_record_repeats() -> None:
    asked, events = RUNS["approved"]
    whole = protocol(asked, events)
    inside = next(position for position, _ in whole if position[1] == 1)
    assert lines(protocol(asked, events, (inside[0], -1))) != lines([each for each in whole if each[0] > inside])


def test_other_runs_of_the_thread_are_left_out() -> None:
    others = record(*WORK, run="plan-t-0", plan="plan-t-0", first=2) + record(*READING, run="plan-t-2", first=3)
    asked, mine = RUNS["reading"]
    assert lines(protocol(asked, sorted([*mine, *others], key=lambda event: event.id))) == lines(protocol(asked, mine))


def test_a_proposal_ends_with_an_interrupt_that_names_its_digest() -> None:
    told = [event for _, event in protocol(*RUNS["proposal"])]
    interrupt = told[-1].outcome.interrupts[0]
    assert interrupt.id == interrupt.tool_call_id == interrupt_id(RUN, DIGEST) and interrupt.expires_at == PLAN["expires_at"]
    call = next(event for event in told if event.type is EventType.TOOL_CALL_START and event.tool_call_name == "approve_plan")
    assert call.tool_call_id == interrupt.id
    shown = next(event for event in told if event.type is EventType.STATE_SNAPSHOT)
    assert shown.snapshot["digest"] == DIGEST and shown.snapshot["plan"]["title"] == "Train wine"


def test_an_answer_is_told_as_the_calls_result_and_steps_as_steps() -> None:
    told = [event for _, event in protocol(*RUNS["approved"])]
    result = next(event for event in told if event.type is EventType.TOOL_CALL_RESULT)
    assert result.tool_call_id == interrupt_id(RUN, DIGEST) and json.loads(result.content)["approved"] is True
    assert [event.step_name for event in told if event.type is EventType.STEP_STARTED] == ["lease", "train"]
    calls = {event.tool_call_id for event in told if event.type is EventType.TOOL_CALL_START}
    assert calls <= {event.tool_call_id for event in told if event.type is EventType.TOOL_CALL_RESULT}
    states = [change.value for event in told if event.type is EventType.STATE_DELTA for change in event.delta]
    assert states == ["approved", "running", "paused", "running", "failed"]
    assert told[-1].outcome.type == "success"


def test_the_first_of_two_approvals_ends_its_givers_run_and_not_the_others() -> None:
    first = ("approval.given", {"actor": "ann", "digest": DIGEST, "needed": 2, "given": 1})
    second = ("approval.given", {"actor": "bob", "digest": DIGEST, "needed": 2, "given": 2})
    events = record(*ASKED, *CARD, DONE, first, second, *WORK, plan=RUN)
    assert protocol(ANSWER, events)[-1][1].outcome.type == "interrupt"
    bobs = Asked(**{**ANSWER.__dict__, "actor": "bob"})
    assert protocol(bobs, events)[-1][1].outcome.type == "success"


def test_a_revision_is_an_interrupt_of_its_own() -> None:
    revised = ("plan.proposed", {"plan": {**PLAN, "revision": 2}, "digest": "e" * 64})
    told = protocol(ANSWER, record(*ASKED, *CARD, DONE, revised, *WORK, plan=RUN))
    assert told[-1][1].outcome.interrupts[0].id == interrupt_id(RUN, "e" * 64)
