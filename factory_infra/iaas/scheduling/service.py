"""Answers about what waits: from the same scheduler that the passes ask, over the installation as it is now. Nothing is changed by them."""

import asyncio
import math
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import JsonValue

from factory_infra.database import Database, utcnow
from factory_infra.iaas.jobs.models import Job, JobState
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.granting import Ground, Standing, claim_of, look
from factory_infra.iaas.leases.models import LEASE_QUEUED, Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.rows import pools_of
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow, QuotaRow
from factory_infra.iaas.scheduling import explain
from factory_infra.iaas.scheduling.answers import Change, Foreseen, Why
from factory_infra.iaas.scheduling.live import workload_of
from factory_infra.iaas.scheduling.models import Advice, Binding, Shape, Wait, Workload
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.words import advice_words, reason_of

UNKNOWN = "nothing that is known would let it begin"


class Seen(NamedTuple):
    """The installation at one moment, and the scheduler over it."""

    standing: Standing
    ground: Ground
    scheduler: Scheduler

    @property
    def now(self) -> float:
        """The moment."""
        return max(utcnow().timestamp(), self.scheduler.now)


class Scheduling:
    """Explains and foresees.

    Args:
        database: where the leases' rows lie.
        leases: what waits and what is held.
        jobs: what runs on it.
    """

    def __init__(self, database: Database, leases: Leases, jobs: PooledJobs) -> None:
        self._database = database
        self._leases = leases
        self._jobs = jobs

    async def why(self, lease_id: str, tenant: str | None) -> Why:
        """Tell why a lease waits, when it should begin, and what would let it begin sooner. Raises NotFound, also for another team's."""
        lease = await self._leases.of(lease_id, tenant)
        if lease.state is not LeaseState.QUEUED:
            return not_waiting(lease)
        seen = await self.seen(lease.pool)
        if lease.id not in seen.scheduler.pending:
            return not_waiting(await self._leases.of(lease_id, tenant))
        return await asyncio.to_thread(explained, lease, seen)

    async def why_job(self, job_id: str, tenant: str) -> Why:
        """Tell why a job does not run yet: for its lease, or for its engine, in the engine's own words. Raises NotFound."""
        job, name = await self._jobs.get(job_id, tenant), await self._jobs.lease_of(job_id, tenant)
        if job.state is not JobState.PENDING:
            return Why(job_id=job.id, lease_id=name, state=job.state.value, reason=f"it is {job.state}")
        if job.waiting is not None and job.waiting.code == LEASE_QUEUED:
            return (await self.why(name, tenant)).model_copy(update={"job_id": job.id})
        return of_engine(job, name)

    async def foresee(self, request: LeaseRequest) -> Foreseen:
        """Tell what would become of a lease if it were asked for now: will it begin, when, for how much.

        Raises what refuses it for ever: InvalidInput, NotFound, and CapacityExceeded or QuotaExceeded for more than it may ever have.
        """
        row = await self._leases.admission.asked_row(request)
        return await asyncio.to_thread(foreseen, row, await self.seen(row.pool, row))

    async def seen(self, pool: str, asking: LeaseRow | None = None) -> Seen:
        """Look at every pool that is scheduled together with one."""
        granting = self._leases.granting
        policy = granting.rules.policy(pool)
        pools = {pool, *(name for name in granting.rules.pools() if granting.rules.policy(name) == policy)}
        ground = await granting.ground(pools)
        async with self._database.transaction(whole=True) as session:
            standing = await look(session)
            if asking is not None:
                quota = await session.get(QuotaRow, asking.tenant)
                standing.quotas[asking.tenant] = quota.slots_max if quota else 0
        answering = sorted(pools & set(ground.layouts)) or [pool]
        scheduler = granting.scheduler(standing, ground, answering, asking=asking)
        return Seen(standing, ground, scheduler)


def moment(at: float) -> datetime:
    """A moment of the scheduler's clock."""
    return datetime.fromtimestamp(at, UTC)


def not_waiting(lease: Lease) -> Why:
    """What is said of a lease that waits for no slots."""
    told = {
        LeaseState.GRANTING: "its machines are being made",
        LeaseState.ACTIVE: f"it holds {len(lease.slots)} slots since {lease.granted_at:%Y-%m-%d %H:%M:%S %Z}",
    }
    return Why(lease_id=lease.id, state=lease.state.value, reason=told.get(lease.state, f"it is {lease.state}"))


def of_engine(job: Job, lease: str) -> Why:
    """Why a job waits whose lease holds its slots: what its engine says."""
    told = f"{job.waiting.reason} {job.waiting.remedy}".strip() if job.waiting else "its engine has not begun it yet"
    return Why(job_id=job.id, lease_id=lease, state=job.state.value, binding=Binding.ENGINE, reason=told)


def explained(lease: Lease, seen: Seen) -> Why:
    """Ask the scheduler about one that waits."""
    scheduler, now, own = seen.scheduler, seen.now, seen.standing.own()[lease.tenant]
    workload = scheduler.pending[lease.id]
    found = explain.why(scheduler, lease.id, now)
    if found.binding is Binding.FAIR_SHARE and lease.waiting is not None and lease.waiting.binding == Binding.QUOTA.value:
        return Why(  # a quota of one pool, which binds where slots are granted: the tree does not know of it
            lease_id=lease.id, state=lease.state.value, binding=Binding.QUOTA, reason=lease.waiting.reason, gives_up_at=lease.give_up_at
        )
    told = Why(
        lease_id=lease.id,
        state=lease.state.value,
        binding=found.binding,
        reason=reason_of(scheduler, found, own),
        gives_up_at=lease.give_up_at,
        reserved=lease.waiting is not None and lease.waiting.reserved,
        changes=[change_of(each, workload, now) for each in sooner(scheduler, workload, found.starts_at, now)],
    )
    if found.starts_at is None:
        return told.model_copy(update={"reason": f"{told.reason}; {UNKNOWN}"})
    return told.model_copy(update=starting(found.starts_at, found.starts_by))


def sooner(scheduler: Scheduler, workload: Workload, starts_at: float | None, now: float) -> list[Advice]:
    """Changes with which it would begin sooner if it were withdrawn and asked for anew, at the end of the line."""
    anew = scheduler.copy()
    anew.remove(workload.id)
    anew.submit(replace(workload, submitted_at=now))
    found = explain.advise(anew, workload.id, now)
    return [each for each in found if starts_at is None or each.starts_at < starts_at - explain.SOONER_SECONDS]


def foreseen(row: LeaseRow, seen: Seen) -> Foreseen:
    """Ask the scheduler about one that is not asked for yet."""
    scheduler, now = seen.scheduler, seen.now
    layouts = [seen.ground.layouts[name] for name in pools_of(row) if name in seen.ground.layouts]
    workload = workload_of(claim_of(row), layouts, now)
    found = explain.foresee(scheduler, workload, now)
    at_once = found.wait is None
    own = seen.standing.own().get(row.tenant, set())
    told = Foreseen(
        at_once=at_once,
        binding=found.wait.binding if found.wait else None,
        reason="it begins at once" if found.wait is None else would_wait(scheduler, workload, found.wait, own),
        slots=row.slots_wanted,
        cost=found.cost,
        cost_low=found.cost_by[0],
        cost_high=found.cost_by[1],
        changes=[change_of(each, workload, now) for each in found.advice],
    )
    if found.forecast is None:
        return told.model_copy(update={"reason": f"{told.reason}; {UNKNOWN}"})
    begins = starting(found.forecast.starts_at, found.forecast.starts_by)
    return told.model_copy(update={**begins, "starts_in_seconds": max(0.0, round(found.forecast.starts_at - now, 1))})


def would_wait(scheduler: Scheduler, workload: Workload, wait: Wait, own: Collection[str]) -> str:
    """Why a lease would wait that is not asked for, in a copy in which it is."""
    trial = scheduler.copy()
    trial.submit(workload)
    trial.decide(max(scheduler.now, workload.submitted_at))
    return reason_of(trial, wait, own)


def starting(at: float, between: tuple[float, float] | None) -> dict[str, datetime]:
    """When something begins, as fields of an answer."""
    low, high = between or (at, at)
    return {"starts_at": moment(at), "starts_earliest": moment(low), "starts_latest": moment(high)}


def change_of(advice: Advice, workload: Workload, now: float) -> Change:
    """A change of a workload as a change of what is asked for."""
    return Change(
        words=advice_words(advice, workload, now),
        arguments=arguments_of(advice),
        starts_at=moment(advice.starts_at),
        cost_more=advice.cost,
    )


def arguments_of(advice: Advice) -> dict[str, JsonValue]:
    """A change of a workload as arguments of leases.acquire."""
    change, found = advice.change, dict[str, JsonValue]()
    if "members" in change:
        found["slots"] = int(str(change["members"]))
    if change.get("members_min"):
        found["slots_min"] = int(str(change["members_min"]))
    if "seconds" in change:
        found["seconds"] = math.ceil(float(str(change["seconds"])))
    if "topology" in change:
        found["topology"] = "any"
    if isinstance(pools := change.get("pools"), tuple):
        found |= {"pool": str(pools[0]), "or_pools": []}
    if isinstance(shape := change.get("shape"), Shape) and not shape.models:
        found["accelerator"] = ""
    return found
