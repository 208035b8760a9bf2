"""Starts runs that were asked for, and fires triggers: by the clock, on new data, on drift. What there is to do is in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

import structlog
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from temporalio import activity
from temporalio.client import (
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from factory_infra.errors import LineshaftError, NotFound
from factory_infra.paas.training.pipelines.models import PipelineRun, RunState, Trigger
from factory_infra.paas.training.pipelines.spec import Scalar
from workflows.activities.context import translated
from workflows.activities.pipeline_jobs import PipelineJobActivities
from workflows.activities.pipelines import PipelineActivities
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
from workflows.messages import Cancellation, Who
from workflows.pipeline_reading import RunReader
from workflows.pipeline_view import input_of
from workflows.pipelining import FiringInput, Told
from workflows.proposal import Starter

LOOK_SECONDS = 0.5
CATCH_UP = timedelta(minutes=10)
"""A firing that a stop of the clock made later than this falls out."""
log = structlog.get_logger("pipelines")


async def begin(starter: Starter, run: PipelineRun) -> None:
    """Start a run's workflow, once under its id. A run whose pipeline cannot be read any more fails, and is told so."""
    factory = starter.factory
    try:
        version = await factory.pipelines.get(run.tenant, run.pipeline, run.version)
        asked = input_of(run, factory.pipelines.defined(version, {**run.parameters}).spec)
    except LineshaftError as error:
        if error.retryable:
            raise
        said = {"code": error.error_code, "reason": error.reason, "remedy": error.remedy}
        await factory.pipeline_runs.move(run.id, RunState.FAILED, **said)
        return
    try:
        await starter.temporal.start_workflow(
            PipelineWorkflow.run,
            asked,
            id=run.id,
            task_queue=starter.task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            static_summary=asked.title,
            task_timeout=timedelta(seconds=10),
        )
    except WorkflowAlreadyStartedError:  # it ran and ended already, under the same id
        return


class Firing:
    """Fires triggers."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._triggers = starter.factory.pipeline_triggers

    async def look(self) -> None:
        """Start what was asked for, end what is to end, fire what has come, and have the clock know what it should."""
        factory = self._starter.factory
        for run in await factory.pipeline_runs.unstarted():
            await self._each(run.id, partial(begin, self._starter, run))
        for run in await factory.pipeline_runs.wished():
            await self._each(run.id, partial(self.end, run))
        for trigger, version in await self._triggers.new_data():
            found: dict[str, Scalar] = {"dataset": f"{trigger.dataset}@{version}", "version": version}
            await self._each(trigger.id, partial(self._triggers.fire, trigger, f"version/{version}", found))
        for trigger, alert, _ in await self._triggers.new_drift():
            told: dict[str, Scalar] = {"alert": alert, "monitor": trigger.monitor}
            await self._each(trigger.id, partial(self._triggers.fire, trigger, alert, told))
        for trigger, used, revision in await self._triggers.unscheduled():
            await self._each(trigger.id, partial(self._known, trigger, revision, used=used))

    async def _each(self, name: str, act: Callable[[], Awaitable[object]]) -> None:
        """Act; what fails is told, is tried at the next look, and holds nothing else up."""
        try:
            await act()
        except (LineshaftError, SQLAlchemyError, RPCError) as error:
            log.warning("not done", what=name, error=str(error) if isinstance(error, LineshaftError) else type(error).__name__)

    async def _known(self, trigger: Trigger, revision: int, *, used: bool) -> None:
        await self.schedule(trigger, used=used)
        await self._triggers.scheduled(trigger.id, revision)

    async def end(self, run: PipelineRun) -> None:
        """Tell a run's workflow that its end was asked for; one that is ending already refuses, which is no error."""
        handle = self._starter.temporal.get_workflow_handle_for(PipelineWorkflow.run, run.id)
        asked = Cancellation(who=Who(actor=run.actor, role=run.role, tenant=run.tenant), reason=run.reason)
        with suppress(WorkflowUpdateFailedError):
            await handle.execute_update(PipelineWorkflow.cancel, asked)

    @activity.defn(name="fire_pipeline_trigger")
    @translated
    async def fire(self, asked: FiringInput) -> Told:
        """Fire a trigger by the clock. One that was removed meanwhile starts nothing."""
        try:
            trigger = await self._triggers.get(None, asked.trigger_id)
        except NotFound:
            return Told(code="trigger_unknown", reason="It was removed.")
        fired = await self._triggers.fire(trigger, asked.key, {})
        if fired.outcome == "started":
            await begin(self._starter, await self._starter.factory.pipeline_runs.get(fired.run_id, None))
        return Told(code=fired.outcome, reason=fired.reason or fired.run_id)

    async def schedule(self, trigger: Trigger, *, used: bool) -> None:
        """Have the clock know a trigger as it is now, or not at all."""
        name = f"pipeline-{trigger.id}"
        handle = self._starter.temporal.get_schedule_handle(name)
        if not used or trigger.schedule is None:
            try:
                await handle.delete()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
            return
        wanted = self.wanted(trigger, name)
        try:
            await self._starter.temporal.create_schedule(name, wanted)
        except ScheduleAlreadyRunningError:
            await handle.update(lambda _: ScheduleUpdate(schedule=wanted))

    def wanted(self, trigger: Trigger, name: str) -> Schedule:
        """A trigger's schedule."""
        said = trigger.schedule
        assert said is not None  # noqa: S101  (the caller looked)
        every = [ScheduleIntervalSpec(every=timedelta(seconds=said.every_seconds))] if said.every_seconds else []
        spec = ScheduleSpec(cron_expressions=[said.cron] if said.cron else [], intervals=every, time_zone_name=said.time_zone)
        return Schedule(
            action=ScheduleActionStartWorkflow(
                PipelineFiringWorkflow.run, FiringInput(trigger_id=trigger.id), id=name, task_queue=self._starter.task_queue
            ),
            spec=spec,
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.ALLOW_ALL, catchup_window=CATCH_UP),
        )


def pipeline_activities(starter: Starter) -> list[Callable[..., Awaitable[BaseModel]]]:
    """What a worker does for runs."""
    reader = RunReader(starter.factory)  # one for both: what a run is need not be read and checked twice
    acts, jobs = PipelineActivities(starter.factory, reader), PipelineJobActivities(starter.factory, reader)
    return [acts.open, acts.move, acts.move_step, acts.gate, acts.tool, jobs.step, jobs.cancel, Firing(starter).fire]


async def watch(starter: Starter) -> None:
    """Do so for ever."""
    firing = Firing(starter)
    while True:
        try:
            await firing.look()
        except (LineshaftError, SQLAlchemyError, RPCError) as error:
            log.warning("pipelines not watched", error=str(error) if isinstance(error, LineshaftError) else type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
