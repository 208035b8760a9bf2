"""What happens to leases by itself: idle ones are reclaimed, and no job outlives its lease."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Unavailable
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.models import Lease, LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.iaas.leases.upkeep import Upkeep
from tests.factory_infra.iaas.jobs.engine import Engine

pytestmark = pytest.mark.stack
IDLE_SECONDS = 60


class Pools:
    """Four slots in any pool, of two nodes."""

    async def pool(self, name: str = "") -> Pool:
        slots = [Slot(index=index, kind="gpu", name="H100", memory_gib=80, node=f"node-{index // 2}") for index in range(4)]
        return Pool(name=name or "local", slots=slots)


class Drained:
    """Says that a node is not fit."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()

    async def unfit(self, pool: str) -> set[str]:
        return self.nodes


class House:
    """Leases and jobs over two pools, and what tends them."""

    def __init__(self, database: Database, folder: Path) -> None:
        book = PoolBook(folder / "pools.yaml")
        book.add(SlurmPool(name="slurm-a", partition="gpu", work_dir=folder, idle_reclaim_seconds=IDLE_SECONDS))
        self.drained, self.engine, self.database = Drained(), Engine(), database
        self.leases = Leases(database, Pools(), fitness=[self.drained])
        self.jobs = PooledJobs(database, book, Engine(), lambda spec: self.engine)
        self.upkeep = Upkeep(database, book, self.leases, self.jobs)

    async def lease(self, key: str = "k", pool: str = "slurm-a", slots: int = 1) -> Lease:
        return await self.leases.acquire(LeaseRequest(tenant="vision", slots=slots, key=key, pool=pool))

    async def job(self, lease: Lease, name: str = "job-1") -> None:
        await self.jobs.submit(JobSpec(id=name, tenant="vision", name="train", argv=["/bin/true"], pool=lease.pool, lease_id=lease.id))

    async def age(self, seconds: float) -> None:
        """Let the leases be older than they are."""
        async with self.database.transaction() as session:
            await session.execute(update(LeaseRow).values(granted_at=utcnow() - timedelta(seconds=seconds)))


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> House:
    made = House(database, tmp_path)
    await made.leases.set_quota("vision", 100)
    return made


class TestIdle:
    async def test_one_on_which_nothing_ran_is_reclaimed(self, house: House) -> None:
        lease = await house.lease()
        assert not (await house.upkeep.tend()).anything
        await house.age(IDLE_SECONDS + 1)
        assert (await house.upkeep.tend()).reclaimed == [lease.id]
        assert (await house.leases.get("vision", lease.id)).state is LeaseState.RECLAIMED

    async def test_one_on_which_a_job_runs_is_not(self, house: House) -> None:
        lease = await house.lease()
        await house.job(lease)
        await house.age(IDLE_SECONDS + 1)
        assert (await house.upkeep.tend()).reclaimed == []
        house.engine.end("job-1", "vision", JobState.SUCCEEDED)
        assert (await house.upkeep.tend()).reclaimed == []  # it ended just now

    async def test_a_pool_without_the_policy_keeps_its_leases(self, house: House) -> None:
        await house.lease(pool="local")
        await house.age(10 * IDLE_SECONDS)
        assert (await house.upkeep.tend()).reclaimed == []


class TestOutliving:
    async def test_a_job_ends_with_its_lease(self, house: House) -> None:
        lease = await house.lease()
        await house.job(lease)
        await house.leases.release("vision", lease.id)
        assert (await house.upkeep.tend()).jobs_ended == ["job-1"]
        assert (await house.jobs.get("job-1", "vision")).state is JobState.CANCELLED
        assert not (await house.upkeep.tend()).anything

    async def test_an_engine_that_does_not_answer_is_asked_again(self, house: House) -> None:
        lease = await house.lease()
        await house.job(lease)
        await house.leases.release("vision", lease.id)
        house.engine.fault = Unavailable("It is away.")
        assert (await house.upkeep.tend()).unanswered == ["job-1: unavailable"]
        house.engine.fault = None
        assert (await house.upkeep.tend()).jobs_ended == ["job-1"]


class TestFitness:
    async def test_a_drained_node_is_not_handed_out(self, house: House) -> None:
        house.drained.nodes = {"node-0"}
        assert (await house.lease(slots=2)).slots == [2, 3]
        assert (await house.leases.usage("vision", "slurm-a")).slots_free == 0

    async def test_without_the_judge_it_would_be(self, house: House) -> None:
        assert (await house.lease(slots=2)).slots == [0, 1]
