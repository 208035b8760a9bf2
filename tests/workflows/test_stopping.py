"""Effects over a real factory: stopped by the switch within seconds while reads go on, kept within scope, revised as policy says."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import ANN, JsonObject, plan, step
from tools.plan import Effect, Plan, Scope, Step
from tools.spec import Arguments, JobTool, Result, ToolContext
from workflows.activities import jobs as jobs_module
from workflows.activities.jobs import JobActivities
from workflows.activities.revising import RevisingActivities
from workflows.activities.steps import StepActivities
from workflows.messages import RevisionCall, StepCall, ToolCall

pytestmark = pytest.mark.stack

SECONDS_MAX = 5.0
"""How long after the switch was turned nothing with an effect runs any more."""


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    built = factory_with_slots(connected, 4)
    await built.tenants.create("vision", quota_slots=4, budget=Decimal(20))
    yield built
    await built.close()


def lease(slots: int = 1, identity: str = "lease") -> Step:
    return step(identity, effect=Effect.COSTLY, arguments={"slots": slots})


def call_of(each: Step, **fields: object) -> StepCall:
    known = {"plan_id": "plan-1", "thread_id": "t", "tenant": "vision", "actor": "ann", "key": f"plan-1/{each.id}"}
    return StepCall.model_validate({**known, "step": each, "arguments": each.arguments, **fields})


async def done(method: Any, request: object) -> JsonObject:
    found: JsonObject = await ActivityEnvironment().run(method, request)
    return found


async def code_of(method: Any, request: object) -> str:
    with pytest.raises(ApplicationError) as raised:
        await done(method, request)
    assert raised.value.non_retryable
    return raised.value.type or ""


class TestSwitch:
    async def test_no_effect_begins_and_reads_go_on(self, factory: Factory) -> None:
        acts = StepActivities(factory)
        held = call_of(lease(identity="first"))
        held.result = await done(acts.run, held)
        await factory.switch.turn(stopped=True, actor="root", reason="Smoke.")
        assert await code_of(acts.run, call_of(lease())) == "effects_stopped"
        assert await code_of(acts.undo, held) == "effects_stopped"
        assert len(await factory.leases.list()) == 1
        read = ToolCall(name="leases.list", agent="dispatcher", arguments={}, tenant="vision", actor="ann")
        assert (await done(acts.call, read))["outcome"] == "ok"
        reading = step("r", tool="leases.list", effect=Effect.READ)
        assert len((await done(acts.run, call_of(reading)))["leases"]) == 1  # type: ignore[arg-type]
        await factory.switch.turn(stopped=False, actor="root")
        await done(acts.run, call_of(lease()))
        assert (await done(acts.undo, held))["undone"] is True

    async def test_control_without_the_check_the_effect_is_done(self, factory: Factory) -> None:
        async def blind(_: object) -> None:
            return

        await factory.switch.turn(stopped=True, actor="root")
        with patch.object(type(factory.switch), "check", blind):
            await done(StepActivities(factory).run, call_of(lease()))
        assert len(await factory.leases.list()) == 1


class Sleeping(Arguments):
    """Nothing to say."""


class Slept(Result):
    """Nothing to tell."""


def name_of(key: str) -> str:
    return "job-" + key.replace("/", "-")


async def prepare(context: ToolContext, arguments: Sleeping) -> JobSpec:
    argv = [sys.executable, "-c", "import time; time.sleep(120)"]
    return JobSpec(id=name_of(context.key), tenant=context.tenant, name="sleep", argv=argv)


async def collect(context: ToolContext, arguments: Sleeping, job: object) -> Slept:
    return Slept()


async def unused(context: ToolContext, arguments: Sleeping) -> Slept:
    return Slept()


SLEEP = JobTool("tests.sleep", Effect.COSTLY, Sleeping, Slept, unused, identify=name_of, prepare=prepare, collect=collect)


class TestJob:
    @pytest.fixture(autouse=True)
    def tool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jobs_module, "tool_named", lambda _: SLEEP)

    def asked(self) -> StepCall:
        return call_of(step("s", tool="tests.sleep", runs_as="job", effect=Effect.COSTLY))

    async def running(self, factory: Factory, request: StepCall) -> None:
        async with asyncio.timeout(60):
            while True:
                found = {job.id: job.state for job in await factory.jobs.list("vision")}
                if found.get(name_of(request.key)) is JobState.RUNNING:
                    return
                await asyncio.sleep(0.05)

    async def ended_after(self, factory: Factory, request: StepCall) -> float:
        """Seconds from turning the switch until no process of the job is left."""
        began = time.monotonic()
        await factory.switch.turn(stopped=True, actor="root", reason="Smoke.")
        async with asyncio.timeout(60):
            while not (await factory.jobs.get(name_of(request.key), "vision")).state.final:  # noqa: ASYNC110  (told by no event)
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def test_one_that_runs_is_ended_within_seconds(self, factory: Factory, capsys: pytest.CaptureFixture[str]) -> None:
        request = self.asked()
        watching = asyncio.ensure_future(done(JobActivities(factory).run, request))
        await self.running(factory, request)
        seconds = await self.ended_after(factory, request)
        with pytest.raises(ApplicationError) as raised:
            await watching
        assert raised.value.type == "effects_stopped"
        assert seconds < SECONDS_MAX
        with capsys.disabled():
            print(f"\na job was ended {seconds:.2f} s after the switch was turned")  # noqa: T201

    async def test_one_that_outlived_its_watcher_is_ended_too(self, factory: Factory) -> None:
        request = self.asked()
        watching = asyncio.ensure_future(done(JobActivities(factory).run, request))
        await self.running(factory, request)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await factory.switch.turn(stopped=True, actor="root")
        assert await code_of(JobActivities(factory).run, request) == "effects_stopped"
        assert (await self.ended_after(factory, request)) < SECONDS_MAX

    async def test_none_begins(self, factory: Factory) -> None:
        await factory.switch.turn(stopped=True, actor="root")
        assert await code_of(JobActivities(factory).run, self.asked()) == "effects_stopped"
        assert await factory.jobs.list("vision") == []


class TestScope:
    @pytest.mark.parametrize(
        "scope", [Scope(tools=()), Scope(tools=("leases.release",)), Scope(tools=("leases.acquire",), limits={"slots": 1})]
    )
    async def test_an_effect_outside_is_refused_where_it_acts(self, factory: Factory, scope: Scope) -> None:
        assert await code_of(StepActivities(factory).run, call_of(lease(2), scope=scope)) == "out_of_scope"
        assert await factory.leases.list() == []

    async def test_one_inside_is_done(self, factory: Factory) -> None:
        scope = Scope(tools=("leases.acquire",), limits={"slots": 2})
        await done(StepActivities(factory).run, call_of(lease(2), scope=scope))
        assert len(await factory.leases.list()) == 1

    async def test_an_argument_that_the_plan_does_not_have_is_refused(self, factory: Factory) -> None:
        scope = Scope(tools=("leases.acquire",), limits={"slots": 2})
        request = call_of(lease(2), scope=scope, arguments={"slots": 2, "seconds": 99})
        assert await code_of(StepActivities(factory).run, request) == "out_of_scope"


class TestRevise:
    def made(self) -> Plan:
        return plan(lease(1), requested_by="eve (3)")

    async def revise(self, factory: Factory, *steps: Step, kept: tuple[str, ...] = ()) -> Plan:
        request = RevisionCall(plan=self.made(), steps=list(steps), kept=list(kept), who=ANN)
        return Plan.model_validate((await done(RevisingActivities(factory).revise, request))["plan"])

    async def test_it_is_foreseen_priced_judged_and_scoped_anew(self, factory: Factory) -> None:
        found = await self.revise(factory, lease(2).model_copy(update={"undo": "trust me"}))
        assert (found.requested_by, found.requester_role) == (ANN.actor, ANN.role)
        assert found.verdict is not None and found.verdict.decision == "approve"
        assert found.scope is not None and found.scope.limits == {"slots": 2}
        assert found.price.high > 0 and found.expires_at is not None
        assert found.steps[0].undo == "release the lease"
        assert await factory.leases.list() == []

    async def test_what_began_stays_as_it_was(self, factory: Factory) -> None:
        acquire = lease(1)
        again = lease(2, "more")
        found = await self.revise(factory, acquire, again, kept=("lease",))
        assert [each.id for each in found.steps] == ["lease", "more"]
        assert found.steps[0] == acquire  # not foreseen again

    @pytest.mark.parametrize(
        ("steps", "kept", "code"),
        [
            ((lease(2),), ("lease",), "step_has_begun"),
            ((lease(1, "other"),), ("lease",), "step_has_begun"),
            ((lease(9),), (), "capacity_exceeded"),
            ((step("x", tool="leases.steal"),), (), "tool_unknown"),
            ((lease(1), lease(1)), (), "invalid_plan"),
            ((step("a", "b"), step("b", "a")), (), "invalid_plan"),
            ((step("a", effect=Effect.COSTLY, arguments={"slots": "two"}),), (), "invalid_input"),
        ],
    )
    async def test_what_cannot_be_is_refused(self, factory: Factory, steps: tuple[Step, ...], kept: tuple[str, ...], code: str) -> None:
        request = RevisionCall(plan=self.made(), steps=list(steps), kept=list(kept), who=ANN)
        assert await code_of(RevisingActivities(factory).revise, request) == code

    async def test_what_policy_refuses_is_refused(self, factory: Factory, tmp_path: Path) -> None:
        strict = tmp_path / "policy.yaml"
        defaults = "{read: {then: run}, write: {then: refuse}, costly: {then: refuse}, destructive: {then: refuse}}"
        strict.write_text(f'version: "1"\ndefaults: {defaults}\n')
        factory.settings.policy = strict
        request = RevisionCall(plan=self.made(), steps=[lease(1)], who=ANN)
        assert await code_of(RevisingActivities(factory).revise, request) == "policy_refused"
