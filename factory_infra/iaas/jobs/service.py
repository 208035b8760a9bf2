"""Jobs of all pools: each goes to its pool's engine, and a row says where it is and how it ended."""

import asyncio
import builtins
import sys
from collections.abc import Callable
from typing import cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built
from factory_infra.foundation.pools.spec import LocalPool, PoolSpec, SlurmPool, TwinPool
from factory_infra.iaas.jobs.interface import JobFiles, JobRetry, Jobs, JobTail, JobTasks
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk, Waiting
from factory_infra.iaas.jobs.programs import python_environment
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.jobs.telling import submitted
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.records.audit import NewEntry, digest_of, write
from factory_infra.records.happenings import happened
from factory_infra.second_wall import bounded

ASKED_AT_ONCE = 16
CONTAINER_PYTHON = "python3"


class PooledJobs:
    """Runs jobs in any pool of the installation; a job's id is its idempotency key within its team.

    Args:
        database: where the rows lie.
        book: the pools.
        local: what runs jobs on this host, for every pool of it.
        build: builds what runs jobs in any other pool.
    """

    def __init__(self, database: Database, book: PoolBook, local: Jobs, build: Callable[[PoolSpec], Jobs]) -> None:
        self._database = database
        self._book = book
        self._local = local
        self._built: Built[Jobs] = Built(build)

    def provider(self, pool: str) -> Jobs:
        """Return what runs jobs in a pool. Raises NotFound."""
        spec = self._book.named(pool)
        return self._local if isinstance(spec, LocalPool) else self._built.of(spec)

    async def submit(self, spec: JobSpec) -> Job:
        """Start the job unless one of this id is there. The row is written first: whatever is cut off, the job is found again.

        Raises Conflict `job_elsewhere` where the id is taken in another pool, and what the pool's engine raises.
        """
        pool = self._book.named(spec.pool)
        asked = adapted(spec.model_copy(update={"pool": pool.name}), pool)
        ended = None if await self._record(asked) else await self._let_go(asked)
        return ended or await self._kept(await self.provider(pool.name).submit(asked), pool.name)

    async def hold(self, spec: JobSpec, waiting: Waiting) -> Job:
        """Keep a job that waits for its lease: it is listed, explained and cancelled like any other, and no engine knows of it yet.

        Again, it tells why it waits now. Once its engine was asked, or it was ended, nothing changes; its state is returned.
        """
        pool = self._book.named(spec.pool)
        await self._record(spec.model_copy(update={"pool": pool.name}), held=True)
        async with self._database.transaction() as session:
            row = await session.get_one(JobRow, (spec.tenant, spec.id), with_for_update=True)
            told = {**row.last, "waiting": waiting.model_dump(mode="json")}
            if row.held and not row.final and row.last != told:
                row.last = told
            return known(row)

    async def _let_go(self, spec: JobSpec) -> Job | None:
        """From here on the engine is asked; unless the job was ended while it was held: then return it as it ended.

        A lease that waited may have begun in another of its pools; a job that was not held stays where it is: Conflict `job_elsewhere`.
        """
        async with self._database.transaction() as session:
            row = await session.get_one(JobRow, (spec.tenant, spec.id), with_for_update=True)
            if row.held and row.final:
                return known(row)
            if not row.held and row.pool != spec.pool:
                reason = f"Job {spec.id} was submitted to pool '{row.pool}' before."
                raise Conflict(reason, remedy="Submit it under another id.", code="job_elsewhere")
            row.held, row.pool = False, spec.pool
        return None

    async def _end_held(self, job_id: str, tenant: str) -> Job | None:
        """End a job that no engine knows of; None where one does by now."""
        async with self._database.transaction() as session:
            row = await session.get_one(JobRow, (tenant, job_id), with_for_update=True)
            if not row.held:
                return None
            if not row.final:
                now = utcnow()
                ended = {"state": JobState.CANCELLED, "finished_at": now, "waiting": None}
                row.last = Job.model_validate(row.last).model_copy(update=ended).model_dump(mode="json")
                row.final, row.ended_at = True, now
            return known(row)

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state; one that ended as its row says, even when its engine has forgotten it. Raises NotFound."""
        row = await self._row(job_id, tenant)
        if row is None:
            return await self._local.get(job_id, tenant)
        if row.final or row.held:
            return known(row)
        return await self._kept(await self._asked(row), row.pool)

    async def list(self, tenant: str | None = None) -> builtins.list[Job]:
        """Return the jobs of a tenant, or all, newest first. A pool that does not answer shows what was last known of its jobs."""
        local = {pool.name for pool in self._book.all() if isinstance(pool, LocalPool)}
        query = select(JobRow).where(JobRow.pool.not_in(local) | JobRow.held).order_by(JobRow.asked_at.desc())
        if tenant is not None:
            query = query.where(JobRow.tenant == tenant)
        async with self._database.transaction() as session:
            rows = builtins.list(await session.scalars(query))
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)
        elsewhere = await asyncio.gather(*(self._last_known(row, at_once) for row in rows))
        found = [*elsewhere, *await self._local.list(bounded(tenant))]
        asked = {(row.tenant, row.id): row.asked_at for row in rows}
        epoch = utcnow()
        shown = await self._with_projects(found, tenant)
        return sorted(shown, key=lambda job: asked.get((job.tenant, job.id)) or job.started_at or epoch, reverse=True)

    async def _with_projects(self, jobs: builtins.list[Job], tenant: str | None) -> builtins.list[Job]:
        """The jobs with their projects, which engines know nothing of."""
        query = select(JobRow.tenant, JobRow.id, JobRow.project).where(JobRow.project != "")
        query = query if tenant is None else query.where(JobRow.tenant == tenant)
        async with self._database.transaction() as session:
            projects = {(row.tenant, row.id): row.project for row in await session.execute(query)}
        return [job.model_copy(update={"project": projects.get((job.tenant, job.id), "")}) for job in jobs] if projects else jobs

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Return the log from a byte offset. Raises NotFound."""
        row = await self._row(job_id, tenant)
        if row is not None and row.held:
            return LogChunk(text="", next_offset=0, complete=row.final)
        return await (await self._provider_of(job_id, tenant)).logs(job_id, tenant, offset, limit)

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End the job and every process that it started. Ending an ended job is not an error."""
        row = await self._row(job_id, tenant)
        if row is not None and row.final:
            return known(row)
        if row is not None and row.held and (ended := await self._end_held(job_id, tenant)) is not None:
            return ended
        job = await (await self._provider_of(job_id, tenant)).cancel(job_id, tenant)
        return job if row is None else await self._kept(job, row.pool)

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Return whole lines from the log's end, at most so many bytes. Raises NotFound."""
        if await self._is_held(job_id, tenant):
            return ""
        provider = await self._provider_of(job_id, tenant)
        return await cast(JobTail, provider).tail(job_id, tenant, limit) if hasattr(provider, "tail") else ""

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """Return the text of a file that the job wrote, or None while there is none. Raises NotFound, or InvalidInput `not_offered`."""
        provider = await self._provider_of(job_id, tenant)
        if not hasattr(provider, "result"):
            raise not_offered("result files", job_id)
        return await cast(JobFiles, provider).result(job_id, tenant, name)

    async def retry(self, job_id: str, tenant: str) -> Job:
        """Start a job that ended without success again, from its last checkpoint. Raises Conflict, NotFound, InvalidInput `not_offered`."""
        job = await self.get(job_id, tenant)
        if not job.state.final or job.state is JobState.SUCCEEDED:
            raise Conflict(f"Job {job_id} is {job.state}.", remedy="Only what ended without success is started again.")
        if await self._is_held(job_id, tenant):
            raise Conflict(f"Job {job_id} ended while it waited for its lease.", remedy="Submit it again.", code="job_never_began")
        provider = await self._provider_of(job_id, tenant)
        if not hasattr(provider, "retry"):
            raise not_offered("retries", job_id)
        again = await cast(JobRetry, provider).retry(job_id, tenant)
        row = await self._row(job_id, tenant)
        return again if row is None else await self._kept(again, row.pool)

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """Return a page of an array's tasks by index. Raises NotFound, or InvalidInput `not_offered`."""
        if await self._is_held(job_id, tenant):
            return []
        provider = await self._provider_of(job_id, tenant)
        if not hasattr(provider, "tasks"):
            raise not_offered("arrays", job_id)
        return await cast(JobTasks, provider).tasks(job_id, tenant, limit, offset)

    async def lease_of(self, job_id: str, tenant: str) -> str:
        """Return the lease that a job was asked for on; empty where that is not known."""
        row = await self._row(job_id, tenant)
        return row.lease_id if row is not None else ""

    async def of_lease(self, lease_id: str) -> builtins.list[Job]:
        """Return the jobs that were asked for on a lease, each as last known."""
        async with self._database.transaction() as session:
            rows = await session.scalars(select(JobRow).where(JobRow.lease_id == lease_id))
            return [known(row) for row in rows]

    async def refresh(self) -> int:
        """Ask for every job that has not ended, so that rows tell the truth also where nobody watches; return how many have ended now."""
        async with self._database.transaction() as session:
            rows = builtins.list(await session.scalars(select(JobRow).where(JobRow.final.is_(False))))
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)
        return sum(job.state.final for job in await asyncio.gather(*(self._last_known(row, at_once) for row in rows)))

    async def _record(self, spec: JobSpec, *, held: bool = False) -> bool:
        """Write the row unless one is there, and say whether it is new. What a job is charged to its lease says, which costs the money."""
        waiting = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, pool=spec.pool)
        values = {
            "tenant": spec.tenant,
            "project": charged(spec) if spec.lease_id else spec.project,
            "id": spec.id,
            "pool": spec.pool,
            "lease_id": spec.lease_id,
            "name": spec.name[:200],
            "final": False,
            "asked_at": utcnow(),
            "last": waiting.model_dump(mode="json"),
            "held": held,
        }
        statement = insert(JobRow).values(values).on_conflict_do_nothing().returning(JobRow.id)
        async with self._database.transaction() as session:
            if await session.scalar(statement) is None:
                return False
            await happened(session, submitted(spec))
            named = f"job/{spec.tenant}/{spec.id}"
            await write(session, NewEntry(action="jobs:submit", object=named, tenant=spec.tenant, after=digest_of(spec)))
            return True

    async def _row(self, job_id: str, tenant: str) -> JobRow | None:
        """The row of a job, or of the array that a task `ID.INDEX` belongs to (then not as ended: its tasks are asked for)."""
        async with self._database.transaction() as session:
            return await session.get(JobRow, (tenant, job_id))

    async def _is_held(self, job_id: str, tenant: str) -> bool:
        row = await self._row(job_id, tenant)
        return row is not None and row.held

    async def _provider_of(self, job_id: str, tenant: str) -> Jobs:
        row = await self._row(job_id, tenant)
        if row is None and "." in job_id:
            row = await self._row(job_id.rpartition(".")[0], tenant)
        return self._local if row is None else self.provider(row.pool)

    async def _asked(self, row: JobRow) -> Job:
        """Ask the engine. A job whose submission was cut off before the engine knew of it is pending still: it will be asked for again."""
        try:
            return await self.provider(row.pool).get(row.id, row.tenant)
        except NotFound as error:
            if error.error_code == "pool_unknown":
                raise Unavailable(error.reason, remedy="Add the pool again to reach its jobs.", code="pool_unknown") from error
            last = Job.model_validate(row.last)
            return last if last.state is JobState.PENDING else last.model_copy(update={"state": JobState.LOST})

    async def _last_known(self, row: JobRow, at_once: asyncio.Semaphore) -> Job:
        if row.final or row.held:
            return known(row)
        async with at_once:
            try:
                return await self._kept(await self._asked(row), row.pool)
            except LineshaftError:
                return known(row)

    async def _kept(self, job: Job, pool: str) -> Job:
        """Write what is known of a job into its row, and return it under its pool's name. A lost one may be started again: not final."""
        job = job.model_copy(update={"pool": pool})
        now = job.model_dump(mode="json")
        async with self._database.transaction() as session:
            row = await session.get(JobRow, (job.tenant, job.id))
            if row is not None and row.last != now:
                row.last = now
                row.final = job.state.final and job.state is not JobState.LOST
                row.ended_at = (job.finished_at or utcnow()) if row.final else None
        return job if row is None else job.model_copy(update={"project": row.project})


def charged(spec: JobSpec) -> ColumnElement[str]:
    """The project of a job's lease."""
    query = select(LeaseRow.project).where(LeaseRow.id == spec.lease_id, LeaseRow.tenant == spec.tenant)
    return func.coalesce(query.scalar_subquery(), "")


def known(row: JobRow) -> Job:
    """A job as its row knows it."""
    return Job.model_validate({**row.last, "project": row.project})


def not_offered(ability: str, job_id: str) -> InvalidInput:
    """What a pool's engine cannot do."""
    return InvalidInput(
        f"The pool of job {job_id} has no {ability}.", remedy="See docs/jobs.md for what each kind of pool can.", code="not_offered"
    )


def adapted(spec: JobSpec, pool: PoolSpec) -> JobSpec:
    """The specification with the interpreter that the pool has, where a program of ours runs: this one's path means nothing elsewhere."""
    if isinstance(pool, LocalPool | TwinPool) or not spec.argv or spec.argv[0] != sys.executable:
        return spec
    if isinstance(pool, SlurmPool):
        return spec.model_copy(update={"argv": [pool.python or sys.executable, *spec.argv[1:]]})
    ours = set(python_environment())
    environment = {name: value for name, value in spec.environment.items() if name not in ours}
    return spec.model_copy(update={"argv": [CONTAINER_PYTHON, *spec.argv[1:]], "environment": environment})
