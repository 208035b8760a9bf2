"""A plan against a model of it: whatever people, policy, the switch and failures do in whichever order, the promises hold.

The real workflows run without a server (`loop.py`): waits, clock and activities are the model's.
"""

import asyncio
import json
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from temporalio.exceptions import ApplicationError

from tests.workflows.line import STRANGER, JsonObject, plan, revised, step
from tests.workflows.loop import World
from tools.approval import person, reaches
from tools.plan import Plan, PlanState, Step, Verdict
from workflows.definitions import ballot as ballot_module
from workflows.definitions.ballot import Ballot, refusal
from workflows.definitions.holding import Holding
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.undo import UndoWorkflow
from workflows.messages import Cancellation, Decision, Edit, JobOutcome, Pause, PlanOutcome, Resume, UndoInput, Who

KNOWN: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": False}
PROFILES = {
    "default": settings(max_examples=120, stateful_step_count=30, **KNOWN),
    "nightly": settings(max_examples=900, stateful_step_count=60, **KNOWN),
}
CONTROL = settings(PROFILES["default"], max_examples=400, database=None, derandomize=True, phases=[Phase.generate])
STEPS_AT_LEAST = {"default": 500, "nightly": 10_000}
PEOPLE = [
    Who(actor="ann (1)", role="approver", tenant="vision"),
    Who(actor="ann (2)", role="admin", tenant="vision"),
    Who(actor="bob (3)", role="approver", tenant="vision"),
    Who(actor="eve (4)", role="user", tenant="vision"),
    Who(actor="Eve (5)", role="approver", tenant="vision"),
    Who(actor="root (6)", role="admin", tenant=None),
    STRANGER,
]
VERDICTS = st.builds(
    Verdict,
    decision=st.just("approve"),
    approvals=st.sampled_from([1, 1, 2, 2, 3]),
    role=st.sampled_from(["approver", "approver", "approver", "admin"]),
    requester_may_approve=st.booleans(),
    expires_seconds=st.sampled_from([60.0, 6000.0]),
)
SHAPES = st.sampled_from(["a", "ab", "abc", "a b", "a bc", "abcd"])
"""Chains of steps that run side by side: each letter comes after the one before it."""
SLOW = {"save_approval", "revise_plan", "save_plan"}
"""What takes a while, so that other words come in between."""
COUNTED = {"steps": 0, "runs": 0, "effects": 0}


def steps_of(shape: str, jobs: bool, note: int) -> list[Step]:
    """The steps of a shape; the note makes those of one edit differ from another's."""
    found = []
    for chain in shape.split():
        for before, name in zip(["", *chain], chain, strict=False):
            fields = {"runs_as": "job"} if jobs and name in "bc" else {}
            found.append(step(name, *([before] if before else []), arguments={"note": note}, **fields))
    return found


class Pending:
    """An effect in its middle, or a record that is being written."""

    def __init__(self, name: str, argument: JsonObject, future: "asyncio.Future[JsonObject]") -> None:
        self.name = name
        self.argument = argument
        self.future = future


class Book:
    """What a person outside would write down: who approved what, what was done and what stands."""

    def __init__(self) -> None:
        self.documents: dict[str, Plan] = {}
        self.words: dict[str, list[tuple[datetime, Who]]] = {}
        self.dropped: set[str] = set()
        self.approved: Plan | None = None
        self.done: list[str] = []
        self.standing: dict[str, str] = {}
        self.begun: list[str] = []
        self.held = False
        self.cancelled = False

    def counts(self, digest: str, who: Who, now: datetime) -> bool:
        """Whether this person's approval of this revision counts now."""
        made = self.documents[digest]
        verdict = made.verdict or Verdict(decision="approve", approvals=1)
        already = {person(each.actor) for each in self.good(digest, now)}
        requester = person(who.actor) == person(made.requested_by)
        return (
            who.tenant in (None, made.tenant)
            and reaches(who.role, verdict.role)
            and not (requester and not verdict.requester_may_approve)
            and person(who.actor) not in already
        )

    def good(self, digest: str, now: datetime) -> list[Who]:
        """Whose approvals of a revision are good now."""
        verdict = self.documents[digest].verdict or Verdict(decision="approve", approvals=1)
        lasting = timedelta(seconds=verdict.expires_seconds)
        return [who for at, who in self.words.get(digest, []) if at + lasting > now]

    def given(self, digest: str, who: Who, now: datetime) -> None:
        """Write an approval down; the one that completes puts its revision in force."""
        self.words.setdefault(digest, []).append((now, who))
        made = self.documents[digest]
        if len({person(each.actor) for each in self.good(digest, now)}) >= max(made.verdict.approvals if made.verdict else 1, 1):
            self.approved = made


class PlanMachine(RuleBasedStateMachine):
    """A plan's life, a word at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.act)
        self.stack = ExitStack()
        self.stack.enter_context(self.world.around())
        self.book = Book()
        self.pending: list[Pending] = []
        self.writing: list[Pending] = []
        self.slow = False
        self.stopped = False
        self.unverified = False
        self.outcome: PlanOutcome | None = None
        self.undoing: tuple[UndoWorkflow, asyncio.Task[PlanOutcome]] | None = None
        self.now_verdict: Verdict | None = None
        self.edits = 0

    @initialize(shape=SHAPES, jobs=st.booleans(), verdict=VERDICTS, slow=st.booleans(), decided=st.sampled_from([True, True, True, False]))
    def propose(self, shape: str, jobs: bool, verdict: Verdict, slow: bool, decided: bool) -> None:
        """A plan is proposed."""
        self.jobs, self.slow, self.verdict = jobs, slow, verdict
        expires = self.world.now + timedelta(seconds=20_000)
        self.plan = plan(
            *steps_of(shape, jobs, 0), id="plan-1", verdict=verdict, requested_by="eve (9)", requester_role="user", expires_at=expires
        )
        self.flow = PlanWorkflow(self.plan)
        self.running = self.world.begin(self.flow.run(self.plan))
        self.moved()
        COUNTED["runs"] += 1
        if decided:
            self.written_all()
            self.approve_all()
            self.written_all()

    # the factory

    async def act(self, name: str, argument: JsonObject) -> JsonObject:
        """An activity: of the factory, of the records, or of the policy."""
        if name in {"run_step", "run_job", "undo_step"}:
            return await self.effect(name, argument)
        if name == "save_plan":
            made = Plan.model_validate(argument)
            self.book.documents[made.digest()] = made
        if name in SLOW and self.slow:
            waiting = Pending(name, argument, self.world.loop.create_future())
            self.writing.append(waiting)
            await waiting.future
        if name == "revise_plan":
            return revised(argument)
        if name == "judge_plan":
            found = self.now_verdict or Verdict.model_validate(argument["plan"]["verdict"])  # type: ignore[index,call-overload]
            return {"verdict": found.model_dump(mode="json")}
        if name == "verify_step" and self.unverified:
            self.unverified = False
            raise refusal("postcondition_failed", "It is not there.")
        answers: dict[str, JsonObject] = {
            "report_plan": {"text": "told"},
            "verify_step": {"verified": True},
            "audit_plan": {"verdict": "ok", "violations": 0, "findings": []},
        }
        return answers.get(name, {})

    async def effect(self, name: str, argument: JsonObject) -> JsonObject:
        """What changes the world: looked at as it begins, and left in its middle until a rule ends it."""
        await asyncio.sleep(0)
        if self.stopped:
            raise refusal("effects_stopped", "Every effect is stopped.")
        if name != "undo_step":
            self.begins(argument)
        COUNTED["effects"] += 1
        waiting = Pending(name, argument, self.world.loop.create_future())
        self.pending.append(waiting)
        return await waiting.future

    def begins(self, argument: JsonObject) -> None:
        book, key = self.book, str(argument["key"])
        assert book.approved is not None, "an effect without approvals"
        known = {each.id: each.model_dump(mode="json") for each in book.approved.steps}
        own = argument["step"]
        assert isinstance(own, dict)
        assert json.dumps(known.get(str(own["id"])), sort_keys=True) == json.dumps(own, sort_keys=True), "a step of another revision"
        assert key not in book.done, "a step ran twice under its key"
        assert key not in [str(each.argument["key"]) for each in self.pending], "a step runs twice at one time"
        assert not book.cancelled, "an effect of a cancelled plan"
        assert not book.held, "an effect of a held plan"
        assert self.outcome is None, "an effect of an ended plan"
        book.begun.append(key)

    # words

    def moved(self) -> None:
        """Let all go on, and look at how it ended if it did."""
        COUNTED["steps"] += 1
        self.world.settle()
        if self.running.done() and self.outcome is None:
            self.outcome = self.running.result()
            self.ended(self.outcome)

    def told(self, validator: Any, handler: Any, message: Any) -> str:
        """Send an update as Temporal does: judged at once, then worked on. Return the code of a refusal, or an empty text."""
        if self.running.done():
            return "ended"
        try:
            validator(message)
        except ApplicationError as error:
            return str(error.type)
        task = self.world.begin(handler(message), handler=True)
        self.moved()
        if task.done() and isinstance(task.exception(), ApplicationError):
            return str(task.exception().type)  # type: ignore[union-attr]
        assert not task.done() or task.exception() is None, task.exception()
        return ""

    @rule(who=st.sampled_from(PEOPLE), which=st.sampled_from(["shown", "shown", "shown", "shown", "older", "altered"]))
    def approve(self, who: Who, which: str) -> None:
        """A person approves the revision that stands, an older one or one that never was."""
        status = self.flow.status()
        older = [digest for digest in self.book.documents if digest != status.digest]
        digest = {"shown": status.digest, "older": older[0] if older else "f" * 64, "altered": "0" * 64}[which]
        counts = which == "shown" and digest in self.book.documents and self.book.counts(digest, who, self.world.now)
        before, book = self.world.now, self.book
        decision = Decision(approve=True, digest=digest, who=who)
        open_now = not self.running.done() and status.state is PlanState.PROPOSED and not self.writing and not book.cancelled
        enough = which == "shown" and len(status.approvals) < status.approvals_needed
        if counts:
            previous = book.approved
            book.given(digest, who, before)  # what it sets off begins before the answer is back
        refused = self.told(self.flow._may_decide, self.flow.decide, decision)
        if refused and counts:
            book.words[digest].pop()
            book.approved = previous
        assert counts or refused, f"{who.actor} was counted"
        assert refused != "" or counts
        if open_now and counts and enough and self.flow._ballot.refused is None and not self.expired():
            assert not refused, f"{who.actor} was refused: {refused}"

    def expired(self) -> bool:
        return self.outcome is not None

    @rule(who=st.sampled_from(PEOPLE))
    @precondition(lambda self: self.outcome is None and len(self.book.begun) + len(self.book.documents) > 1)
    def refuse(self, who: Who) -> None:
        """A person refuses what is shown."""
        digest = self.flow.status().digest
        refused = self.told(self.flow._may_decide, self.flow.decide, Decision(approve=False, digest=digest, who=who))
        assert refused or who.tenant in (None, "vision")

    @rule()
    @precondition(lambda self: self.outcome is None and bool(self.book.begun))
    def cancel(self) -> None:
        """A person ends it."""
        known = self.book.cancelled, self.book.held
        self.book.cancelled, self.book.held = True, False
        if self.told(self.flow._may_cancel, self.flow.cancel, Cancellation(who=PEOPLE[0])):
            self.book.cancelled, self.book.held = known
        self.end_jobs()

    def end_jobs(self) -> None:
        """A job that was told to end ends."""
        for name, kind in self.world.signals:
            for each in list(self.pending):
                if kind == "cancel" and each.name == "run_job" and str(each.argument["key"]).replace("/", "-") == name:
                    self.pending.remove(each)
                    each.future.set_result(JobOutcome(job_id="j", state="cancelled", code="cancelled", reason="r"))  # type: ignore[arg-type]
        self.world.signals.clear()
        self.moved()

    @rule()
    @precondition(lambda self: self.outcome is None and bool(self.book.begun))
    def pause(self) -> None:
        """A person holds it."""
        if not self.told(self.flow._may_pause, self.flow.pause, Pause(who=PEOPLE[0])):
            self.book.held = True

    @rule()
    @precondition(lambda self: self.outcome is None and self.flow._holding.held)
    def resume(self) -> None:
        """A person lets it go on."""
        was, self.book.held = self.book.held, False
        if self.told(self.flow._may_resume, self.flow.resume, Resume(who=PEOPLE[0])):
            self.book.held = was

    @rule(shape=SHAPES)
    @precondition(lambda self: self.outcome is None)
    def edit(self, shape: str) -> None:
        """A person writes other steps; those that began are sent as they are."""
        self.edits += 1
        began = {name for name, state in self.flow.status().steps.items() if state != "waiting"}
        kept = [each for each in self.flow._plan.steps if each.id in began]
        new = [each for each in steps_of(shape, self.jobs, self.edits) if each.id not in began]
        known = {each.id for each in [*kept, *new]}
        new = [each.model_copy(update={"after": tuple(name for name in each.after if name in known)}) for each in new]
        held, self.book.held = self.book.held, self.book.held
        change = Edit(digest=self.flow.status().digest, steps=[*kept, *new], who=PEOPLE[3])
        self.told(self.flow._may_edit, self.flow.edit, change)
        self.book.held = held

    @rule()
    @precondition(lambda self: self.book.approved is not None and self.flow._holding.held and self.outcome is None)
    def approve_edit(self) -> None:
        """The people that it takes approve what is shown while it is held."""
        for who in (PEOPLE[1], PEOPLE[5], PEOPLE[2]):
            self.book.held, held = False, self.book.held
            previous = self.book.approved
            self.approve(who, "shown")
            self.book.held = held and self.book.approved is previous

    @rule(first=st.sampled_from(PEOPLE[:3]), last=st.sampled_from(PEOPLE[:3]))
    @precondition(lambda self: self.outcome is None and not self.book.begun)
    def approve_apart(self, first: Who, last: Who) -> None:
        """Two people approve, the second when the first one's word has run out."""
        self.approve(first, "shown")
        self.written_all()
        self.time_passes(6001)
        self.approve(last, "shown")
        self.written_all()

    @rule()
    @precondition(lambda self: self.outcome is None and not self.book.begun)
    def approve_all(self) -> None:
        """The people that it takes approve what is shown."""
        for who in (PEOPLE[1], PEOPLE[5], PEOPLE[2], PEOPLE[4]):
            self.approve(who, "shown")

    @rule(how=st.sampled_from(["well", "well", "well", "well", "fails", "unverified", "stopped"]), which=st.integers(0, 3))
    @precondition(lambda self: bool(self.pending))
    def finish(self, how: str, which: int) -> None:
        """An effect in its middle ends."""
        each = self.pending.pop(which % len(self.pending))
        name, key, identity = each.name, str(each.argument["key"]), str(each.argument["step"]["id"])  # type: ignore[index,call-overload]
        if how == "fails":
            each.future.set_exception(refusal("invalid_input", "No."))
        elif how == "stopped" and name == "run_job":
            each.future.set_exception(refusal("effects_stopped", "It was ended by the switch."))
            self.stopped = True
        elif name == "undo_step":
            self.book.standing.pop(identity, None)
            each.future.set_result({"undone": True, "told": "gone"})
        else:
            self.unverified = how == "unverified"
            self.book.done.append(key)
            self.book.standing[identity] = key
            outcome = JobOutcome(job_id="j", state="succeeded", result={})
            each.future.set_result(outcome if name == "run_job" else {"of": identity})  # type: ignore[arg-type]
        self.moved()

    @rule()
    @precondition(lambda self: bool(self.writing))
    def written(self) -> None:
        """What was slow is written."""
        self.writing.pop(0).future.set_result({})
        self.moved()

    @rule()
    @precondition(lambda self: bool(self.writing))
    def written_all(self) -> None:
        """All that was slow is written."""
        while self.writing:
            self.written()

    @rule()
    def turn_switch(self) -> None:
        """An administrator stops every effect, or lets them go on and wakes what is held."""
        self.stopped = not self.stopped
        if not self.stopped:
            if self.outcome is None:
                self.world.begin(self.flow.effects_started(), handler=True)
            if self.undoing is not None:
                self.world.begin(self.undoing[0].effects_started(), handler=True)
        self.moved()

    @rule(seconds=st.sampled_from([1, 1, 61, 601, 7000]))
    def time_passes(self, seconds: int) -> None:
        """The clock goes on."""
        self.world.now += timedelta(seconds=seconds)
        self.moved()

    @rule(approvals=st.integers(1, 3))
    @precondition(lambda self: not self.book.begun)
    def policy_changes(self, approvals: int) -> None:
        """The policy asks for another number of people from now on."""
        self.now_verdict = self.verdict.model_copy(update={"approvals": approvals})

    @rule()
    @precondition(lambda self: self.outcome is not None and self.outcome.state in {PlanState.DONE, PlanState.ESCALATED})
    def undo(self) -> None:
        """A person has what stands of an ended plan undone."""
        if self.undoing is not None and not self.undoing[1].done():
            return
        assert self.outcome is not None
        asked = UndoInput(plan=self.flow._plan, outcome=self.outcome, who=PEOPLE[0])
        flow = UndoWorkflow(asked)
        self.undoing = flow, self.world.begin(flow.run(asked))
        self.moved()

    # promises

    def ended(self, outcome: PlanOutcome) -> None:
        """What holds when a plan has ended."""
        book = self.book
        if outcome.state in {PlanState.REFUSED, PlanState.EXPIRED}:
            assert not book.begun
        if outcome.state in {PlanState.FAILED, PlanState.CANCELLED, PlanState.ESCALATED}:
            assert set(book.standing) == set(outcome.undo_failed), "something stands that nobody was told of"
            assert (outcome.state is PlanState.ESCALATED) == bool(outcome.undo_failed)
        if outcome.state is PlanState.DONE:
            assert book.approved is not None
            assert {each.id for each in book.approved.steps} == set(book.standing) == set(outcome.done)
        assert not self.pending, "it ended with an effect in its middle"

    def undone(self) -> None:
        if self.undoing is not None and self.undoing[1].done():
            last = self.undoing[1].result()
            assert set(self.book.standing) == set(last.undo_failed)
            self.outcome, self.undoing = last, None

    def check_invariants(self, settings: Any, *args: Any, **named: Any) -> None:
        """After each word: an undo that ended left nothing that nobody was told of."""
        if hasattr(self, "flow"):
            self.undone()
        super().check_invariants(settings, *args, **named)

    def teardown(self) -> None:
        """Let the world go."""
        self.world.close()
        self.stack.close()


def play(profile: str) -> None:
    run_state_machine_as_test(PlanMachine, settings=PROFILES[profile])


def test_whatever_comes_in_whichever_order_the_promises_hold(capsys: pytest.CaptureFixture[str]) -> None:
    name = settings.get_current_profile_name()
    profile = name if name in PROFILES else "default"
    COUNTED.update(dict.fromkeys(COUNTED, 0))
    play(profile)
    with capsys.disabled():
        print(f"\nplan machine, profile {profile}: {COUNTED['steps']} steps in {COUNTED['runs']} plans, {COUNTED['effects']} effects")  # noqa: T201
    assert COUNTED["steps"] >= STEPS_AT_LEAST[profile]
    assert COUNTED["effects"] > COUNTED["runs"] // 4


async def never(*_: object) -> None:
    """A hold that holds nothing."""


CONTROLS: dict[str, tuple[Any, str, Any]] = {
    "anybody may approve": (ballot_module, "may_approve", lambda *_, **__: None),
    "an approval never runs out": (Ballot, "approvers", lambda self, _: [each.who.actor for _, each in self._given]),
    "nothing is checked": (Ballot, "check", lambda *_: None),
    "a hold holds nothing": (Holding, "wait", never),
    "a cancellation is not heard": (PlanWorkflow, "stopping", lambda _: None),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_control_without_a_protection_the_machine_finds_the_harm(name: str) -> None:
    owner, attribute, careless = CONTROLS[name]
    with patch.object(owner, attribute, careless), pytest.raises((AssertionError, ExceptionGroup, ApplicationError)):
        run_state_machine_as_test(PlanMachine, settings=CONTROL)
