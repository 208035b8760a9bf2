"""Leases and jobs on simulated machines that are made for them."""

import asyncio
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import CapacityExceeded
from factory_infra.foundation.accelerators.pools import PooledAccelerators
from factory_infra.foundation.clusters.providers.twin import TwinClusters
from factory_infra.foundation.clusters.registry import ClusterPools
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.iaas.jobs.providers.twin import TwinJobs
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.service import Tenants
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack
POOL = TwinPool(name="twin", nodes=0, gpus=4, machines_max=2)
WAIT_SECONDS = 60


async def test_machines_come_with_a_lease_carry_its_jobs_and_go_with_it(database: Database, tmp_path: Path) -> None:
    settings, book = Settings(home=tmp_path), PoolBook(tmp_path / "pools.yaml")
    book.add(POOL)
    leases = Leases(database, PooledAccelerators(book, settings), ClusterPools(book, settings))
    await Tenants(database, b"p" * 32).create("vision", quota_slots=100, budget=Decimal(1000))
    asked = LeaseRequest(tenant="vision", slots=6, key="k", pool="twin", seconds=600)
    lease = await leases.acquire(asked)
    assert len(lease.machines) == 2 and len(lease.slots) == 8 and all("simulated" in machine for machine in lease.machines)
    with pytest.raises(CapacityExceeded):
        await leases.acquire(asked.model_copy(update={"key": "more"}))
    jobs = TwinJobs(POOL, settings)
    spec = JobSpec(id="j", tenant="vision", name="n", argv=[sys.executable, "-IS", "-c", "print('ran')"], pool="twin", nodes=2)
    try:
        with pytest.raises(CapacityExceeded):
            await jobs.submit(spec)
        await jobs.submit(spec.model_copy(update={"lease_id": lease.id}))
        async with asyncio.timeout(WAIT_SECONDS):
            while not (await jobs.get("j", "vision")).state.final:  # noqa: ASYNC110 (files tell, not an event)
                await asyncio.sleep(0.05)
        ended = await jobs.get("j", "vision")
        assert ended.state is JobState.SUCCEEDED and sorted(ended.nodes) == sorted(lease.machines)
    finally:
        await asyncio.to_thread(stop_all, jobs.jobs_dir)
    assert (await leases.release("vision", lease.id)).state is LeaseState.RELEASED
    assert await TwinClusters(POOL, settings).list() == []
