"""Activities over the jobs of pipelines: known already, or run on a lease, watched to its end, and kept by content."""

import asyncio
import json
from collections.abc import Mapping

from pydantic import JsonValue
from temporalio import activity

from factory_infra.errors import Conflict, EffectsStopped, JobFailed, LineshaftError, NotFound, Unavailable
from factory_infra.factory import Factory
from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.leases.models import Lease, LeaseState
from factory_infra.paas.catalog.lineage import node
from factory_infra.paas.features.set_files import numeric_rows
from factory_infra.paas.training.datasets import DATASETS
from factory_infra.paas.training.pipelines.models import Kept, PipelineRun, RunStep, StepState
from factory_infra.paas.training.pipelines.spec import RESULT, DataStep, EvaluateStep, JobStep, TrainStep, ValidateStep
from factory_infra.paas.training.pipelines.spec import RunStep as Program
from factory_infra.paas.training.pipelines.work import (
    REFUSAL,
    ROWS_CSV,
    Place,
    Work,
    job_id,
    job_of,
    key_of,
    reads_of,
    training_texts,
    work_of,
)
from factory_infra.paas.training.spec import DATA_FILE, SET_PREFIX
from workflows.activities.beating import beating
from workflows.activities.context import translated
from workflows.messages import JsonObject
from workflows.pipeline_reading import RunReader
from workflows.pipelining import PipelineCall, StepEnd, Told

POLL_FIRST_SECONDS = 0.01
POLL_GROWTH = 1.05
"""A job that lasts is looked at every twentieth of the time that it has taken: its end is told so much late at most."""
POLL_SECONDS_MAX = 0.5
POLL_ELSEWHERE_SECONDS = 2.0
"""Another pool's engine is asked less often: each question is a command or a request."""
RESULT_CHARACTERS_MAX = 100_000
REPLACED = "\ufffd"
"""What an engine puts in the place of bytes that are no text: nothing is handed on that is not what was written."""
WAITING = {LeaseState.QUEUED, LeaseState.GRANTING}
Rows = Mapping[str, RunStep]
JobStepOfAKind = Program | ValidateStep | TrainStep | EvaluateStep


class PipelineJobActivities:
    """Runs the jobs of runs. A job outlives the worker: an activity that starts again finds it by its id."""

    def __init__(self, factory: Factory, reader: RunReader) -> None:
        self._factory = factory
        self._reader = reader

    @activity.defn(name="run_pipeline_step")
    @translated
    async def step(self, call: PipelineCall) -> StepEnd:
        """Do a step that is a dataset or a job, or find that it was done before. What it refuses is told with file and line.

        Raises EffectsStopped, after its job was ended, and what may pass by itself.
        """
        run = await self._reader.run(call.run_id)
        step = (await self._reader.spec(run)).step(call.step)
        rows = {row.step: row for row in await self._factory.pipeline_runs.steps(run.id)}
        if rows[call.step].state.good:
            return StepEnd(state="cached" if rows[call.step].cached_from else "done")
        async with beating():
            try:
                if isinstance(step, DataStep):
                    return await self._data(run, step)
                assert isinstance(step, Program | ValidateStep | TrainStep | EvaluateStep)  # noqa: S101  (the order says so)
                return await self._job(run, step, call, rows)
            except LineshaftError as error:
                if error.retryable or isinstance(error, EffectsStopped):
                    raise
                reason = await self._reader.placed(run, call.step, error)
                return await self._failed(call, StepEnd(state="failed", code=error.error_code, reason=reason, remedy=error.remedy))

    @activity.defn(name="cancel_pipeline_step")
    @translated
    async def cancel(self, call: PipelineCall) -> Told:
        """End a step's job. One that has not appeared yet is waited for: the activity is tried again, until the step has ended."""
        name = identity(call)
        await self._factory.pipeline_runs.mark_cancelled(call.run_id, call.step)
        try:
            await self._factory.jobs.cancel(name, call.tenant)
        except NotFound as error:
            row = await self._factory.pipeline_runs.step(call.run_id, call.step)
            if row.state is not StepState.RUNNING:
                return Told()
            raise Unavailable(f"Job {name} has not started yet.", remedy="It is ended as soon as it has.") from error
        return Told()

    async def _data(self, run: PipelineRun, step: DataStep) -> StepEnd:
        """A version of a dataset: its bytes are checked now, and what follows is named by them."""
        name, _, version = step.dataset.partition("@")
        await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.RUNNING)
        if any(each.name == name for each in DATASETS):
            result: JsonObject = {"dataset": name}
            source, outputs = node("dataset", "shared", name), dict[str, str]()
        else:
            kept, text = await self._factory.datasets.text(run.tenant, name, int(version) if version else None)
            outputs = {ROWS_CSV: await self._factory.pipeline_store.put(run.tenant, text.encode())}
            result = {"dataset": name, "version": kept.version, "digest": kept.digest, "rows": kept.rows}
            source = node("dataset", run.tenant, name, kept.version)
        await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.DONE, result=result, outputs={**outputs})
        await self._factory.lineage.link(run.tenant, source, node("pipeline_run", run.id), "read")
        return StepEnd(state="done")

    async def _job(self, run: PipelineRun, step: JobStepOfAKind, call: PipelineCall, rows: Rows) -> StepEnd:
        fields = await self._reader.fields(run, step, rows)
        work = work_of(step, await self._named(run, fields))
        inputs = {name: await self._digest(run, rows, wanted) for name, wanted in reads_of(step).items()}
        kind = self._factory.pools.named(step.pool).provider
        key = key_of(step, work, inputs, kind)
        told: dict[str, JsonValue] = {"attempt": call.attempt, "cache_key": key, "inputs": {**inputs}}
        if run.cache and step.cache and (found := await self._known(run, key)) is not None:
            again: dict[str, JsonValue] = {"outputs": {**found.outputs}, "result": found.result, "cached_from": found.run_id}
            await self._factory.pipeline_runs.move_step(run.id, step.id, StepState.CACHED, **told, **again)
            return StepEnd(state="cached")
        if not call.lease_id:
            return StepEnd(state="needs_lease")
        name = identity(call)
        running = await self._factory.pipeline_runs.move_step(
            run.id, step.id, StepState.RUNNING, **told, job_id=name, lease_id=call.lease_id
        )
        await self._factory.switch.check()
        place = None if running == "cancelled" else await self._place(call)
        if place is None:
            return StepEnd(state="lease_lost")
        texts = await self._texts(run, step, inputs, fields)
        job = await self._ran(limited(self._factory, job_of(run, step, work, texts, place)).model_copy(update={"id": name}))
        if job.state is not JobState.SUCCEEDED:
            return await self._unsuccessful(call, job)
        left = await self._left(run, step, work, job, inputs)
        await self._keep(run, step, key, left)
        return StepEnd(state="done")

    async def _named(self, run: PipelineRun, fields: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """The same fields, a training set named by its rows and not by when it was made: equal rows are trained on once."""
        named = fields.get("dataset")
        if not isinstance(named, str) or not named.startswith(SET_PREFIX):
            return {**fields}
        kept = await self._factory.training_sets.get(run.tenant, named.removeprefix(SET_PREFIX))
        return {**fields, "dataset": f"{SET_PREFIX}{kept.digest}"}

    async def _digest(self, run: PipelineRun, rows: Rows, wanted: str) -> str:
        """The digest of STEP/FILE. Raises Conflict `output_unknown`."""
        step, _, name = wanted.partition("/")
        row = rows[step]
        if name == RESULT:
            return await self._factory.pipeline_store.put(run.tenant, result_text(row).encode())
        if name not in row.outputs:
            remedy = "A dataset that ships leaves no rows: train on its name."
            raise Conflict(f"Step '{step}' left no {name}.", remedy=remedy, code="output_unknown")
        return row.outputs[name]

    async def _known(self, run: PipelineRun, key: str) -> Kept | None:
        """What a step of this key left, if all of it is still there, byte for byte. Two equal steps of one run are both meant."""
        found = await self._factory.pipeline_runs.cached(run.tenant, key)
        if (
            found is None
            or found.run_id == run.id
            or not await self._factory.pipeline_store.whole(run.tenant, list(found.outputs.values()))
        ):
            return None
        return found

    async def _place(self, call: PipelineCall) -> Place | None:
        """The lease's slots, once it has them; None where it was ended, or the run is."""
        while True:
            lease = await self._factory.leases.get(call.tenant, call.lease_id)
            if lease.state not in WAITING:
                return placed(lease) if lease.state is LeaseState.ACTIVE else None
            row = await self._factory.pipeline_runs.step(call.run_id, call.step)
            if row.code == "cancelled":
                return None
            await asyncio.sleep(POLL_SECONDS_MAX)

    async def _texts(self, run: PipelineRun, step: JobStep, inputs: Mapping[str, str], fields: Mapping[str, JsonValue]) -> dict[str, str]:
        """What lies beside the program when it starts: files of other steps, whose bytes are checked now."""
        read = {name: (await self._factory.pipeline_store.get(run.tenant, digest)).decode() for name, digest in inputs.items()}
        if not isinstance(step, TrainStep):
            return read
        rows = (read[ROWS_CSV], inputs[ROWS_CSV]) if ROWS_CSV in inputs else None
        texts = await asyncio.to_thread(training_texts, step, run.tenant, f"{run.id}/{step.id}", rows, fields)
        return texts | await self._set_rows(run, fields)

    async def _set_rows(self, run: PipelineRun, fields: Mapping[str, JsonValue]) -> dict[str, str]:
        """The rows of a training set of the feature store, where one is trained on."""
        named = fields.get("dataset")
        if not isinstance(named, str) or not named.startswith(SET_PREFIX):
            return {}
        kept = await self._factory.training_sets.get(run.tenant, named.removeprefix(SET_PREFIX))
        return {DATA_FILE: await asyncio.to_thread(numeric_rows, kept)}

    async def _ran(self, spec: JobSpec) -> Job:
        """Start the job unless it was, and watch it to its end. A stop of every effect ends it, and is raised."""
        job = await self._factory.jobs.submit(spec)
        local = isinstance(self._factory.pools.named(job.pool), LocalPool)
        pause = POLL_FIRST_SECONDS if local else POLL_ELSEWHERE_SECONDS
        while not job.state.final:
            await asyncio.sleep(pause)
            pause = min(pause * POLL_GROWTH, POLL_SECONDS_MAX) if local else pause
            if pause >= POLL_SECONDS_MAX:
                await self._ended_by_switch(job)
            elif not (await self._factory.jobs.provider(spec.pool).get(job.id, job.tenant)).state.final:
                continue  # at first only the job's folder is looked at: that costs next to nothing
            job = await self._factory.jobs.get(job.id, job.tenant)
        if job.state is JobState.LOST:
            raise Unavailable(f"Job {job.id} was lost with its host.", remedy="It is started again by itself.")
        return job

    async def _ended_by_switch(self, job: Job) -> None:
        try:
            await self._factory.switch.check()
        except EffectsStopped:
            await self._factory.jobs.cancel(job.id, job.tenant)
            raise

    async def _unsuccessful(self, call: PipelineCall, job: Job) -> StepEnd:
        """Tell why a job did not succeed: by what it left for that, or by how it ended."""
        if job.state is JobState.CANCELLED:
            end = StepEnd(state="cancelled", code="cancelled", reason=f"Job {job.id} was cancelled.")
            await self._factory.pipeline_runs.move_step(call.run_id, call.step, StepState.CANCELLED, code="cancelled", reason=end.reason)
            return end
        told = await self._refusal(job)
        if told is not None:
            return await self._failed(call, told)
        failure = job.failure
        code = failure.code if failure else JobFailed.code
        reason = failure.reason if failure else f"Job {job.id} ended with code {job.exit_code}."
        tail = (await self._factory.jobs.tail(job.id, job.tenant, 400)).strip().splitlines()
        last = f" Its log ends: {tail[-1][:200]}" if tail else ""
        remedy = (failure.remedy if failure else "") or f"Read its log: lineshaft jobs logs {job.id}."
        return await self._failed(call, StepEnd(state="failed", code=code, reason=f"{reason}{last}", remedy=remedy, again=True))

    async def _refusal(self, job: Job) -> StepEnd | None:
        """What a program says that refuses what it was given; that is not tried again."""
        text = await self._factory.jobs.result(job.id, job.tenant, REFUSAL)
        try:
            said = json.loads(text) if text else None
        except ValueError:
            return None
        if not isinstance(said, dict) or "reason" not in said:
            return None
        words = {name: str(said.get(name, ""))[:500] for name in ("reason", "remedy")}
        return StepEnd(state="failed", code=str(said.get("code") or "data_invalid")[:64], **words)

    async def _failed(self, call: PipelineCall, end: StepEnd) -> StepEnd:
        said = {"code": end.code, "reason": end.reason, "remedy": end.remedy}
        await self._factory.pipeline_runs.move_step(call.run_id, call.step, StepState.FAILED, **said)
        return end

    async def _left(self, run: PipelineRun, step: JobStep, work: Work, job: Job, inputs: Mapping[str, str]) -> Kept:
        """Take in what a job left. Raises JobFailed `output_missing`, TooLarge."""
        outputs = {ROWS_CSV: inputs[ROWS_CSV]} if isinstance(step, ValidateStep) else {}
        for name in work.outputs:
            text = await self._factory.jobs.result(job.id, job.tenant, name)
            if text is None:
                raise JobFailed(
                    f"It ended well and left no {name}.", remedy="Have it write the file into its working folder.", code="output_missing"
                )
            if REPLACED in text:
                reason = f"Its output {name} is no text in UTF-8."
                raise JobFailed(reason, remedy="Have it write text; bytes as base64.", code="output_invalid")
            outputs[name] = await self._factory.pipeline_store.put(run.tenant, text.encode())
        return Kept(outputs=outputs, result=await self._result(step, job), run_id=run.id)

    async def _result(self, step: JobStep, job: Job) -> JsonObject:
        """The fields of what a job found out; a program of one's own need not leave any."""
        text = await self._factory.jobs.result(job.id, job.tenant, RESULT)
        if text is None and not isinstance(step, Program):
            raise JobFailed(f"Job {job.id} ended without a result.", remedy=f"Read its log: lineshaft jobs logs {job.id}.")
        try:
            found = json.loads(text) if text and len(text) <= RESULT_CHARACTERS_MAX else {}
        except ValueError as error:
            raise JobFailed(f"{RESULT} of job {job.id} is no JSON.", remedy="Have it leave one object.", code="output_invalid") from error
        if not isinstance(found, dict):
            raise JobFailed(f"{RESULT} of job {job.id} is no object.", remedy="Have it leave one object.", code="output_invalid")
        return {**found, "job_id": job.id}

    async def _keep(self, run: PipelineRun, step: JobStep, key: str, left: Kept) -> None:
        """Write down what was left; from here on the step is done, and later runs need not do it."""
        await self._factory.pipeline_runs.done(run.tenant, (run.id, step.id), key if step.cache else "", left)
        tracked = left.result.get("run_id")
        if isinstance(step, TrainStep) and isinstance(tracked, str):
            await self._factory.lineage.link(run.tenant, node("pipeline_run", run.id), node("run", tracked), "trained")


def identity(call: PipelineCall) -> str:
    """The job of one attempt."""
    name = job_id(call.run_id, call.step, call.attempt)
    return name if not call.stops else f"{name}-{call.stops}"


def placed(lease: Lease) -> Place:
    """Where a lease's jobs run."""
    return Place(lease_id=lease.id, pool=lease.pool, slot_kind=lease.slot_kind, slots=lease.slots, devices=lease.devices)


def limited(factory: Factory, spec: JobSpec) -> JobSpec:
    """The job within the installation's limits, and with the address of the tracking server."""
    limits = spec.limits.model_copy(update={"file_gib": factory.settings.job_file_gib_max})
    return spec.model_copy(
        update={"limits": limits, "environment": {**spec.environment, "MLFLOW_TRACKING_URI": factory.settings.mlflow_url or ""}}
    )


def result_text(row: RunStep) -> str:
    """A step's result as a file, the same for the same findings: which job found them does not count."""
    return json.dumps({name: value for name, value in row.result.items() if name != "job_id"}, sort_keys=True)
