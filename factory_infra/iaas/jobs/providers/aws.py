"""Jobs on AWS: Batch or SageMaker runs them, a bucket holds what they need, leave and were asked for."""

import asyncio
import builtins
import time

from factory_infra.errors import Conflict, EffectFailed, InvalidInput, TooLarge
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.carrier.keys import job_folder
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.aws_batch import BatchEngine
from factory_infra.iaas.jobs.providers.aws_bucket import JobBucket
from factory_infra.iaas.jobs.providers.aws_engine import Engine
from factory_infra.iaas.jobs.providers.aws_logs import CloudLogs
from factory_infra.iaas.jobs.providers.aws_records import FILE, NAME, check
from factory_infra.iaas.jobs.providers.aws_submitting import POLL_SECONDS, Submitting
from factory_infra.iaas.jobs.providers.aws_view import Found, JobView
from factory_infra.iaas.jobs.providers.reading import RESULT_BYTES_MAX, whole_characters
from factory_infra.iaas.jobs.providers.sagemaker import TrainingEngine
from factory_infra.settings import Settings

CANCEL_SECONDS = 60.0


class AwsJobs:
    """Runs jobs of one pool; they outlive this process, and several processes may ask at once.

    A job is begun by an intent in the bucket, which only one writer can write; then a claim says who submits it; the engine is asked for
    it by name before it is asked to start it again; and in the container the first copy shuts out any other. With all that, an answer
    that was lost, or a worker that was killed anywhere in between, leaves one job.

    Args:
        pool: the pool's entry.
        settings: the installation's.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._access = AwsAccess(pool, settings)
        self._bucket = JobBucket(self._access)
        self._engine: Engine = TrainingEngine(pool, self._access) if pool.jobs == "sagemaker" else BatchEngine(pool, self._access)
        self._logs = CloudLogs(self._access, self._engine.log_group)
        self._view = JobView(pool.name, self._bucket, self._engine)
        self._submitting = Submitting(pool, self._bucket, self._engine, self._view, keys=settings.idempotency_keys)

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id is there; a lost one is started again."""
        check_spec(spec)
        folder = job_folder(spec.tenant, spec.id)
        intent = await self._bucket.intent(folder)
        if intent is None:
            self._engine.check(spec)
            await self._submitting.engine_ids(spec)
            intent = await self._bucket.begin(spec)
        found = Found(folder, intent, await self._bucket.claim(folder))
        if found.engine_id:
            job = await self._view.job(found)
            if job.state is not JobState.LOST:
                return job
        await self._submitting.start(found, found.generation + bool(found.engine_id))
        return await self._view.job(await self._view.find(spec.id, spec.tenant))

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state."""
        return await self._view.job(await self._view.find(job_id, tenant))

    async def list(self, tenant: str | None = None) -> builtins.list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        return [] if tenant is not None and not NAME.fullmatch(tenant) else await self._view.jobs(tenant)

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return a piece of the log from a byte offset; a character is never cut in two."""
        found, start = await self._view.find(job_id, tenant), max(offset, 0)
        job = await self._view.job(found)
        piece = await self._logs.read(await self._view.streams(found), start, max(limit, 4))
        final = job.state.final and piece.at_end and await self._view.settled(found, job, piece.last_stream_bytes)
        data = piece.data if final else piece.data[: whole_characters(piece.data)]
        return LogChunk(text=data.decode(errors="replace"), next_offset=start + len(data), complete=final)

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes."""
        found = await self._view.find(job_id, tenant)
        return await self._logs.tail(await self._view.streams(found), max(limit, 1))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started. Raises EffectFailed where the engine does not end it."""
        found = await self._view.find(job_id, tenant)
        job = await self._view.job(found)
        if job.state.final and job.state is not JobState.LOST:
            return job
        await self._bucket.put(found.folder.cancel(found.generation), b"{}")
        if found.engine_id:
            await self._engine.stop(found.engine_id)
        deadline = time.monotonic() + CANCEL_SECONDS
        while not (job := await self._view.job(found)).state.final:
            if time.monotonic() > deadline:
                raise EffectFailed(f"Job {job_id} does not end.", remedy="Look at it in the engine's console.", code="job_stuck")
            await asyncio.sleep(POLL_SECONDS)
        return job

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job left; files whose name begins with a dot are the job's own."""
        check(FILE, name, "A result's name")
        found = await self._view.find(job_id, tenant)
        body = None if name.startswith(".") else await self._bucket.get(found.base.results + name, RESULT_BYTES_MAX + 1)
        if body is not None and len(body) > RESULT_BYTES_MAX:
            raise TooLarge(f"The result {name} is larger than 4 MiB.", remedy="Let the job leave a smaller file.")
        return None if body is None else body.decode(errors="replace")

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Start a job that ended without success again, as a new generation that finds the old one's checkpoint."""
        found = await self._view.find(job_id, tenant)
        job = await self._view.job(found)
        if not job.state.final or job.state is JobState.SUCCEEDED:
            raise Conflict(f"Job {job_id} is {job.state}.", remedy="Only what ended without success is started again.")
        await self._submitting.start(found, found.generation + 1)
        return await self.get(job_id, tenant)

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """Return a page of the tasks by index."""
        found, start = await self._view.find(job_id, tenant), max(offset, 0)
        indices = range(start, min(start + max(limit, 0), found.intent.spec.array))
        return [*await asyncio.gather(*(self._view.job(found.task(index)) for index in indices))]


def check_spec(spec: JobSpec) -> None:
    """Raise InvalidInput for a specification that cannot be run."""
    check(NAME, spec.id, "The job's id")
    check(NAME, spec.tenant, "The tenant's name")
    for name in spec.inputs:
        check(FILE, name, "An input's name")
    if not spec.argv or not spec.argv[0]:
        raise InvalidInput(f"Job {spec.id} names no program.", remedy="Give an argument vector.", code="program_unknown")
