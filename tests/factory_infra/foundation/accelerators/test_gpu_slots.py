"""GPU slots on their way: leased and priced as GPUs, and the only ones that a job sees."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import CapacityExceeded, QuotaExceeded
from factory_infra.foundation.accelerators.pools import OnePool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.saas.metering.models import Charge
from factory_infra.saas.metering.prices import PriceBook
from tests.nvml.library import Machine, build

TENANT = "vision"
TELL = (
    "import json, os, resource\n"
    "names = ('CUDA_VISIBLE_DEVICES', 'CUDA_DEVICE_ORDER')\n"
    "bounded = resource.getrlimit(resource.RLIMIT_AS)[0] == 4 * 1024**3\n"
    "json.dump({name: os.environ.get(name) for name in names} | {'bounded': bounded}, open('seen.json', 'w'))"
)


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider whose jobs are all ended after the test."""
    yield LocalJobs(tmp_path / "jobs")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


async def seen_by_job(jobs: LocalJobs, slot_kind: str, slots: list[int], environment: dict[str, str] | None = None) -> dict[str, object]:
    """Run a job on the slots and return what it saw."""
    argv = [sys.executable, "-c", TELL]
    spec = JobSpec(id="job-1", tenant=TENANT, name="tell", argv=argv, slot_kind=slot_kind, slots=slots, environment=environment or {})
    job, deadline = await jobs.submit(spec), time.monotonic() + 30
    while not job.state.final:
        assert time.monotonic() < deadline, "the job did not end"
        await asyncio.sleep(0.05)
        job = await jobs.get("job-1", TENANT)
    assert job.state is JobState.SUCCEEDED, job.failure
    seen: dict[str, object] = json.loads(await jobs.result("job-1", TENANT, "seen.json") or "")
    return seen


class TestJobs:
    async def test_a_job_sees_the_leased_gpus_in_the_order_in_which_they_were_counted(self, jobs: LocalJobs) -> None:
        seen = await seen_by_job(jobs, "gpu", [2, 5])
        assert (seen["CUDA_VISIBLE_DEVICES"], seen["CUDA_DEVICE_ORDER"]) == ("2,5", "PCI_BUS_ID")

    async def test_a_gpu_job_may_reserve_the_addresses_that_a_driver_wants(self, jobs: LocalJobs) -> None:
        assert (await seen_by_job(jobs, "gpu", [0]))["bounded"] is False

    @pytest.mark.parametrize(("slot_kind", "slots"), [("cpu", [0]), ("gpu", []), ("cpu", [])])
    async def test_a_job_without_gpus_sees_none(self, jobs: LocalJobs, slot_kind: str, slots: list[int]) -> None:
        assert (await seen_by_job(jobs, slot_kind, slots))["CUDA_VISIBLE_DEVICES"] == ""

    async def test_a_specification_cannot_ask_for_more_gpus_than_were_leased(self, jobs: LocalJobs) -> None:
        seen = await seen_by_job(jobs, "gpu", [1], {"CUDA_VISIBLE_DEVICES": "0,1,2", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"})
        assert (seen["CUDA_VISIBLE_DEVICES"], seen["CUDA_DEVICE_ORDER"]) == ("1", "PCI_BUS_ID")


@pytest.mark.stack
async def test_gpus_are_leased_held_against_the_quota_and_priced(database: Database, tmp_path: Path) -> None:
    leases = Leases(database, OnePool(Machine(build(tmp_path), "..l.....")))
    await leases.set_quota(TENANT, 3)
    await leases.set_quota("language", 8)
    lease = await leases.acquire(LeaseRequest(tenant=TENANT, slots=2, key="first"))
    other = await leases.acquire(LeaseRequest(tenant="language", slots=1, key="other"))
    assert (lease.slot_kind, lease.slots, other.slots) == ("gpu", [0, 1], [3])  # GPU 2 is lost
    usage = await leases.usage(TENANT)
    assert (usage.slot_kind, usage.slots_total, usage.slots_free) == ("gpu", 7, 4)
    assert (usage.quota_slots, usage.quota_slots_used) == (3, 2)
    with pytest.raises(QuotaExceeded):
        await leases.acquire(LeaseRequest(tenant=TENANT, slots=2, key="second"))
    with pytest.raises(CapacityExceeded):
        await leases.acquire(LeaseRequest(tenant="language", slots=5, key="third"))
    book, hour = PriceBook.load(), 2 * Decimal(3600)
    cost = book.price(Charge(unit="slot_seconds", subject=lease.slot_kind, quantity=hour))
    assert cost == 2 * book.slot_hour["gpu"] > book.price(Charge(unit="slot_seconds", subject="cpu", quantity=hour))
