"""What must happen to leases without anybody asking: terms end, idle ones are reclaimed, jobs do not outlive them, machines go."""

from datetime import timedelta

from pydantic import BaseModel
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import LineshaftError
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.jobs.tables import JobRow
from factory_infra.iaas.leases.models import OPEN, Lease, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow

GRANTING_SECONDS_MAX = 1800
"""A grant that nobody goes on with is given up after so long: its machines are removed."""


class Tended(BaseModel):
    """What was done in one round."""

    reclaimed: list[str] = []
    jobs_ended: list[str] = []
    machines_removed: list[str] = []
    unanswered: list[str] = []

    @property
    def anything(self) -> bool:
        """Whether there is something to tell."""
        return bool(self.reclaimed or self.jobs_ended or self.machines_removed or self.unanswered)


class Upkeep:
    """Tends the leases of every pool. Each round may be cut off anywhere, and two may run at once."""

    def __init__(self, database: Database, book: PoolBook, leases: Leases, jobs: PooledJobs) -> None:
        self._database = database
        self._book = book
        self._leases = leases
        self._jobs = jobs

    async def tend(self) -> Tended:
        """Do one round. What does not answer is told and left for the next one."""
        done = Tended()
        await self._leases.held()  # what is overdue ends here
        await self._jobs.refresh()
        for lease in await self._idle():
            try:
                await self._leases.reclaim(lease.tenant, lease.id)
            except LineshaftError as error:
                done.unanswered.append(f"{lease.id}: {error.error_code}")
            else:
                done.reclaimed.append(lease.id)
        for tenant, job in await self._outliving():
            try:
                await self._jobs.cancel(job, tenant)
            except LineshaftError as error:
                done.unanswered.append(f"{job}: {error.error_code}")
            else:
                done.jobs_ended.append(job)
        await self._sweep(done)
        return done

    async def _sweep(self, done: Tended) -> None:
        try:
            done.machines_removed += [lease.id for lease in await self._leases.sweep(GRANTING_SECONDS_MAX)]
        except LineshaftError as error:
            done.unanswered.append(f"machines: {error.error_code}")

    async def _idle(self) -> list[Lease]:
        """Leases on which nothing has run for longer than their pool allows."""
        bounds = {pool.name: pool.idle_reclaim_seconds for pool in self._book.all() if pool.idle_reclaim_seconds is not None}
        if not bounds:
            return []
        query = select(LeaseRow).where(LeaseRow.state == LeaseState.ACTIVE.value, LeaseRow.pool.in_(bounds))
        async with self._database.transaction() as session:
            leases = [Lease.model_validate(row) for row in await session.scalars(query)]
            rows = list(await session.scalars(select(JobRow).where(JobRow.lease_id.in_([lease.id for lease in leases]))))
        now = utcnow()
        return [
            lease
            for lease in leases
            if all(row.final for row in rows if row.lease_id == lease.id)
            and now - max([lease.granted_at, *(row.ended_at for row in rows if row.lease_id == lease.id and row.ended_at)])
            > timedelta(seconds=bounds[lease.pool])
        ]

    async def _outliving(self) -> list[tuple[str, str]]:
        """Jobs that have not ended while the lease that they run on has."""
        query = (
            select(JobRow.tenant, JobRow.id)
            .join(LeaseRow, LeaseRow.id == JobRow.lease_id)
            .where(JobRow.final.is_(False), LeaseRow.state.not_in(OPEN))
        )
        async with self._database.transaction() as session:
            return [(tenant, job) for tenant, job in await session.execute(query)]
