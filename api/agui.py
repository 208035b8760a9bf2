"""AG-UI from the record of events: one fold from a thread's events to the protocol's, so that any position can be resumed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from ag_ui.core import (
    PROTOCOL_VERSION,
    BaseEvent,
    CustomEvent,
    Interrupt,
    RunErrorEvent,
    RunFinishedEvent,
    RunFinishedInterruptOutcome,
    RunFinishedOutcome,
    RunFinishedSuccessOutcome,
    RunStartedEvent,
    StateDeltaEvent,
    StateSnapshotEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)
from fastapi import Request
from pydantic import JsonValue

from api.stream import ALLOWED_SECONDS, POLL_SECONDS, QUIET_SECONDS, Allowed
from factory_infra.errors import Unauthenticated
from factory_infra.records.models import Event
from factory_infra.records.service import Records

JsonObject = dict[str, JsonValue]
Position = tuple[int, int]
"""Which event of the record, and which of the protocol's events that came of it. The run's own start is (0, 0)."""
BEFORE: Position = (-1, 0)
STREAM_SECONDS_MAX = 24 * 3600.0
APPROVE = "approve_plan"
ANSWER_SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string", "maxLength": 500}},
    "required": ["approved"],
}
STATES = {"plan.approved": "approved", "plan.started": "running", "plan.paused": "paused", "plan.resumed": "running"}


def interrupt_id(plan_id: str, digest: str) -> str:
    """Names an approval: exactly this revision of the plan."""
    return f"{plan_id}:{digest}"


@dataclass
class Asked:
    """What a client's run is about: a message, or the answer to an approval; under the names that the client gave."""

    thread_id: str
    run_id: str
    kept_in: str
    """The thread's own id."""
    message_id: str = ""
    plan_id: str = ""
    digest: str = ""
    actor: str = ""


@dataclass
class Fold:
    """Takes the thread's events in order and gives the run's. The same events give the same, whenever and however often."""

    asked: Asked
    ours: str = ""
    ended: bool = False
    plan: JsonObject = field(default_factory=dict)
    digest: str = ""
    open_steps: dict[str, str] = field(default_factory=dict)
    """Steps that run, each with its tool call."""

    def begin(self) -> BaseEvent:
        """The run's start."""
        return RunStartedEvent(thread_id=self.asked.thread_id, run_id=self.asked.run_id, protocol_version=PROTOCOL_VERSION)

    def take(self, event: Event) -> list[BaseEvent]:
        """What an event of the record means to the run; nothing where it belongs to another, or after the run's end."""
        if self.ended:
            return []
        if not self.ours:
            return self._look_for_start(event)
        if self.ours not in {event.run_id, event.plan_id}:
            return []
        return self._told(event)

    def _look_for_start(self, event: Event) -> list[BaseEvent]:
        payload = event.payload
        if self.asked.message_id:
            if event.kind == "message.user" and payload.get("message_id") == self.asked.message_id:
                self.ours = event.run_id or "none"
        elif event.kind == "plan.proposed" and event.plan_id == self.asked.plan_id and payload.get("digest") == self.asked.digest:
            self.ours = event.plan_id
            return [self._show(event)]
        return []

    def _told(self, event: Event) -> list[BaseEvent]:
        translate = TRANSLATORS.get(event.kind)
        if translate is not None:
            return translate(self, event)
        changed: list[BaseEvent] = []
        if event.kind in STATES and self.plan:
            changed.append(StateDeltaEvent(delta=[{"op": "replace", "path": "/state", "value": STATES[event.kind]}]))
        return [*changed, CustomEvent(name=event.kind, value=event.payload)]

    def _show(self, event: Event) -> BaseEvent:
        """The card, as the state that a front end draws."""
        plan = event.payload.get("plan")
        self.plan = plan if isinstance(plan, dict) else {}
        self.digest = str(event.payload.get("digest", ""))
        return StateSnapshotEvent(snapshot={"plan": self.plan, "plan_id": event.plan_id, "digest": self.digest, "state": "proposed"})

    def finish(self, outcome: RunFinishedOutcome) -> list[BaseEvent]:
        """The run's end; steps that were left open are closed first."""
        self.ended = True
        closed = [each for name in list(self.open_steps) for each in self._closed(name, {"left": "open"})]
        return [*closed, RunFinishedEvent(thread_id=self.asked.thread_id, run_id=self.asked.run_id, outcome=outcome)]

    def wait_for_person(self) -> list[BaseEvent]:
        """End the run with the approval that it waits for."""
        open_approval = Interrupt(
            id=interrupt_id(self.ours, self.digest),
            reason="tool_call",
            message=f"Approve: {self.plan.get('title', 'the plan')}?",
            tool_call_id=interrupt_id(self.ours, self.digest),
            response_schema=ANSWER_SCHEMA,
            expires_at=str(self.plan["expires_at"]) if self.plan.get("expires_at") else None,
        )
        return self.finish(RunFinishedInterruptOutcome(interrupts=[open_approval]))

    # --- one method for each kind that is more than itself

    def proposed(self, event: Event) -> list[BaseEvent]:
        """A card: shown, and where people must approve it, an interrupt."""
        shown, verdict = self._show(event), self.plan.get("verdict")
        call = tool_call(interrupt_id(self.ours, self.digest), APPROVE, {"plan_id": self.ours, "digest": self.digest, "plan": self.plan})
        if isinstance(verdict, dict) and verdict.get("decision") == "run":
            return [shown]
        return [shown, *call, *self.wait_for_person()]

    def approved(self, event: Event) -> list[BaseEvent]:
        """Enough people have approved."""
        changed = StateDeltaEvent(delta=[{"op": "replace", "path": "/state", "value": "approved"}])
        return [*self._answered(event, approved=True), changed]

    def refused(self, event: Event) -> list[BaseEvent]:
        """A person or the policy refused."""
        return self._answered(event, approved=False)

    def _answered(self, event: Event, *, approved: bool) -> list[BaseEvent]:
        if not self.asked.plan_id:
            return [CustomEvent(name=event.kind, value=event.payload)]
        content = json.dumps({"approved": approved, **event.payload})
        return [ToolCallResultEvent(message_id=f"event-{event.id}", tool_call_id=interrupt_id(self.ours, self.digest), content=content)]

    def given(self, event: Event) -> list[BaseEvent]:
        """One approval of several: the run of the person who gave it ends, waiting for the next."""
        told = CustomEvent(name=event.kind, value=event.payload)
        mine = event.payload.get("actor") == self.asked.actor and event.payload.get("given") != event.payload.get("needed")
        return [told, *(self.wait_for_person() if mine else [])]

    def step_started(self, event: Event) -> list[BaseEvent]:
        """A step begins: a step of the run, and a tool call with the arguments of the plan."""
        name = str(event.payload.get("step", ""))
        steps = self.plan.get("steps")
        known = next((step for step in steps if isinstance(step, dict) and step.get("id") == name), {}) if isinstance(steps, list) else {}
        before = self._closed(name, {"left": "begun again"})
        self.open_steps[name] = f"step-{event.id}"
        arguments = known.get("arguments", {}) if isinstance(known, dict) else {}
        call = tool_call(self.open_steps[name], str(event.payload.get("tool", "")), arguments)
        return [*before, StepStartedEvent(step_name=name), *call]

    def _closed(self, name: str, result: JsonObject) -> list[BaseEvent]:
        """The result of a step's call, without which a front end would think that it is to answer it; and the step's end."""
        call = self.open_steps.pop(name, None)
        if call is None:
            return []
        told = ToolCallResultEvent(message_id=f"{call}-result", tool_call_id=call, content=json.dumps(result))
        return [told, StepFinishedEvent(step_name=name)]

    def step_ended(self, event: Event) -> list[BaseEvent]:
        """A step is over; how is told as its kind, too."""
        return [CustomEvent(name=event.kind, value=event.payload), *self._closed(str(event.payload.get("step", "")), event.payload)]

    def said(self, event: Event) -> list[BaseEvent]:
        """Words, with what they can be checked against. A plan's last words end the run."""
        about = {name: value for name, value in event.payload.items() if name != "text"}
        told = [*words(event, str(event.payload.get("text", ""))), CustomEvent(name="message.details", value=about)]
        last = event.payload.get("plan_id") == self.ours and "state" in event.payload
        if not last:
            return told
        changed = StateDeltaEvent(delta=[{"op": "replace", "path": "/state", "value": event.payload["state"]}])
        return [*told, *([changed] if self.plan else []), *self.finish(RunFinishedSuccessOutcome())]

    def asked_back(self, event: Event) -> list[BaseEvent]:
        """One question back, with its options beside the words."""
        return [*words(event, str(event.payload.get("text", ""))), CustomEvent(name="question", value=event.payload)]

    def declined(self, event: Event) -> list[BaseEvent]:
        """It cannot be done: reason and remedy in words, the code beside them."""
        text = f"{event.payload.get('reason', '')} {event.payload.get('remedy', '')}".strip()
        return [*words(event, text), CustomEvent(name="refusal", value=event.payload)]

    def looked(self, event: Event) -> list[BaseEvent]:
        """A read-only tool answered."""
        call, payload = f"call-{event.id}", event.payload
        result = ToolCallResultEvent(message_id=f"event-{event.id}", tool_call_id=call, content=json.dumps(payload))
        return [*tool_call(call, str(payload.get("tool", "")), {}), result]

    def turn_over(self, event: Event) -> list[BaseEvent]:
        """Without a plan the run is over; with one its card follows."""
        return [] if event.payload.get("plan_id") else self.finish(RunFinishedSuccessOutcome())


TRANSLATORS: dict[str, Callable[[Fold, Event], list[BaseEvent]]] = {
    "message.user": lambda fold, event: [],
    "message.assistant": Fold.said,
    "question": Fold.asked_back,
    "refusal": Fold.declined,
    "tool.returned": Fold.looked,
    "turn.done": Fold.turn_over,
    "plan.proposed": Fold.proposed,
    "plan.approved": Fold.approved,
    "plan.refused": Fold.refused,
    "approval.given": Fold.given,
    "step.started": Fold.step_started,
    "step.done": Fold.step_ended,
    "step.failed": Fold.step_ended,
}
"""Kinds that are more than themselves; any other kind passes as a custom event of its name."""


def words(event: Event, text: str) -> list[BaseEvent]:
    """One message of the assistant, whole."""
    name = f"event-{event.id}"
    started = TextMessageStartEvent(message_id=name, role="assistant")
    said = [TextMessageContentEvent(message_id=name, delta=text)] if text else []
    return [started, *said, TextMessageEndEvent(message_id=name)]


def tool_call(identity: str, name: str, arguments: JsonValue) -> list[BaseEvent]:
    """One call of a tool, whole."""
    started = ToolCallStartEvent(tool_call_id=identity, tool_call_name=name)
    return [started, ToolCallArgsEvent(tool_call_id=identity, delta=json.dumps(arguments)), ToolCallEndEvent(tool_call_id=identity)]


def frame(event: BaseEvent, position: Position | None) -> str:
    """One event as the standard's server-sent events have it; one without a position does not move where a stream resumes."""
    place = f"id: {position[0]}-{position[1]}\n" if position else ""
    return f"{place}data: {event.model_dump_json(by_alias=True)}\n\n"


def translated(fold: Fold, events: list[Event], after: Position) -> list[tuple[Position, BaseEvent]]:
    """The run's events that come of some of the record's and lie after a position."""
    given = [((event.id, place), each) for event in events for place, each in enumerate(fold.take(event))]
    return [(position, each) for position, each in given if position > after]


async def agui_stream(request: Request, records: Records, fold: Fold, after: Position, allowed: Allowed) -> AsyncIterator[str]:
    """Yield the run's events from a position on, to RUN_FINISHED; or RUN_ERROR, which can be resumed, where it cannot go on."""
    position, quiet, checked, began = 0, 0.0, time.monotonic(), time.monotonic()
    yield "retry: 500\n\n"
    if after < (0, 0):
        yield frame(fold.begin(), (0, 0))
    while not fold.ended and not await request.is_disconnected():
        if time.monotonic() - checked >= ALLOWED_SECONDS:
            checked = time.monotonic()
            trouble = await stopped(allowed, began)
            if trouble is not None:
                yield frame(trouble, None)
                return
        events = await records.read_events(fold.asked.kept_in, position)
        for place, each in translated(fold, events, after):
            yield frame(each, place)
        position = events[-1].id if events else position
        quiet = 0.0 if events else quiet + POLL_SECONDS
        if quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        if not events:
            await asyncio.sleep(POLL_SECONDS)


async def stopped(allowed: Allowed, began: float) -> RunErrorEvent | None:
    """Why a stream may not go on, if it may not."""
    if time.monotonic() - began > STREAM_SECONDS_MAX:
        return RunErrorEvent(message="The stream has lasted a day; resume it with Last-Event-ID.", code="expired")
    try:
        await allowed()
    except Unauthenticated as error:
        return RunErrorEvent(message=str(error), code=error.error_code)
    return None
