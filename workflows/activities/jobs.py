"""Activities over jobs: run to the end, cancel."""

import asyncio
from contextlib import suppress

from temporalio import activity

from agents.scope import within
from factory_infra.errors import EffectsStopped, Forbidden, InvalidInput, JobFailed, NotFound, Unavailable
from factory_infra.factory import Factory
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, Waiting
from factory_infra.iaas.leases.models import LEASE_QUEUED, Lease, LeaseState
from factory_infra.records.models import NewEvent
from tools.spec import JobTool, ToolContext
from tools.toolbox import tool_named
from tools.waiting import waits_for
from workflows.activities.beating import beating
from workflows.activities.context import effect_key, tool_context, translated
from workflows.messages import JobOutcome, JsonObject, StepCall

WAITING = {LeaseState.QUEUED, LeaseState.GRANTING}
POLL_SECONDS = 0.5
POLL_ELSEWHERE_SECONDS = 2.0
"""Another pool's engine is asked less often: each question is a command or a request."""


class JobActivities:
    """Runs the jobs of steps. A job outlives the worker: an activity that starts again finds it by the step's key."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    @activity.defn(name="run_job")
    @translated
    async def run(self, request: StepCall) -> JsonObject:
        """Start the job if it has not been, watch it to its end, and return how it ended."""
        tool = job_tool(request)
        context = tool_context(self._factory, request, effect_key(self._factory, request.key))
        arguments = tool.parse(request.arguments)
        await self._may_begin(request)
        async with beating():
            if (stopped := await self._lease_begun(request, context)) is not None:
                return ended(stopped).model_dump(mode="json")
            spec = await tool.prepare(context, arguments)  # type: ignore[misc]
            job = await self._watch(request, await self._factory.jobs.submit(spec))
            if job.state is JobState.LOST:
                raise Unavailable(f"Job {job.id} was lost with its host.", remedy="It is started again by itself.")
            if job.state is not JobState.SUCCEEDED:
                return ended(job).model_dump(mode="json")
            result = await tool.collect(context, arguments, job)  # type: ignore[misc]
        outcome = JobOutcome(job_id=job.id, state=job.state.value, result={**result.model_dump(mode="json"), "job_id": job.id})
        return outcome.model_dump(mode="json")

    async def _lease_begun(self, request: StepCall, context: ToolContext) -> Job | None:
        """Wait until the step's lease has its slots. Meanwhile the job is held: listed, explained, ended on demand (then it is returned).

        A lease that ended while it waited is for `prepare` to refuse; the held job is ended first.
        """
        name = request.arguments.get("lease_id")
        if not isinstance(name, str):
            return None
        lease = await self._factory.leases.get(request.tenant, name)
        if lease.state not in WAITING:
            return None
        job_id = job_tool(request).identify(context.key)  # type: ignore[misc]
        spec = JobSpec(id=job_id, tenant=request.tenant, name=request.step.summary[:120], argv=[], pool=lease.pool, lease_id=lease.id)
        while lease.state in WAITING:
            job = await self._factory.jobs.hold(spec, waiting_for(lease))
            if job.state.final:
                return job
            await self._ended_by_switch(job)
            await self._progress(request, job)
            await asyncio.sleep(POLL_ELSEWHERE_SECONDS)
            lease = await self._factory.leases.get(request.tenant, name)
        if not lease.state.held:
            await self._factory.jobs.cancel(job_id, request.tenant)
        return None

    async def _may_begin(self, request: StepCall) -> None:
        """Raise EffectsStopped; a job that an earlier attempt left running is ended first."""
        try:
            await self._factory.switch.check()
        except EffectsStopped:
            with suppress(NotFound):
                await self._factory.jobs.cancel(job_tool(request).identify(request.key), request.tenant)  # type: ignore[misc]
            raise

    async def _watch(self, request: StepCall, job: Job) -> Job:
        """Follow the job and write its progress as events, each stage once. Raises EffectsStopped, after its processes were ended."""
        told = (-1, "")
        while not job.state.final:
            await self._ended_by_switch(job)
            if (now := (int(job.percent or 0), stage_of(job))) != told:
                told = now
                await self._progress(request, job)
            await asyncio.sleep(POLL_SECONDS if job.pool in self._here() else POLL_ELSEWHERE_SECONDS)
            job = await self._factory.jobs.get(job.id, request.tenant)
        return job

    async def _progress(self, request: StepCall, job: Job) -> None:
        """Write how far a job is as an event; the same is written once."""
        stage = stage_of(job)
        if job.percent is None and not stage:
            return
        event = NewEvent(
            key=f"{request.key}/{job.id}/{int(job.percent or 0)}/{stage}"[:200],
            tenant=request.tenant,
            thread_id=request.thread_id,
            plan_id=request.plan_id,
            kind="step.progress",
            payload={"step": request.step.id, "job_id": job.id, "percent": job.percent, "stage": stage},
        )
        await self._factory.records.write_event(event)

    def _here(self) -> set[str]:
        return {pool.name for pool in self._factory.pools.all() if isinstance(pool, LocalPool)}

    async def _ended_by_switch(self, job: Job) -> None:
        try:
            await self._factory.switch.check()
        except EffectsStopped:
            await self._factory.jobs.cancel(job.id, job.tenant)
            raise

    @activity.defn(name="cancel_job")
    @translated
    async def cancel(self, request: StepCall) -> JsonObject:
        """End the job. One that has not appeared yet is waited for: the activity is tried again."""
        tool = job_tool(request)
        name = tool.identify(request.key)  # type: ignore[misc]
        try:
            job = await self._factory.jobs.cancel(name, request.tenant)
        except NotFound as error:
            raise Unavailable(f"Job {name} has not started yet.", remedy="It is cancelled as soon as it has.") from error
        return {"job_id": job.id, "state": job.state.value}


def stage_of(job: Job) -> str:
    """Where a job is, in words."""
    return job.stage or (f"waits: {job.waiting.reason}" if job.waiting else "")


def waiting_for(lease: Lease) -> Waiting:
    """Why a job waits whose lease does."""
    return Waiting(code=LEASE_QUEUED, reason=f"lease {lease.id} waits: {waits_for(lease)}.", remedy=f"See: lineshaft leases why {lease.id}")


def job_tool(request: StepCall) -> JobTool:  # type: ignore[type-arg]
    """Return the step's tool, which must be one whose work is a job."""
    tool, step = tool_named(request.step.tool), request.step
    if request.scope is not None and (against := within(step, request.scope, request.arguments)) is not None:
        raise Forbidden(against, code="out_of_scope", remedy="Ask for it in words of your own.")
    if not isinstance(tool, JobTool) or None in (tool.identify, tool.prepare, tool.collect):
        raise InvalidInput(f"{tool.name} is not run as a job.", remedy="Plan again.")
    return tool


def ended(job: Job) -> JobOutcome:
    """Tell how a job ended that did not succeed."""
    failure = job.failure
    if job.state is JobState.CANCELLED:
        return JobOutcome(job_id=job.id, state=job.state.value, code="cancelled", reason=f"Job {job.id} was cancelled.")
    return JobOutcome(
        job_id=job.id,
        state=job.state.value,
        code=failure.code if failure else JobFailed.code,
        reason=failure.reason if failure else f"Job {job.id} ended with code {job.exit_code}.",
        remedy=(failure.remedy if failure else "") or f"Read its log: lineshaft jobs logs {job.id}.",
    )
