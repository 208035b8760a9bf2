"""Jobs in a Kubernetes cluster: a Job for each, a JobSet for several nodes where that is installed, and a record that outlives them."""

import asyncio
import builtins
from datetime import UTC, datetime
from typing import Literal

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.kubernetes_checks import FILE, check, check_spec, split_task
from factory_infra.iaas.jobs.providers.kubernetes_engine import Engine, unknown
from factory_infra.iaas.jobs.providers.kubernetes_logs import JobLogs
from factory_infra.iaas.jobs.providers.kubernetes_objects import End, Record, Seen
from factory_infra.iaas.jobs.providers.kubernetes_reading import cancelled_tasks, read_job, task_job
from factory_infra.iaas.jobs.providers.kubernetes_words import CANCELLED
from factory_infra.iaas.kubernetes.names import namespace_of
from factory_infra.iaas.kubernetes.service import TenantNamespaces, namespaces_of
from factory_infra.settings import Settings

ASKED_AT_ONCE = 8
CANCEL_WAIT_SECONDS = 12.0
POLL_SECONDS = 0.1


class KubernetesJobs:
    """Runs jobs in a cluster; they outlive this process, and several processes may ask at once.

    Args:
        pool: the cluster, and what jobs in it get.
        settings: of the installation.
        api: the cluster asked in another way than the pool's entry says.
    """

    def __init__(self, pool: KubernetesPool, settings: Settings, api: Kubernetes | None = None) -> None:
        self._pool = pool
        self._api = api or Kubernetes(pool)
        self._namespaces = TenantNamespaces(self._api, pool)
        self._engine = Engine(self._api, pool)
        self._logs = JobLogs(self._api)

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id exists already; a lost one is started again."""
        check_spec(spec, self._pool)
        kind, _ = await self._engine.way(spec)
        await self._namespaces.ensure_once(spec.tenant)
        try:
            known = await self._known(spec, kind)
        except NotFound:
            # Somebody removed the team's namespace since this process made it.
            await self._namespaces.ensure(spec.tenant)
            known = await self._known(spec, kind)
        if known.record.held:
            await self._engine.prepare(known, spec)
        return await self._go_on(known, spec)

    async def _known(self, spec: JobSpec, kind: Literal["jobs", "jobsets"]) -> Seen:
        """Return what there is of a job; its record is written now where there is none."""
        if await self._engine.find(spec.id, spec.tenant) is None:
            await self._check_before(spec)
            now = datetime.now(UTC)
            record = Record(
                id=spec.id,
                tenant=spec.tenant,
                name=spec.name,
                made_at=now,
                asked_at=now,
                nodes=spec.nodes,
                array=spec.array,
                after=spec.after,
                kind=kind,
            )
            await self._engine.begin(spec, record)
        return await self._engine.see(spec.id, spec.tenant)

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state."""
        seen, index = await self._find(job_id, tenant)
        return await self._go_on(seen) if index is None else task_job(seen, index)

    async def list(self, tenant: str | None = None) -> builtins.list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        spaces = [namespace_of(self._pool, tenant)] if tenant is not None else await namespaces_of(self._api, self._pool)
        found = [seen for space in spaces for seen in await self._engine.records(space)]
        found.sort(key=lambda seen: seen.record.made_at, reverse=True)
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)

        async def one(seen: Seen) -> Job | None:
            if seen.record.end is not None:
                return read_job(seen)
            async with at_once:
                try:
                    return await self._go_on(await self._engine.see(seen.record.id, seen.record.tenant))
                except NotFound:
                    # Removed between the two questions.
                    return None

        return [job for job in await asyncio.gather(*map(one, found)) if job is not None]

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return a piece of the log from an offset that a chunk before it named, or 0. Starts of several pods follow one another."""
        seen, index = await self._find(job_id, tenant, whole=True)
        return await self._logs.chunk(namespace_of(self._pool, tenant), seen, index, offset, max(limit, 4))

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the end of the newest start's log, at most so many bytes."""
        seen, index = await self._find(job_id, tenant, whole=True)
        return await self._logs.tail(namespace_of(self._pool, tenant), seen, index, max(limit, 1))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started; wait until they are gone, 12 s at most."""
        seen, index = await self._find(job_id, tenant, whole=True)
        if index is not None:
            raise InvalidInput("One task of an array is not cancelled by itself here.", remedy="Cancel the array.", code="not_offered")
        job = await self._go_on(seen)
        if job.state.final and job.state not in {JobState.LOST, JobState.CANCELLED}:
            return job
        if seen.record.end is None:
            nodes, tasks = job.nodes, cancelled_tasks(seen)
            end = End(
                state=JobState.CANCELLED, at=datetime.now(UTC), started_at=job.started_at, failure=CANCELLED, nodes=nodes, tasks=tasks
            )
            await self._engine.keep(seen, end.model_copy(update={"attempt": job.attempt}))
        # What is written first is the word that counts: should we be cut off here, the next cancel ends what still runs.
        await self._engine.stop(seen)
        for _ in range(int(CANCEL_WAIT_SECONDS / POLL_SECONDS)):
            if not (await self._engine.see(job_id, tenant)).live:
                break
            await asyncio.sleep(POLL_SECONDS)
        return read_job(await self._engine.see(job_id, tenant))

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job left at the top of its folder; it is there once the job has ended."""
        check(FILE, name, "A result's name")
        seen, index = await self._find(job_id, tenant)
        return await self._engine.result(seen.record, index or 0, name)

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Start a job that ended without success again, from its last checkpoint."""
        seen, index = await self._find(job_id, tenant, whole=True)
        job = await self._go_on(seen)
        if index is not None or not job.state.final or job.state is JobState.SUCCEEDED:
            raise Conflict(f"Job {job_id} is {job.state.value}.", remedy="Only what ended without success is started again.")
        again = await self._engine.again(seen)
        return await self._go_on(again, await self._engine.spec(again.record))

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """Return a page of the tasks by index; none for a job that is no array."""
        seen, index = await self._find(job_id, tenant, whole=True)
        last = seen.record.array if index is None else 0
        return [task_job(seen, each) for each in range(max(offset, 0), min(max(offset, 0) + max(limit, 0), last))]

    async def _find(self, job_id: str, tenant: str, *, whole: bool = False) -> tuple[Seen, int | None]:
        """Find a job, or the array that a task `ID.INDEX` belongs to. Raises NotFound.

        Args:
            whole: also what its pods say, where the record alone tells how it ended.
        """
        known = await self._engine.find(job_id, tenant)
        index: int | None = None
        if known is None:
            parent, index = split_task(job_id)
            known = await self._engine.find(parent, tenant) if parent else None
            if known is None or index is None or index >= known.record.array:
                raise unknown(job_id)
        if known.record.end is not None and not whole and index is None:
            return known, None
        return await self._engine.see(known.record.id, tenant), index

    async def _go_on(self, seen: Seen, spec: JobSpec | None = None) -> Job:
        """Do what the job's state asks for by itself, and say how it stands: start what waited, keep how it ended."""
        job = read_job(seen)
        record = seen.record
        if record.end is not None:
            return job
        if record.held:
            return await self._after(seen)
        if spec is not None and (not record.engine_uid or job.state is JobState.LOST):
            if record.engine_uid:
                try:
                    seen = await self._engine.again(seen)
                except Conflict:
                    # Another process began the next generation now.
                    return read_job(await self._engine.see(record.id, record.tenant))
            return read_job(await self._engine.start(seen, spec))
        if job.state.final and job.state is not JobState.LOST and not seen.live and job.finished_at is not None:
            kept = job.model_dump(include={"state", "started_at", "exit_code", "attempt", "nodes", "tasks"})
            await self._engine.keep(seen, End(at=job.finished_at, failure=job.failure, **kept))
        return job

    async def _after(self, seen: Seen) -> Job:
        """Start a job whose predecessors have all succeeded; end it when one of them has not."""
        record = seen.record
        before = [await self.get(name, record.tenant) for name in record.after]
        bad = next((job for job in before if job.state.final and job.state not in {JobState.SUCCEEDED, JobState.LOST}), None)
        if bad is not None:
            reason = f"It was to start after {bad.id}, which is {bad.state.value}."
            failure = JobFailure(code="dependency_failed", reason=reason, remedy="Retry that one, then this.")
            await self._engine.keep(seen, End(state=JobState.FAILED, at=datetime.now(UTC), failure=failure))
        elif all(job.state is JobState.SUCCEEDED for job in before):
            return read_job(await self._engine.start(seen, await self._engine.spec(record)))
        return read_job(await self._engine.see(record.id, record.tenant)) if bad is not None else read_job(seen)

    async def _check_before(self, spec: JobSpec) -> None:
        for name in spec.after:
            if await self._engine.find(name, spec.tenant) is None:
                reason = f"Job {spec.id} is to start after {name}, and there is no such job of the team in this pool."
                raise InvalidInput(reason, remedy="Name jobs of the same team and pool.", code="dependency_unknown")
