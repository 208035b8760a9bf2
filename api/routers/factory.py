"""What there is: hardware, leases, jobs, models, the ledger."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime

from api.deps import AdminDep, HouseDep, OperatorDep, PageDep, PrincipalDep, ScopeDep
from factory_infra.errors import NotFound
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.jobs.models import Job, JobState, LogChunk
from factory_infra.iaas.leases.models import Lease
from factory_infra.paas.registry.models import ModelVersion
from factory_infra.saas.metering.checks import BookCheck, check_books
from factory_infra.saas.metering.models import Cost, Entry, EntryFilter, Reconciliation

router = APIRouter(prefix="/v1")


class Where:
    """In which pool, and of which project, what is listed may be; empty for any."""

    def __init__(self, pool: Annotated[str, Query(max_length=40)] = "", project: Annotated[str, Query(max_length=64)] = "") -> None:
        self.pool = pool
        self.project = project


WhereDep = Annotated[Where, Depends()]


@router.get("/accelerators", tags=["accelerators"])
async def accelerators(asker: PrincipalDep, held: HouseDep) -> Pool:
    """Show the slots of this installation."""
    return await held.factory.accelerators.pool()


@router.get("/leases", tags=["leases"])
async def leases(held: HouseDep, tenant: ScopeDep, page: PageDep, where: WhereDep, active: bool = True) -> list[Lease]:
    """List leases, newest first."""
    found = held.factory.leases.list(tenant, active=active, pool=where.pool, project=where.project, limit=page.limit, offset=page.offset)
    return await found


@router.get("/leases/{lease_id}", tags=["leases"])
async def lease(lease_id: str, asker: PrincipalDep, held: HouseDep) -> Lease:
    """Show a lease."""
    return await held.factory.leases.of(lease_id, asker.tenant)


@router.get("/jobs", tags=["jobs"])
async def jobs(held: HouseDep, tenant: ScopeDep, page: PageDep, where: WhereDep, state: JobState | None = None) -> list[Job]:
    """List jobs, newest first."""
    every = [job for job in await held.factory.jobs.list(tenant) if where.pool in ("", job.pool) and where.project in ("", job.project)]
    found = [job for job in every if state in (None, job.state)]
    return found[page.offset : page.offset + page.limit]


async def owner(job_id: str, asker: PrincipalDep, held: HouseDep) -> str:
    """The team of a job that the caller may see. Raises NotFound."""
    if asker.tenant is not None:
        return asker.tenant
    for job in await held.factory.jobs.list(None):
        if job.id == job_id:
            return job.tenant
    raise NotFound(f"There is no job {job_id}.", remedy="List the jobs with GET /v1/jobs.")


@router.get("/jobs/{job_id}", tags=["jobs"])
async def job(job_id: str, asker: PrincipalDep, held: HouseDep) -> Job:
    """Show a job."""
    return await held.factory.jobs.get(job_id, await owner(job_id, asker, held))


@router.get("/jobs/{job_id}/logs", tags=["jobs"])
async def job_logs(job_id: str, asker: PrincipalDep, held: HouseDep, offset: Annotated[int, Query(ge=0)] = 0) -> LogChunk:
    """Read a job's log from a byte offset; `next_offset` is where the next page begins."""
    return await held.factory.jobs.logs(job_id, await owner(job_id, asker, held), offset)


@router.get("/jobs/{job_id}/tasks", tags=["jobs"])
async def job_tasks(job_id: str, asker: PrincipalDep, held: HouseDep, page: PageDep) -> list[Job]:
    """List the tasks of an array, by index."""
    return await held.factory.jobs.tasks(job_id, await owner(job_id, asker, held), page.limit, page.offset)


@router.post("/jobs/{job_id}/cancel", tags=["jobs"])
async def cancel_job(job_id: str, asker: OperatorDep, held: HouseDep) -> Job:
    """End a job now; the plan that it belongs to ends as cancelled and is undone."""
    return await held.factory.jobs.cancel(job_id, await owner(job_id, asker, held))


@router.get("/registry/versions", tags=["registry"])
async def versions(held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[ModelVersion]:
    """List model versions, newest first."""
    found = await held.factory.registry.list(tenant)
    return found[page.offset : page.offset + page.limit]


def entry_filter(
    key_id: Annotated[str | None, Query(max_length=24)] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    before: Annotated[int | None, Query(ge=1, lt=2**63, description="The id of the last entry of the page before.")] = None,
) -> EntryFilter:
    """Which entries of the ledger are wanted."""
    return EntryFilter(key_id=key_id, since=since, until=until, before=before)


EntryFilterDep = Annotated[EntryFilter, Depends(entry_filter)]


@router.get("/ledger", tags=["metering"])
async def ledger(held: HouseDep, tenant: ScopeDep, page: PageDep, only: EntryFilterDep, plan_id: str | None = None) -> Sequence[Entry]:
    """List entries, newest first."""
    return await held.factory.metering.entries(tenant, plan_id, page.limit, page.offset, only)


@router.get("/cost", tags=["metering"])
async def cost(held: HouseDep, tenant: ScopeDep, plan_id: str | None = None, thread_id: str | None = None) -> Cost:
    """Add up what was spent and is reserved."""
    return await held.factory.metering.cost(tenant=tenant, plan_id=plan_id, thread_id=thread_id)


@router.get("/reconciliation", tags=["metering"])
async def reconciliation(asker: AdminDep, held: HouseDep) -> Reconciliation:
    """Compare the inventory with the ledger, now: of all teams, and so for administrators."""
    return await held.factory.metering.reconcile()


@router.get("/books", tags=["metering"])
async def books(asker: AdminDep, held: HouseDep) -> BookCheck:
    """Compare every number that is derived from the ledger with its entries, now. It reads the whole ledger."""
    return await check_books(held.factory.database)
