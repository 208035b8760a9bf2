"""A plan's workflow: nothing without a decision on exactly this plan, steps in order, undone backwards where one failed."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from factory_infra.errors import InvalidInput, PostconditionFailed, QuotaExceeded, Unavailable
from tests.workflows.line import ANN, JsonObject, Line, plan, step, until
from tools.plan import Effect, Plan, PlanState
from workflows.definitions.calls import RETRY
from workflows.definitions.plan import PlanWorkflow
from workflows.messages import Cancellation, JobOutcome, Who

pytestmark = pytest.mark.stack

LANGUAGE = Who(actor="bob (2)", role="approver", tenant="language")
ADMIN = Who(actor="root (3)", role="admin", tenant=None)


def lease_train_deploy() -> Plan:
    """The shape of the first job."""
    lease_id = {"from_step": "lease", "field": "lease_id"}
    return plan(
        step("lease", arguments={"slots": 2}),
        step("train", "lease", tool="training.run", agent="trainer", runs_as="job", arguments={"lease_id": lease_id}),
        step("release", "train", tool="leases.release", always=True, arguments={"lease_id": lease_id}),
        step("gate", "train", tool="deployments.gate", agent="deployer", effect=Effect.READ, gate=True),
        step("deploy", "gate", tool="deployments.deploy", agent="deployer"),
    )


def moves(line: Line) -> list[str]:
    return [str(argument["state"]) for name, argument in line.script.calls if name == "move_plan"]


class TestOrder:
    async def test_steps_follow_each_other_and_take_each_others_results(self, line: Line) -> None:
        line.script.on("run_step", "lease", {"lease_id": "lease-7"})
        line.script.on("run_step", "gate", {"passed": True})
        outcome = await line.approved(lease_train_deploy())
        assert outcome.state is PlanState.DONE
        assert outcome.results["lease"] == {"lease_id": "lease-7"}
        begun = line.script.effects()
        assert begun[:2] == ["run_step lease", "run_job train"]
        assert set(begun[2:4]) == {"run_step release", "run_step gate"}
        assert begun[4:] == ["run_step deploy"]
        arguments = [argument["arguments"] for name, argument in line.script.calls if name == "run_job"]
        assert arguments == [{"lease_id": "lease-7"}]
        assert moves(line) == ["running", "done"]

    async def test_whatever_acts_is_told_the_plans_project(self, line: Line) -> None:
        line.script.on("run_step", "lease", {"lease_id": "lease-7"})
        line.script.on("run_step", "gate", {"passed": True})
        await line.approved(lease_train_deploy().model_copy(update={"project": "reader"}))
        told = [(name, argument["project"]) for name, argument in line.script.calls if name in {"run_step", "run_job", "verify_step"}]
        assert {name for name, _ in told} == {"run_step", "run_job", "verify_step"}
        assert {project for _, project in told} == {"reader"}

    async def test_every_step_is_verified_before_the_next_begins(self, line: Line) -> None:
        await line.approved(plan(step("a"), step("b", "a")))
        order = [f"{name} {argument['step']['id']}" for name, argument in line.script.calls if name in {"run_step", "verify_step"}]  # type: ignore[index,call-overload]
        assert order == ["run_step a", "verify_step a", "run_step b", "verify_step b"]

    async def test_steps_that_nothing_orders_run_side_by_side(self, line: Line) -> None:
        meeting = asyncio.Barrier(2)

        async def meet(_: JsonObject) -> JsonObject:
            await asyncio.wait_for(meeting.wait(), 10)
            return {}

        line.script.on("run_step", "a", meet)
        line.script.on("run_step", "b", meet)
        assert (await line.approved(plan(step("a"), step("b"), step("c", "a", "b")))).state is PlanState.DONE
        assert line.script.effects()[2] == "run_step c"

    async def test_each_effect_has_a_key_of_its_own(self, line: Line) -> None:
        made = plan(step("a"), step("b"))
        await line.approved(made)
        keys = {str(argument["key"]) for name, argument in line.script.calls if name == "run_step"}
        assert keys == {f"{made.id}/a", f"{made.id}/b"}

    async def test_every_event_has_a_key_of_its_own(self, line: Line) -> None:
        await line.approved(lease_train_deploy())
        keys = [str(argument["key"]) for name, argument in line.script.calls if name == "write_event"]
        assert len(keys) == len(set(keys))

    async def test_steps_that_wait_for_each_other_are_not_called_done(self, line: Line) -> None:
        outcome = await line.approved(plan(step("a", "b"), step("b", "a"), step("c")))
        assert (outcome.state, outcome.code) == (PlanState.FAILED, "plan_inconsistent")
        assert outcome.undone == ["c"]
        assert "run_step a" not in line.script.effects()

    async def test_a_result_that_is_not_there_fails_the_plan_and_not_the_worker(self, line: Line) -> None:
        outcome = await line.approved(plan(step("a"), step("b", "a", arguments={"x": {"from_step": "a", "field": "nothing"}})))
        assert (outcome.state, outcome.code, outcome.undone) == (PlanState.FAILED, "plan_inconsistent", ["a"])

    async def test_the_end_is_told_with_text_and_cost(self, line: Line) -> None:
        line.script.on("report_plan", "", {"text": "It is done.", "cost": {"spent": "1"}})
        await line.approved(plan(step("a")))
        wanted = ["plan.proposed", "plan.approved", "plan.started", "step.started a", "step.done a", "plan.ended", "plan.audited"]
        assert line.script.events() == wanted
        end = line.script.event("plan.ended")
        assert (end["text"], end["cost"], end["state"]) == ("It is done.", {"spent": "1"}, "done")


class TestDecision:
    async def test_nothing_runs_before_it(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        await until(lambda: "plan.proposed" in line.script.events())
        assert (await handle.query(PlanWorkflow.status)).state is PlanState.PROPOSED
        assert line.script.effects() == []
        assert line.script.event("plan.proposed")["digest"] == made.digest()
        await line.decide(made, approve=False)
        await handle.result()

    async def test_a_refused_plan_does_nothing(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        assert (await line.decide(made, approve=False, reason="Too dear.")).state is PlanState.REFUSED
        outcome = await handle.result()
        assert (outcome.state, outcome.reason) == (PlanState.REFUSED, "Too dear.")
        assert line.script.effects() == []
        assert line.script.event("plan.refused") == {"actor": "ann (1)", "reason": "Too dear."}

    @pytest.mark.parametrize("left", [timedelta(minutes=5), timedelta(seconds=-5), None])
    async def test_an_undecided_plan_expires_and_does_nothing(self, line: Line, left: timedelta | None) -> None:
        now = datetime.fromtimestamp(await server_seconds(line), UTC)
        handle = await line.start(plan(step("a"), expires_at=now + left if left else None))
        outcome = await handle.result()
        assert (outcome.state, outcome.code) == (PlanState.EXPIRED, "expired")
        assert line.script.effects() == []
        assert moves(line) == ["expired"]

    async def test_a_decision_on_another_version_is_refused(self, line: Line) -> None:
        made = plan(step("a", arguments={"slots": 1}))
        altered = made.model_copy(update={"steps": (step("a", arguments={"slots": 8}),)})
        handle = await line.start(made)
        with pytest.raises(ApplicationError) as raised:
            await line.decide(made, digest=altered.digest())
        assert raised.value.type == "digest_mismatch"
        assert line.script.effects() == []
        await line.decide(made)
        assert (await handle.result()).state is PlanState.DONE

    async def test_the_first_decision_counts(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        await line.decide(made, approve=False)
        with pytest.raises(ApplicationError) as raised:
            await line.decide(made)
        assert raised.value.type == "conflict"
        assert (await handle.result()).state is PlanState.REFUSED
        assert line.script.effects() == []

    async def test_two_side_by_side_are_one(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        given = await asyncio.gather(line.decide(made), line.decide(made), return_exceptions=True)
        assert [type(each).__name__ for each in sorted(given, key=lambda each: type(each).__name__)] == ["ApplicationError", "PlanStatus"]
        await handle.result()
        assert line.script.effects() == ["run_step a"]

    async def test_another_teams_is_refused_as_if_the_plan_were_not_there(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        with pytest.raises(ApplicationError) as raised:
            await line.decide(made, who=LANGUAGE)
        assert raised.value.type == "not_found"
        assert line.script.effects() == []
        await line.decide(made, who=ADMIN)
        assert (await handle.result()).state is PlanState.DONE

    async def test_one_that_comes_as_the_plan_expires_is_refused(self, line: Line) -> None:
        made, answers = plan(step("a"), expires_at=datetime(2020, 1, 1, tzinfo=UTC)), list[BaseException]()

        async def decide_late(argument: JsonObject) -> JsonObject:
            if argument["kind"] == "plan.expired":
                try:
                    await line.decide(made)
                except ApplicationError as error:
                    answers.append(error)
            return {}

        line.script.on("write_event", "", decide_late)
        handle = await line.start(made, task_seconds=1)  # the late decision is delivered while the event is being written
        assert (await handle.result()).state is PlanState.EXPIRED
        assert [each.type for each in answers if isinstance(each, ApplicationError)] == ["conflict"]


class TestGate:
    async def test_one_that_is_not_passed_skips_what_follows_and_still_releases(self, line: Line) -> None:
        line.script.on("run_step", "lease", {"lease_id": "lease-7"})
        line.script.on("run_step", "gate", {"passed": False, "value": 0.93, "threshold": 0.95})
        outcome = await line.approved(lease_train_deploy())
        assert (outcome.state, outcome.code, outcome.skipped, outcome.undone) == (PlanState.GATED, "gated", ["deploy"], [])
        assert "0.93 does not beat 0.95" in outcome.reason
        assert "run_step deploy" not in line.script.effects()
        assert "run_step release" in line.script.effects()

    async def test_a_release_that_comes_later_runs_too(self, line: Line) -> None:
        line.script.on("run_step", "gate", {"passed": False})
        made = plan(step("gate", gate=True, effect=Effect.READ), step("deploy", "gate"), step("release", "deploy", always=True))
        outcome = await line.approved(made)
        assert (outcome.state, outcome.skipped) == (PlanState.GATED, ["deploy"])
        assert line.script.effects() == ["run_step gate", "run_step release"]


class TestFailure:
    async def test_what_was_done_is_undone_backwards(self, line: Line) -> None:
        line.script.on("run_step", "c", InvalidInput("No.", remedy="Plan again."))
        outcome = await line.approved(plan(step("a"), step("b", "a"), step("c", "b"), step("d", "c")))
        assert (outcome.state, outcome.code, outcome.reason, outcome.remedy) == (PlanState.FAILED, "invalid_input", "No.", "Plan again.")
        assert line.script.effects() == ["run_step a", "run_step b", "run_step c", "undo_step b", "undo_step a"]
        assert (outcome.undone, outcome.skipped) == (["b", "a"], ["d"])

    async def test_an_undo_is_given_the_steps_arguments_result_and_key(self, line: Line) -> None:
        line.script.on("run_step", "b", InvalidInput("No."))
        made = plan(step("a", arguments={"slots": 2}), step("b", "a"))
        await line.approved(made)
        undo = next(argument for name, argument in line.script.calls if name == "undo_step")
        assert (undo["arguments"], undo["result"], undo["key"]) == ({"slots": 2}, {"of": "a"}, f"{made.id}/a")

    async def test_an_effect_that_is_not_confirmed_is_undone_too(self, line: Line) -> None:
        line.script.on("verify_step", "b", PostconditionFailed("The lease was taken away."))
        outcome = await line.approved(plan(step("a"), step("b", "a"), step("c", "b")))
        assert (outcome.state, outcome.code) == (PlanState.FAILED, "postcondition_failed")
        assert outcome.undone == ["b", "a"]
        assert "b" not in outcome.done

    async def test_an_undo_that_fails_is_told_and_the_others_are_done(self, line: Line) -> None:
        line.script.on("run_step", "c", InvalidInput("No."))
        line.script.on("undo_step", "b", InvalidInput("It is not there any more."))
        outcome = await line.approved(plan(step("a"), step("b", "a"), step("c", "b")))
        assert (outcome.undone, outcome.undo_failed) == (["a"], ["b"])
        assert line.script.event("step.undo_failed")["reason"] == "It is not there any more."

    async def test_what_has_no_undo_is_not_called_undone(self, line: Line) -> None:
        line.script.on("run_step", "b", InvalidInput("No."))
        line.script.on("undo_step", "a", {"undone": False, "told": "cannot be undone"})
        assert (await line.approved(plan(step("a"), step("b", "a")))).undone == []

    async def test_what_always_runs_runs_before_the_undo(self, line: Line) -> None:
        line.script.on("run_step", "lease", {"lease_id": "lease-7"})
        failed = JobOutcome(job_id="job-1", state="failed", code="job_failed", reason="It broke.", remedy="Read its log.")
        line.script.on("run_job", "train", failed.model_dump(mode="json"))
        outcome = await line.approved(lease_train_deploy())
        assert (outcome.state, outcome.code, outcome.remedy) == (PlanState.FAILED, "job_failed", "Read its log.")
        assert line.script.effects() == ["run_step lease", "run_job train", "run_step release", "undo_step release", "undo_step lease"]

    async def test_what_always_runs_does_not_where_nothing_was_done(self, line: Line) -> None:
        line.script.on("run_step", "lease", QuotaExceeded("No slots left."))
        outcome = await line.approved(lease_train_deploy())
        assert line.script.effects() == ["run_step lease"]
        assert outcome.skipped == ["train", "release", "gate", "deploy"]

    async def test_steps_beside_the_failed_one_are_undone(self, line: Line) -> None:
        line.script.on("run_step", "b", InvalidInput("No."))
        assert (await line.approved(plan(step("a"), step("b"), step("c")))).undone in (["a", "c"], ["c", "a"])


class TestRetry:
    async def test_what_may_succeed_later_is_tried_again_under_the_same_key(self, line: Line) -> None:
        line.script.on("run_step", "a", Unavailable("Away."), Unavailable("Away."), {"done": True})
        outcome = await line.approved(plan(step("a")))
        assert outcome.state is PlanState.DONE
        assert line.script.effects() == ["run_step a"] * 3
        assert len({str(argument["key"]) for name, argument in line.script.calls if name == "run_step"}) == 1

    async def test_what_cannot_succeed_is_not_tried_again(self, line: Line) -> None:
        line.script.on("run_step", "a", InvalidInput("No."))
        assert (await line.approved(plan(step("a")))).state is PlanState.FAILED
        assert line.script.effects() == ["run_step a"]

    async def test_retries_end(self, line: Line) -> None:
        line.script.on("run_step", "a", Unavailable("Away.", remedy="Wait."))
        outcome = await line.approved(plan(step("a")))
        assert (outcome.state, outcome.code, outcome.remedy) == (PlanState.FAILED, "unavailable", "Wait.")
        assert len(line.script.effects()) == RETRY.maximum_attempts > 1


class TestCancel:
    async def cancel(self, line: Line, made: Plan) -> None:
        handle = line.client.get_workflow_handle_for(PlanWorkflow.run, made.id)
        await handle.execute_update(PlanWorkflow.cancel, Cancellation(who=ANN, reason="Changed my mind."))

    async def test_before_the_decision_nothing_is_done(self, line: Line) -> None:
        made = plan(step("a"))
        handle = await line.start(made)
        await self.cancel(line, made)
        outcome = await handle.result()
        assert (outcome.state, outcome.reason) == (PlanState.CANCELLED, "Changed my mind.")
        assert line.script.effects() == []

    async def test_a_running_job_is_ended_and_what_was_done_undone(self, line: Line) -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def train(_: JsonObject) -> JsonObject:
            begun.set()
            await asyncio.wait_for(ended.wait(), 10)
            return JobOutcome(job_id="job-1", state="cancelled", code="cancelled", reason="It was cancelled.").model_dump(mode="json")

        async def cancel_job(_: JsonObject) -> JsonObject:
            ended.set()
            return {}

        line.script.on("run_step", "lease", {"lease_id": "lease-7"})
        line.script.on("run_job", "train", train)
        line.script.on("cancel_job", "train", cancel_job)
        made = lease_train_deploy()
        handle = await line.start(made)
        await line.decide(made)
        await asyncio.wait_for(begun.wait(), 10)
        await self.cancel(line, made)
        outcome = await handle.result()
        assert (outcome.state, outcome.code, outcome.skipped) == (PlanState.CANCELLED, "cancelled", ["gate", "deploy"])
        assert line.script.effects() == [
            "run_step lease",
            "run_job train",
            "cancel_job train",
            "run_step release",
            "undo_step release",
            "undo_step lease",
        ]

    async def test_in_the_last_step_still_undoes(self, line: Line) -> None:
        made = plan(step("a"))

        async def cancel_meanwhile(_: JsonObject) -> JsonObject:
            await self.cancel(line, made)
            return {}

        line.script.on("run_step", "a", cancel_meanwhile)
        outcome = await line.approved(made)
        assert (outcome.state, outcome.undone) == (PlanState.CANCELLED, ["a"])

    async def test_an_ended_plan_cannot_be_cancelled(self, line: Line) -> None:
        made, answers = plan(step("a")), list[str]()

        async def cancel_late(_: JsonObject) -> JsonObject:
            try:
                await self.cancel(line, made)
            except WorkflowUpdateFailedError as error:
                answers.append(error.cause.type or "" if isinstance(error.cause, ApplicationError) else "")
            return {"text": "told"}

        line.script.on("report_plan", "", cancel_late)
        assert (await line.approved(made)).state is PlanState.DONE
        assert answers == ["conflict"]


async def server_seconds(line: Line) -> float:
    """The server's own time, which has jumped ahead."""
    made = plan(step("a"))
    handle = await line.start(made)
    await line.decide(made, approve=False)
    await handle.result()
    line.script.calls.clear()
    described = await handle.describe()
    return described.start_time.timestamp()
