"""Leases that wait, their jobs and their money, through the worker's own parts: whatever is cut off, it goes on, and once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from factory_infra.database import utcnow
from factory_infra.errors import CapacityExceeded
from factory_infra.factory import Factory
from factory_infra.foundation.accelerators.models import Pool
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.iaas.leases.upkeep import Upkeep
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from factory_infra.saas.metering.service import Metering
from factory_infra.settings import Settings
from tests.factory_infra.iaas.jobs.engine import Engine
from tests.factory_infra.iaas.leases.test_machines import Makers, West
from tests.factory_infra.iaas.leases.test_queue import Rules
from tests.parts import FixedPool, factory_with_slots
from tests.workflows.line import JsonObject, step
from tests.workflows.test_activities import call_of
from tools import leases as lease_tools
from tools.leases import AcquireArguments, ReleaseArguments
from tools.plan import Effect
from tools.spec import ToolContext
from workflows.activities import jobs as job_activities
from workflows.activities.jobs import JobActivities
from workflows.messages import StepCall
from workflows.queueing import QueueKeeper

pytestmark = pytest.mark.stack
LIMIT_SECONDS = 60
ANYBODY = SchedulingPolicy(preemption="any", guaranteed_seconds=0)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def factory(connected: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Factory]:
    """Teams vision and language over four slots, with jobs in memory."""
    monkeypatch.setattr(job_activities, "POLL_ELSEWHERE_SECONDS", 0.05)
    monkeypatch.setattr(job_activities, "POLL_SECONDS", 0.05)
    built = factory_with_slots(connected, 4)
    leases = Leases(built.database, FixedPool(4), rules=Rules(ANYBODY))
    jobs = PooledJobs(built.database, built.pools, engine, lambda spec: engine)
    built = replace(built, leases=leases, jobs=jobs, metering=Metering(built.database, built.metering.prices, leases))
    for team in ("vision", "language"):
        await built.tenants.create(team, quota_slots=4, budget=Decimal(20))
    yield built
    await built.close()


def acting(factory: Factory, key: str, tenant: str = "vision") -> ToolContext:
    return ToolContext(factory, tenant, "ann", key, plan_id="plan-1")


async def lease(factory: Factory, key: str, slots: int = 4, tenant: str = "vision", **more: object) -> lease_tools.Granted:
    arguments = AcquireArguments.model_validate({"slots": slots, "seconds": 600, "wait_seconds": 600, **more})
    granted = await lease_tools.acquire(acting(factory, key, tenant), arguments)
    await lease_tools.verify_acquire(acting(factory, key, tenant), arguments, granted)
    return granted


def job_on(lease_id: str) -> StepCall:
    arguments = {"name": "train", "argv": ["/bin/true"], "lease_id": lease_id}
    wanted = step("job", tool="jobs.submit", agent="scheduler", effect=Effect.COSTLY, runs_as="job", arguments=arguments)
    return call_of(wanted)


def begin(factory: Factory, request: StepCall) -> asyncio.Task[JsonObject]:
    async def run() -> JsonObject:
        ended: JsonObject = await ActivityEnvironment().run(JobActivities(factory).run, request)
        return ended

    return asyncio.create_task(run())


async def until(condition: object) -> None:
    """Wait for a condition."""
    assert callable(condition)
    async with asyncio.timeout(LIMIT_SECONDS):
        while not await condition():  # noqa: ASYNC110  (it is another process's state that is waited for)
            await asyncio.sleep(0.02)


async def held_job(factory: Factory) -> bool:
    jobs = await factory.jobs.list("vision")
    return bool(jobs) and jobs[0].state is JobState.PENDING and jobs[0].waiting is not None


async def release(factory: Factory, granted: lease_tools.Granted, tenant: str = "vision") -> None:
    await lease_tools.release(acting(factory, "release", tenant), ReleaseArguments(lease_id=granted.lease_id))


class TestMoney:
    async def test_it_is_reserved_while_it_waits_and_charged_for_what_was_held(self, factory: Factory) -> None:
        first = await lease(factory, "a", tenant="language")
        waiting = await lease(factory, "b")
        assert (waiting.state, waiting.slots, bool(waiting.waits_for)) == ("queued", 4, True)
        assert (await factory.metering.reconcile()).equal
        assert (await factory.metering.cost(tenant="vision")).reserved > 0
        await release(factory, first, "language")
        (granted,) = (await QueueKeeper(factory).once()).leases
        await release(factory, waiting)
        ended = await factory.leases.get("vision", waiting.lease_id)
        (line,) = (await factory.metering.cost(tenant="vision")).lines
        assert granted.id == waiting.lease_id and line.quantity == Decimal(str(round(ended.slot_seconds, 6)))
        assert await factory.metering.open_reservations() == []

    async def test_one_that_never_began_costs_nothing(self, factory: Factory) -> None:
        await lease(factory, "a", tenant="language")
        withdrawn, late = await lease(factory, "b"), await lease(factory, "c", 1)
        await release(factory, withdrawn)
        async with factory.database.transaction() as session:
            await session.execute(update(LeaseRow).where(LeaseRow.id == late.lease_id).values(give_up_at=utcnow() - timedelta(seconds=1)))
        assert (await factory.metering.reconcile()).settled_late == [late.lease_id]
        assert (await factory.metering.cost(tenant="vision")).spent == 0
        assert (await factory.metering.reconcile()).equal


class TestSeveralPools:
    async def test_the_dearest_is_reserved_and_what_was_had_is_charged(self, factory: Factory) -> None:
        factory = replace(factory, leases=Leases(factory.database, Priced(), Makers()))
        factory = replace(factory, metering=Metering(factory.database, factory.metering.prices, factory.leases))
        await factory.leases.set_quota("vision", 24)
        granted = await lease(factory, "a", 8, pool="west", or_pools=["spot-west"])
        told = await lease_tools.price_acquire(
            acting(factory, "a"), {"slots": 8, "seconds": 600, "pool": "west", "or_pools": ["spot-west"]}
        )
        hours = {name: factory.metering.prices.now.hour(name) for name in ("gpu:H100", "gpu:H100:spot")}
        reserved = (await factory.metering.cost(tenant="vision")).reserved
        assert reserved == told.high == round(max(hours.values()) * 8 * 600 / 3600, 12)
        await release(factory, granted)
        (line,) = (await factory.metering.cost(tenant="vision")).lines
        assert (granted.pool, line.subject) == ("west", "gpu:H100")
        second = [await lease(factory, f"b{each}", 8, pool="west", or_pools=["spot-west"]) for each in range(3)]
        await release(factory, second[0])
        assert set(await factory.metering.open_reservations()) == {f"lease/{each.lease_id}" for each in second[1:]}


class Priced(West):
    """Two pools of machines; those of the second are spot."""

    async def pool(self, name: str = "") -> Pool:
        price_class = "spot" if name == "spot-west" else "on_demand"
        return (await super().pool(name)).model_copy(update={"name": name or "west", "price_class": price_class})


class TestJobs:
    async def test_a_job_is_held_until_its_lease_begins(self, factory: Factory, engine: Engine) -> None:
        first, waiting = await lease(factory, "a", tenant="language"), await lease(factory, "b", 2)
        running = begin(factory, job_on(waiting.lease_id))
        await until(lambda: held_job(factory))
        (job,) = await factory.jobs.list("vision")
        assert (await factory.jobs.logs(job.id, "vision")).text == ""
        told = await factory.scheduling.why_job(job.id, "vision")
        assert (told.lease_id, told.state) == (waiting.lease_id, "queued")
        tended = await Upkeep(factory.database, factory.pools, factory.leases, factory.jobs).tend()
        assert (engine.starts, tended.anything) == (0, False)
        await release(factory, first, "language")
        await QueueKeeper(factory).once()
        await until(lambda: started(engine))
        assert len(engine.specs["vision", job.id].slots) == 2
        engine.end(job.id, "vision", JobState.SUCCEEDED)
        assert (await asyncio.wait_for(running, LIMIT_SECONDS))["state"] == "succeeded"

    async def test_a_worker_that_dies_while_it_waits_doubles_nothing(self, factory: Factory, engine: Engine) -> None:
        first, waiting = await lease(factory, "a", tenant="language"), await lease(factory, "b", 2)
        for _ in range(2):
            dying = begin(factory, job_on(waiting.lease_id))
            await until(lambda: held_job(factory))
            dying.cancel()
            await asyncio.gather(dying, return_exceptions=True)
        await release(factory, first, "language")
        await QueueKeeper(factory).once()
        running = begin(factory, job_on(waiting.lease_id))
        await until(lambda: started(engine))
        (job,) = await factory.jobs.list("vision")
        engine.end(job.id, "vision", JobState.SUCCEEDED)
        assert (await asyncio.wait_for(running, LIMIT_SECONDS))["state"] == "succeeded"
        assert engine.starts == 1

    async def test_one_that_is_cancelled_while_it_waits_never_begins(self, factory: Factory, engine: Engine) -> None:
        first, waiting = await lease(factory, "a", tenant="language"), await lease(factory, "b", 2)
        request = job_on(waiting.lease_id)
        running = begin(factory, request)
        await until(lambda: held_job(factory))
        await ActivityEnvironment().run(JobActivities(factory).cancel, request)
        assert (await asyncio.wait_for(running, LIMIT_SECONDS))["state"] == "cancelled"
        await release(factory, first, "language")
        await QueueKeeper(factory).once()
        again = await asyncio.wait_for(begin(factory, request), LIMIT_SECONDS)
        assert (again["state"], engine.starts) == ("cancelled", 0)

    async def test_its_lease_is_withdrawn(self, factory: Factory, engine: Engine) -> None:
        await lease(factory, "a", tenant="language")
        waiting = await lease(factory, "b", 2)
        running = begin(factory, job_on(waiting.lease_id))
        await until(lambda: held_job(factory))
        await factory.leases.release("vision", waiting.lease_id)
        with pytest.raises(ApplicationError) as raised:
            await asyncio.wait_for(running, LIMIT_SECONDS)
        assert (raised.value.type, raised.value.non_retryable, engine.starts) == ("invalid_input", True, 0)
        assert [job.state for job in await factory.jobs.list("vision")] == [JobState.CANCELLED]


async def started(engine: Engine) -> bool:
    return engine.starts > 0


class TestPasses:
    async def test_one_that_agreed_gives_way_after_its_job_has_ended(self, factory: Factory, engine: Engine) -> None:
        soft = await lease(factory, "a", preemptible=True)
        running = begin(factory, job_on(soft.lease_id))
        await until(lambda: started(engine))
        urgent = await lease(factory, "b", tenant="language", priority=50)
        keeper = QueueKeeper(factory)
        assert (await keeper.once()).to_preempt == [soft.lease_id]
        assert (await asyncio.wait_for(running, LIMIT_SECONDS))["state"] == "cancelled"
        assert (await factory.leases.get("vision", soft.lease_id)).state is LeaseState.RECLAIMED
        assert [each.id for each in (await keeper.once()).leases] == [urgent.lease_id]
        assert (await factory.metering.reconcile()).equal

    async def test_nothing_is_granted_while_effects_are_stopped(self, factory: Factory) -> None:
        first, waiting = await lease(factory, "a", tenant="language"), await lease(factory, "b")
        await release(factory, first, "language")
        await factory.switch.turn(stopped=True, actor="root", reason="a drill")
        with pytest.raises(Exception, match="stopped"):
            await QueueKeeper(factory).once()
        await factory.switch.turn(stopped=False, actor="root", reason="")
        assert [each.id for each in (await QueueKeeper(factory).once()).leases] == [waiting.lease_id]

    async def test_machines_are_made_once_and_asked_for_again_when_out_of_stock(self, factory: Factory) -> None:
        makers = Makers()
        factory = replace(factory, leases=Leases(factory.database, West(), makers))
        await factory.leases.set_quota("vision", 24)
        first = await lease(factory, "a", 24, pool="west")
        waiting = await lease(factory, "b", 8, pool="west")
        await factory.leases.release("vision", first.lease_id)
        makers.before = [CapacityExceeded("Out of stock.", code="capacity_short")]
        keeper = QueueKeeper(factory)
        await keeper.once()
        await keeper.settled()
        told = await factory.leases.get("vision", waiting.lease_id)
        assert told.state is LeaseState.QUEUED and told.waiting is not None and told.waiting.binding == "stock"
        assert (await keeper.once()).leases == []
        async with factory.database.transaction() as session:
            await session.execute(update(LeaseRow).where(LeaseRow.id == waiting.lease_id).values(waiting={}))
        await keeper.once()
        await keeper.settled()
        made = await factory.leases.get("vision", waiting.lease_id)
        assert (made.state, len(made.slots), len(made.machines)) == (LeaseState.ACTIVE, 8, 1)
        assert await factory.leases.sweep(0) == []


class TestForesee:
    async def test_the_dry_run_says_when_it_would_begin(self, factory: Factory) -> None:
        await lease(factory, "a", tenant="language")
        context = acting(factory, "f")
        told = await lease_tools.dry_run_acquire(context, {"slots": 2, "seconds": 600, "wait_seconds": 3600})
        assert told.feasible and told.starts_in_seconds is not None and 500 < told.starts_in_seconds <= 600
        assert "it waits" in told.reason
        refused = await lease_tools.dry_run_acquire(context, {"slots": 2, "seconds": 600})
        assert (refused.feasible, refused.code) == (False, "capacity_exceeded")
        price = await lease_tools.price_acquire(context, {"slots": 2, "seconds": 600, "wait_seconds": 3600})
        await lease(factory, "b", 2)
        assert (await factory.metering.cost(tenant="vision")).reserved == price.high

    async def test_who_does_not_wait_is_told_that_others_come_first(self, factory: Factory) -> None:
        await lease(factory, "a", 3, tenant="language")
        await lease(factory, "b", 4)
        told = await lease_tools.dry_run_acquire(acting(factory, "f", "language"), {"slots": 1, "seconds": 6000})
        assert (told.feasible, told.code) == (False, "capacity_exceeded")
        assert told.reason.startswith("Others come first")
