"""Answers about what waits: they are those of the scheduler that grants, and the changes that they advise are true."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import CapacityExceeded, NotFound, QuotaExceeded
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.jobs.models import JobSpec, JobState, Waiting
from factory_infra.iaas.jobs.service import PooledJobs
from factory_infra.iaas.leases.models import LEASE_QUEUED, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.scheduling.models import Binding
from factory_infra.iaas.scheduling.policy import SchedulingPolicy
from factory_infra.iaas.scheduling.rules import SchedulingRules
from factory_infra.iaas.scheduling.service import Scheduling
from tests.factory_infra.iaas.jobs.engine import Engine
from tests.factory_infra.iaas.leases.test_queue import Rules, asking, over

pytestmark = pytest.mark.stack


class TwoPools(Rules):
    """Two pools of eight GPUs that are scheduled together; a slot of the second costs twice as much."""

    def __init__(self) -> None:
        super().__init__(SchedulingPolicy(order="fifo"))
        self.price = lambda kind, accelerator, price_class: 2.0

    def pools(self) -> list[str]:
        return ["local", "other"]


class House:
    """Leases, jobs, and who explains them."""

    def __init__(self, database: Database, leases: Leases, folder: Path) -> None:
        self.engine = Engine()
        self.leases = leases
        self.jobs = PooledJobs(database, PoolBook(folder / "pools.yaml"), self.engine, lambda spec: self.engine)
        self.scheduling = Scheduling(database, leases, self.jobs)


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    yield House(database, await over(database, TwoPools()), tmp_path)


class TestWhy:
    async def test_it_names_the_constraint_the_time_and_changes_that_are_true(self, house: House) -> None:
        first = await house.leases.acquire(asking(6, "a"))
        waiting = await house.leases.acquire(asking(4, "b", "language"))
        told = await house.scheduling.why(waiting.id, "language")
        assert (told.binding, told.reserved, told.state) == (Binding.GANG, True, "queued")
        assert told.reason.startswith("2 of the 8 slots of pool local that would do are free, and it needs 4")
        assert first.id not in told.reason
        assert told.starts_at is not None and told.starts_earliest is not None and told.starts_latest is not None
        assert abs((told.starts_at - first.expires_at).total_seconds()) < 5
        assert told.starts_earliest <= told.starts_at <= told.starts_latest
        assert told.changes
        await house.leases.release("language", waiting.id)
        for number, change in enumerate(told.changes):
            tried = asking(4, f"try{number}", "language", wait=0).model_copy(update=change.arguments)
            lease = await house.leases.acquire(tried)
            assert lease.state is LeaseState.ACTIVE, change
            await house.leases.release("language", lease.id)

    async def test_one_that_waits_for_nothing_says_so(self, house: House) -> None:
        lease = await house.leases.acquire(asking(1, "a"))
        told = await house.scheduling.why(lease.id, None)
        assert (told.binding, told.state, told.changes) == (None, "active", [])

    async def test_another_teams_is_not_there(self, house: House) -> None:
        lease = await house.leases.acquire(asking(1, "a"))
        with pytest.raises(NotFound):
            await house.scheduling.why(lease.id, "language")

    async def test_a_quota_binds_in_the_teams_words(self, house: House) -> None:
        await house.leases.set_quota("vision", 4)
        await house.leases.acquire(asking(4, "a"))
        waiting = await house.leases.acquire(asking(1, "b"))
        told = await house.scheduling.why(waiting.id, "vision")
        assert told.binding is Binding.QUOTA and "4" in told.reason


class TestJobs:
    async def test_a_job_waits_for_its_lease(self, house: House) -> None:
        await house.leases.acquire(asking(8, "a"))
        lease = await house.leases.acquire(asking(4, "b", "language"))
        spec = JobSpec(id="job-1", tenant="language", name="train", argv=["/bin/true"], pool="local", lease_id=lease.id)
        await house.jobs.hold(spec, Waiting(code=LEASE_QUEUED, reason="its lease waits"))
        told = await house.scheduling.why_job("job-1", "language")
        assert (told.job_id, told.lease_id, told.binding) == ("job-1", lease.id, Binding.CAPACITY)

    async def test_a_job_waits_for_its_engine(self, house: House) -> None:
        lease = await house.leases.acquire(asking(1, "a"))
        await house.jobs.submit(JobSpec(id="job-1", tenant="vision", name="t", argv=["/bin/true"], pool="local", lease_id=lease.id))
        assert (await house.scheduling.why_job("job-1", "vision")).state == "running"
        job = house.engine.jobs["vision", "job-1"]
        waits = {"state": JobState.PENDING, "waiting": Waiting(code="AssocGrpGRES", reason="The account is at its limit.")}
        house.engine.jobs["vision", "job-1"] = job.model_copy(update=waits)
        told = await house.scheduling.why_job("job-1", "vision")
        assert (told.binding, told.reason) == (Binding.ENGINE, "The account is at its limit.")


class TestForesee:
    async def test_what_is_free_begins_at_once_and_costs_what_it_costs(self, house: House) -> None:
        told = await house.scheduling.foresee(asking(2, "f", seconds=1800))
        assert (told.at_once, told.slots) == (True, 2)
        assert told.cost == pytest.approx(2 * 2.0 * 0.5)
        assert await house.leases.list(active=False) == []

    async def test_what_is_not_free_begins_later_and_changes_help(self, house: House) -> None:
        first = await house.leases.acquire(asking(6, "a"))
        told = await house.scheduling.foresee(asking(4, "f", "language"))
        assert (told.at_once, told.binding) == (False, Binding.GANG)
        assert told.starts_at is not None and abs((told.starts_at - first.expires_at).total_seconds()) < 5
        assert told.changes and told.changes[0].starts_at < told.starts_at

    async def test_what_never_can_be_is_refused(self, house: House) -> None:
        with pytest.raises(CapacityExceeded):
            await house.scheduling.foresee(asking(9, "f"))
        await house.leases.set_quota("vision", 2)
        with pytest.raises(QuotaExceeded):
            await house.scheduling.foresee(asking(3, "f"))


def test_without_a_file_the_rules_are_the_defaults(tmp_path: Path) -> None:
    rules = SchedulingRules(PoolBook(tmp_path / "pools.yaml"), tmp_path / "quotas.yaml")
    assert (rules.policy("local"), rules.quotas().queues) == (SchedulingPolicy(), ())
