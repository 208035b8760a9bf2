"""Held, edited, cancelled, stopped by the switch: nothing begins meanwhile, and what runs next is what was approved last."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from temporalio.exceptions import ApplicationError

from factory_infra.errors import Conflict, EffectsStopped, InvalidInput
from tests.workflows.line import ANN, BOB, STRANGER, JsonObject, Line, plan, revised, step, until
from tools.plan import Bounds, Plan, PlanState, Verdict
from workflows.definitions.holding import Holding
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.undo import UndoWorkflow

pytestmark = pytest.mark.stack

STOPPED = EffectsStopped("Every effect is stopped.", remedy="Wait.")


class Gate:
    """An activity that waits in the middle until the test lets it end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.free = asyncio.Event()

    async def __call__(self, _: JsonObject) -> JsonObject:
        self.begun.set()
        await asyncio.wait_for(self.free.wait(), 20)
        return {"undone": True, "told": "gone"}


async def running(line: Line, made: Plan, gate: Gate, at: str = "a") -> Gate:
    """Start and approve a plan, and return when a step is in its middle."""
    line.script.on("run_step", at, gate)
    await line.start(made)
    if made.verdict is None or made.verdict.decision != "run":
        await line.decide(made)
    await asyncio.wait_for(gate.begun.wait(), 60)
    return gate


async def held_after(line: Line, made: Plan, gate: Gate, name: str = "a") -> None:
    """Hold a plan in the middle of a step and let that step end."""
    await line.pause(made)
    gate.free.set()
    async with asyncio.timeout(60):
        while (await line.status(made)).steps[name] != "done":  # noqa: ASYNC110  (told by no event)
            await asyncio.sleep(0.02)


def code_of(raised: pytest.ExceptionInfo[ApplicationError]) -> str:
    return raised.value.type or ""


async def refused(word: Awaitable[object]) -> str:
    """The code with which an update is refused."""
    with pytest.raises(ApplicationError) as raised:
        await word
    return code_of(raised)


def ended(line: Line, made: Plan) -> Awaitable[object]:
    return line.client.get_workflow_handle_for(PlanWorkflow.run, made.id).result()


def saved(line: Line) -> list[str]:
    """The digests of the revisions that were kept, in order."""
    return [Plan.model_validate(argument).digest() for name, argument in line.script.calls if name == "save_plan"]


def abc() -> Plan:
    return plan(step("a"), step("b", "a"), step("c", "b"))


class TestPause:
    async def test_the_step_at_work_ends_and_nothing_new_begins(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await running(line, made, gate)
        assert (await line.pause(made)).state is PlanState.PAUSED
        gate.free.set()
        await step_done(line, made)
        await asyncio.sleep(0.3)
        assert line.script.effects() == ["run_step a"]
        assert (await line.status(made)).state is PlanState.PAUSED
        await line.resume(made)
        outcome = await ended(line, made)
        assert getattr(outcome, "state", None) is PlanState.DONE
        assert line.script.effects() == ["run_step a", "run_step b", "run_step c"]
        assert [kind for kind in line.script.events() if kind in {"plan.paused", "plan.resumed"}] == ["plan.paused", "plan.resumed"]

    async def test_only_what_runs_can_be_paused_and_only_what_is_paused_goes_on(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await line.start(made)
        assert await refused(line.pause(made)) == "conflict"
        assert await refused(line.resume(made)) == "conflict"
        await line.decide(made)
        line.script.on("run_step", "b", gate)
        await asyncio.wait_for(gate.begun.wait(), 60)
        assert await refused(line.resume(made)) == "conflict"
        await line.pause(made)
        assert await refused(line.pause(made)) == "conflict"
        gate.free.set()
        await line.cancel(made)
        await ended(line, made)

    async def test_an_undo_cannot_be_paused(self, line: Line) -> None:
        made, gate = abc(), Gate()
        line.script.on("run_step", "b", InvalidInput("No."))
        line.script.on("undo_step", "a", gate)
        await line.start(made)
        await line.decide(made)
        await asyncio.wait_for(gate.begun.wait(), 60)
        assert await refused(line.pause(made)) == "conflict"
        gate.free.set()
        await ended(line, made)

    async def test_control_without_the_hold_the_next_step_begins(self, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
        async def never(*_: object) -> None:
            return

        monkeypatch.setattr(Holding, "wait", never)
        made, gate = abc(), Gate()
        await running(line, made, gate)
        await line.pause(made)
        gate.free.set()
        await ended(line, made)
        assert "run_step c" in line.script.effects()


async def step_done(line: Line, made: Plan, name: str = "a") -> None:
    """Return when a step has ended."""
    async with asyncio.timeout(60):
        while (await line.status(made)).steps[name] != "done":  # noqa: ASYNC110  (told by no event)
            await asyncio.sleep(0.02)


class TestEdit:
    async def test_a_proposed_plan_is_another_with_another_digest(self, line: Line) -> None:
        made = abc()
        await line.start(made)
        told = await line.edit(made, step("a"), step("x", "a"))
        assert (told.state, told.revision) == (PlanState.PROPOSED, 2)
        assert told.digest != made.digest()
        assert await refused(line.decide(made)) == "digest_mismatch"
        await line.decide(made, digest=told.digest)
        await ended(line, made)
        assert line.script.effects() == ["run_step a", "run_step x"]
        assert saved(line) == [made.digest(), told.digest]

    async def test_an_approval_of_the_old_one_is_not_one_of_the_new(self, line: Line) -> None:
        made = abc().model_copy(update={"verdict": Verdict(decision="approve", approvals=2)})
        await line.start(made)
        await line.decide(made, who=ANN)
        told = await line.edit(made, step("x"))
        assert told.approvals == []
        await line.decide(made, who=BOB, digest=told.digest)
        assert (await line.status(made)).state is PlanState.PROPOSED
        await line.decide(made, who=ANN, digest=told.digest)
        await ended(line, made)
        assert line.script.effects() == ["run_step x"]

    async def test_what_is_done_stays_and_what_comes_is_new(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await held_after(line, made, await running(line, made, gate))
        told = await line.edit(made, step("a"), step("d", "a"))
        assert (told.state, told.revision) == (PlanState.PAUSED, 2)
        assert line.script.effects() == ["run_step a"]
        assert next(argument for name, argument in line.script.calls if name == "revise_plan")["kept"] == ["a"]
        assert await refused(line.decide(made)) == "digest_mismatch"
        await line.decide(made, digest=told.digest, who=BOB)
        outcome = await ended(line, made)
        assert getattr(outcome, "done", []) == ["a", "d"]
        assert line.script.effects() == ["run_step a", "run_step d"]

    async def test_one_that_fails_undoes_what_was_done_before_it(self, line: Line) -> None:
        made, gate = abc(), Gate()
        line.script.on("run_step", "d", InvalidInput("No."))
        await held_after(line, made, await running(line, made, gate))
        told = await line.edit(made, step("a"), step("d", "a"))
        await line.decide(made, digest=told.digest)
        outcome = await ended(line, made)
        assert getattr(outcome, "undone", []) == ["a"]

    @pytest.mark.parametrize("how", ["refuse", "resume"])
    async def test_one_that_is_not_taken_leaves_the_old_plan_as_it_was(self, line: Line, how: str) -> None:
        made, gate = abc(), Gate()
        await held_after(line, made, await running(line, made, gate))
        told = await line.edit(made, step("a"), step("d", "a"))
        if how == "refuse":
            answer = await line.decide(made, digest=told.digest, approve=False)
            assert (answer.state, answer.digest) == (PlanState.PAUSED, made.digest())
            assert line.script.effects() == ["run_step a"]
        await line.resume(made)
        outcome = await ended(line, made)
        assert getattr(outcome, "done", []) == ["a", "b", "c"]
        assert saved(line)[-1] == made.digest()  # an undo later reads what was done
        assert "plan.refused" not in line.script.events()

    async def test_a_dropped_one_cannot_be_approved_later(self, line: Line) -> None:
        made, gate, second = abc(), Gate(), Gate()
        line.script.on("run_step", "b", second)
        await held_after(line, made, await running(line, made, gate))
        told = await line.edit(made, step("a"), step("d", "a"))
        await line.resume(made)
        await asyncio.wait_for(second.begun.wait(), 10)
        assert await refused(line.decide(made, digest=told.digest)) == "conflict"
        await line.pause(made)
        assert await refused(line.decide(made, digest=told.digest)) in {"conflict", "digest_mismatch"}
        again = await line.edit(made, step("a"), step("b", "a"), step("d", "b"))
        assert again.revision == 3  # each revision has a number of its own
        second.free.set()
        await line.resume(made)
        await ended(line, made)

    async def test_an_approval_that_comes_while_it_is_being_made_is_not_lost(self, line: Line) -> None:
        made, answers = abc(), list[str]()

        async def approve_meanwhile(argument: JsonObject) -> JsonObject:
            answers.append((await line.decide(made)).state.value)
            return revised(argument)

        line.script.on("revise_plan", "", approve_meanwhile)
        await line.start(made)
        assert await refused(line.edit(made, step("x"))) == "conflict"
        await ended(line, made)
        assert answers == ["approved"]
        assert line.script.effects() == ["run_step a", "run_step b", "run_step c"]

    async def test_one_that_comes_while_an_approval_is_being_kept_is_refused(self, line: Line) -> None:
        made, answers = abc(), list[str]()

        async def edit_meanwhile(_: JsonObject) -> JsonObject:
            answers.append(await refused(line.edit(made, step("x"))))
            return {}

        line.script.on("save_approval", "", edit_meanwhile)
        await line.start(made)
        await line.decide(made)
        await ended(line, made)
        assert answers == ["conflict"]
        assert line.script.effects() == ["run_step a", "run_step b", "run_step c"]

    async def test_what_cannot_be_revised_changes_nothing(self, line: Line) -> None:
        made = abc()
        line.script.on("revise_plan", "", Conflict("It has begun.", code="step_has_begun"))
        await line.start(made)
        assert await refused(line.edit(made, step("x"))) == "step_has_begun"
        await line.decide(made)
        await ended(line, made)
        assert line.script.effects() == ["run_step a", "run_step b", "run_step c"]

    @pytest.mark.parametrize(("change", "code"), [({"digest": "0" * 64}, "digest_mismatch"), ({"who": STRANGER}, "not_found")])
    async def test_a_strangers_or_a_stale_one_is_refused(self, line: Line, change: dict[str, object], code: str) -> None:
        made = abc()
        await line.start(made)
        assert await refused(line.edit(made, step("x"), **change)) == code  # type: ignore[arg-type]
        await line.cancel(made)
        await ended(line, made)

    async def test_what_runs_cannot_be_edited(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await running(line, made, gate)
        assert await refused(line.edit(made, step("x"))) == "conflict"
        gate.free.set()
        await ended(line, made)


class TestCancel:
    async def test_a_held_plan_is_undone(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await held_after(line, made, await running(line, made, gate))
        await line.cancel(made)
        outcome = await ended(line, made)
        assert (getattr(outcome, "state", None), getattr(outcome, "undone", [])) == (PlanState.CANCELLED, ["a"])
        assert line.script.effects() == ["run_step a", "undo_step a"]

    async def test_one_with_an_edit_that_waits_is_undone(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await held_after(line, made, await running(line, made, gate))
        told = await line.edit(made, step("a"), step("d", "a"))
        await line.cancel(made)
        assert await refused(line.decide(made, digest=told.digest)) == "conflict"
        outcome = await ended(line, made)
        assert getattr(outcome, "undone", []) == ["a"]

    async def test_one_with_half_its_approvals_does_nothing(self, line: Line) -> None:
        made = abc().model_copy(update={"verdict": Verdict(decision="approve", approvals=2)})
        await line.start(made)
        await line.decide(made, who=ANN)
        await line.cancel(made)
        outcome = await ended(line, made)
        assert getattr(outcome, "state", None) is PlanState.CANCELLED
        assert line.script.effects() == []

    async def test_one_held_by_the_switch_ends_without_the_effect(self, line: Line) -> None:
        made = abc()
        line.script.on("run_step", "b", STOPPED)
        await line.start(made)
        await line.decide(made)
        await line.stands(made, PlanState.PAUSED)
        await line.cancel(made)
        outcome = await ended(line, made)
        assert (getattr(outcome, "state", None), getattr(outcome, "undone", [])) == (PlanState.CANCELLED, ["a"])
        assert line.script.effects() == ["run_step a", "run_step b", "undo_step a"]


class TestSwitch:
    @pytest.mark.parametrize("runs_as", ["activity", "job"])
    async def test_a_stopped_effect_waits_and_is_then_done(self, line: Line, runs_as: str) -> None:
        made = plan(step("a"), step("b", "a", runs_as=runs_as), step("c", "b"))
        name = "run_job" if runs_as == "job" else "run_step"
        good: JsonObject = {"job_id": "j", "state": "succeeded", "result": {}} if runs_as == "job" else {}
        line.script.on(name, "b", STOPPED, STOPPED, good)
        await line.start(made)
        await line.decide(made)
        for _ in range(2):
            await line.stands(made, PlanState.PAUSED)
            seen = len(line.script.effects())
            await line.effects_started(made)
            await until(lambda seen=seen: len(line.script.effects()) > seen)  # type: ignore[misc]
        outcome = await ended(line, made)
        assert getattr(outcome, "state", None) is PlanState.DONE
        assert line.script.effects() == ["run_step a", f"{name} b", f"{name} b", f"{name} b", "run_step c"]
        keys = [str(argument["key"]) for each, argument in line.script.calls if each == name and argument["key"] != f"{made.id}/a"]
        once = f"{made.id}/b"  # a job that was ended is another one; a step that never began is the same
        wanted = [once, f"{once}/2", f"{once}/3"] if runs_as == "job" else [once] * 3
        assert [key for key in keys if "/b" in key] == wanted

    async def test_a_person_may_let_it_go_on_too(self, line: Line) -> None:
        made = abc()
        line.script.on("run_step", "b", STOPPED, {})
        await line.start(made)
        await line.decide(made)
        await line.stands(made, PlanState.PAUSED)
        await line.resume(made)
        assert getattr(await ended(line, made), "state", None) is PlanState.DONE

    async def test_what_a_person_holds_the_switch_does_not_let_go(self, line: Line) -> None:
        made, gate = abc(), Gate()
        await held_after(line, made, await running(line, made, gate))
        await line.effects_started(made)
        assert (await line.status(made)).state is PlanState.PAUSED
        assert line.script.effects() == ["run_step a"]
        await line.resume(made)
        await ended(line, made)

    async def test_an_edit_that_waits_is_dropped_when_it_goes_on(self, line: Line) -> None:
        made = abc()
        line.script.on("run_step", "b", STOPPED, {})
        await line.start(made)
        await line.decide(made)
        await line.stands(made, PlanState.PAUSED)
        told = await line.edit(made, step("a"), step("b", "a"), step("d", "b"))
        await line.effects_started(made)
        outcome = await ended(line, made)
        assert getattr(outcome, "done", []) == ["a", "b", "c"]
        assert saved(line) == [made.digest(), told.digest, made.digest()]

    async def test_an_undo_waits_too(self, line: Line) -> None:
        made = abc()
        line.script.on("run_step", "b", InvalidInput("No."))
        line.script.on("undo_step", "a", STOPPED, {"undone": True, "told": "gone"})
        await line.start(made)
        await line.decide(made)
        await line.stands(made, PlanState.PAUSED)
        await line.effects_started(made)
        outcome = await ended(line, made)
        assert (getattr(outcome, "state", None), getattr(outcome, "undone", [])) == (PlanState.FAILED, ["a"])
        assert line.script.effects() == ["run_step a", "run_step b", "undo_step a", "undo_step a"]

    async def test_the_undo_of_one_that_was_cancelled_while_held_waits(self, line: Line) -> None:
        made = abc()
        line.script.on("run_step", "b", STOPPED)
        line.script.on("undo_step", "a", STOPPED, {"undone": True, "told": "gone"})
        await line.start(made)
        await line.decide(made)
        await line.stands(made, PlanState.PAUSED)
        await line.cancel(made)
        await until(lambda: "undo_step a" in line.script.effects())
        await line.stands(made, PlanState.PAUSED)
        await line.effects_started(made)
        outcome = await ended(line, made)
        assert (getattr(outcome, "state", None), getattr(outcome, "undone", [])) == (PlanState.CANCELLED, ["a"])


class TestTime:
    def bounded(self, seconds: float) -> Plan:
        verdict = Verdict(decision="run", bounds=Bounds(seconds_max=seconds))
        return abc().model_copy(update={"verdict": verdict})

    def slow(self, seconds: float) -> Callable[[JsonObject], Awaitable[JsonObject]]:
        async def act(_: JsonObject) -> JsonObject:
            await asyncio.sleep(seconds)
            return {}

        return act

    async def test_a_plan_that_takes_too_long_is_ended_and_undone(self, line: Line) -> None:
        allowed = Verdict(decision="run").model_dump(mode="json")
        line.script.on("judge_plan", "", {"verdict": allowed})
        line.script.on("run_step", "b", self.slow(1.5))
        outcome = await (await line.start(self.bounded(1))).result()
        assert (outcome.state, outcome.code, outcome.undone) == (PlanState.FAILED, "bound_reached", ["b", "a"])
        assert "run_step c" not in line.script.effects()

    async def test_time_in_which_it_was_held_does_not_count(self, line: Line) -> None:
        line.script.on("judge_plan", "", {"verdict": Verdict(decision="run").model_dump(mode="json")})
        made, gate = self.bounded(1), Gate()
        await held_after(line, made, await running(line, made, gate))
        await asyncio.sleep(1.5)
        await line.resume(made)
        assert getattr(await ended(line, made), "state", None) is PlanState.DONE

    async def test_control_without_a_bound_it_goes_on(self, line: Line) -> None:
        line.script.on("judge_plan", "", {"verdict": Verdict(decision="run").model_dump(mode="json")})
        line.script.on("run_step", "b", self.slow(1.5))
        outcome = await (await line.start(self.bounded(86_400))).result()
        assert outcome.state is PlanState.DONE


class TestEscalation:
    def broken(self, line: Line) -> Plan:
        line.script.on("run_step", "a", {"lease_id": "lease-7"})
        line.script.on("run_step", "c", InvalidInput("No."))
        line.script.on("undo_step", "a", InvalidInput("It is locked.", remedy="Unlock it."))
        return plan(step("a", arguments={"slots": 2}), step("b", "a"), step("c", "b"))

    async def test_an_undo_that_fails_is_handed_over_with_the_exact_state(self, line: Line) -> None:
        outcome = await line.approved(self.broken(line))
        assert (outcome.state, outcome.undone, outcome.undo_failed) == (PlanState.ESCALATED, ["b"], ["a"])
        left = line.script.event("plan.escalated")
        assert (left["steps"], left["left"]) == (["a"], {"a": {"lease_id": "lease-7"}})
        told = line.script.event("step.undo_failed")
        assert (told["step"], told["reason"], told["remedy"]) == ("a", "It is locked.", "Unlock it.")
        assert (told["arguments"], told["result"]) == ({"slots": 2}, {"lease_id": "lease-7"})

    async def test_it_is_tried_again_on_demand_and_only_what_still_stands(self, line: Line) -> None:
        made = self.broken(line)
        outcome = await line.approved(made)
        line.script.calls.clear()
        again = await (await line.undo(made, outcome)).result()
        assert (again.state, again.code, again.undo_failed) == (PlanState.ESCALATED, "undo_failed", ["a"])
        line.script.on("undo_step", "a", {"undone": True, "told": "gone"})
        last = await (await line.undo(made, again)).result()
        assert (last.state, last.code, last.undone, last.undo_failed) == (PlanState.UNDONE, "undone", ["b", "a"], [])
        assert line.script.effects() == ["undo_step a"] * 2
        keys = [str(argument["key"]) for name, argument in line.script.calls if name == "write_event"]
        assert len(keys) == len(set(keys))

    async def test_a_done_plan_is_undone_newest_first(self, line: Line) -> None:
        made = abc()
        outcome = await line.approved(made)
        line.script.calls.clear()
        last = await (await line.undo(made, outcome)).result()
        assert (last.state, last.undone) == (PlanState.UNDONE, ["c", "b", "a"])
        assert line.script.effects() == ["undo_step c", "undo_step b", "undo_step a"]
        assert line.script.events()[0] == "plan.undoing"
        given = [argument for name, argument in line.script.calls if name == "undo_step"]
        assert [(each["result"], each["key"]) for each in given] == [({"of": name}, f"{made.id}/{name}") for name in "cba"]

    async def test_an_undo_on_demand_waits_while_effects_are_stopped(self, line: Line) -> None:
        made = abc()
        outcome = await line.approved(made)
        line.script.on("undo_step", "c", STOPPED, {"undone": True, "told": "gone"})
        handle = await line.undo(made, outcome)
        await until(lambda: "plan.paused" in line.script.events())
        await handle.signal(UndoWorkflow.effects_started)
        assert (await handle.result()).state is PlanState.UNDONE
