"""The queue is exact whoever asks beside whom and whatever is killed; without its lock it is not."""

import asyncio
import signal
import sys

import pytest

from factory_infra.database import Database
from factory_infra.iaas.leases.models import LeaseState
from factory_infra.iaas.leases.service import Leases
from tests.factory_infra.iaas.leases.crowd import QUOTA, TEAMS, Audit, Unlocked, crowd
from tests.factory_infra.iaas.leases.test_queue import GpuPools, asking, over

pytestmark = pytest.mark.stack


async def quotas(leases: Leases) -> None:
    for team in TEAMS:
        await leases.set_quota(team, QUOTA)


async def test_a_crowd_and_passes_that_are_cut_off_break_nothing(database: Database, database_url: str) -> None:
    leases, audit = Leases(database, GpuPools()), Audit(database)
    await quotas(leases)
    async with asyncio.timeout(120):
        asked = await crowd(leases, audit, database_url, GpuPools())
    assert (audit.faults, len(set(asked))) == (set(), len(asked))
    assert audit.looks > 10
    for _ in range(len(asked)):
        held = [lease for lease in await leases.list() if lease.state.held]
        for lease in held:
            await leases.release(lease.tenant, lease.id)
        if not await leases.list():
            break
        await leases.grant_waiting()
        await audit.look()
    assert await leases.list() == []
    ended = {lease.state for lease in await leases.list(active=False, limit=500)}
    assert ended == {LeaseState.RELEASED}
    assert audit.faults == set()


async def test_control_without_the_lock_slots_are_held_twice(database_url: str) -> None:
    careless = Unlocked(database_url)
    leases, audit = Leases(careless, GpuPools()), Audit(careless)
    await quotas(leases)
    for turn in range(20):
        asked = [leases.acquire(asking(2, f"k{turn}/{number}", TEAMS[number % 3], wait=0)) for number in range(9)]
        await asyncio.gather(*asked, return_exceptions=True)
        await audit.look()
        for lease in await leases.list():
            await leases.release(lease.tenant, lease.id)
        if audit.faults:
            break
    await careless.close()
    assert any(fault.startswith("slot ") for fault in audit.faults)


@pytest.mark.parametrize(("killed", "patience"), [(True, "600"), (False, "1")], ids=["killed", "hangs"])
async def test_a_pass_that_stops_half_way_grants_nothing_and_holds_up_nobody(
    database: Database, database_url: str, killed: bool, patience: str
) -> None:
    leases = await over(database)
    first = await leases.acquire(asking(8, "a"))
    waiting = [await leases.acquire(asking(4, f"b{number}", "language")) for number in range(2)]
    await leases.release("vision", first.id)
    argv = (sys.executable, "-m", "tests.factory_infra.iaas.leases.killed_pass", database_url, patience)
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 120) == b"granted 2\n"
    assert {lease.state for lease in await leases.list("language")} == {LeaseState.QUEUED}
    another = asyncio.create_task(leases.grant_waiting())
    if killed:
        await asyncio.wait([another], timeout=0.2)
        assert not another.done()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    granted = (await asyncio.wait_for(another, 60)).leases
    if not killed:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert {lease.id for lease in granted} == {lease.id for lease in waiting}
    assert sorted(slot for lease in granted for slot in lease.slots) == list(range(8))
