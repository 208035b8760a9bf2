"""Leases of this host's pool, granted and released in parallel by several processes: never one slot twice, and the ledger to the second."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import select

from benchmarks.line.shell import ROOT
from benchmarks.machines.leaser import TEAM, factory_of
from cli.checks import Check
from evals.database import postgres
from factory_infra.factory import Factory
from factory_infra.iaas.leases.models import Lease
from factory_infra.iaas.leases.tables import LeaseRow

PROCESSES = 4
LEASES = 1000
BUDGET = Decimal(1000)
SECONDS_MAX = 400


@contextmanager
def database() -> Iterator[tuple[str, Path]]:
    """A PostgreSQL of its own with the schema; gives its address and an empty home."""
    with tempfile.TemporaryDirectory() as folder, postgres(Path(folder) / "pg") as url:
        yield url, Path(folder) / "home"


def run_leasers(url: str, home: Path) -> list[tuple[int, float]]:
    """Let the processes run to their end and collect what they measured."""
    share = LEASES // PROCESSES
    command = [sys.executable, "-m", "benchmarks.machines.leaser", url, str(home)]
    processes = [
        subprocess.Popen([*command, str(number), str(share)], cwd=ROOT, stdout=subprocess.PIPE, text=True) for number in range(PROCESSES)
    ]
    found: list[tuple[int, float]] = []
    for process in processes:
        text, _ = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 0, f"a leaser ended with {process.returncode}"
        found += [(int(refused), float(seconds)) for refused, seconds in json.loads(text)]
    return found


def overlaps(leases: list[Lease]) -> int:
    """How often a slot belonged to two leases at one moment."""
    by_slot = defaultdict(list)
    for lease in leases:
        assert lease.ended_at is not None
        for slot in lease.slots:
            by_slot[slot].append((lease.granted_at, lease.ended_at))
    found = 0
    for spans in by_slot.values():
        spans.sort()
        found += sum(later[0] < earlier[1] for earlier, later in pairwise(spans))
    return found


async def prepared(factory: Factory) -> int:
    """Make the team; return how many slots the pool has."""
    pool = await factory.accelerators.pool()
    await factory.tenants.create(TEAM, quota_slots=100, budget=BUDGET)
    return len(pool.slots)


async def inspected(factory: Factory) -> tuple[list[Lease], Decimal, bool, int]:
    """The leases, the slot-seconds of the ledger, whether the books agree, and what is still held."""
    async with factory.database.transaction() as session:
        leases = [Lease.model_validate(row) for row in await session.scalars(select(LeaseRow))]
    cost = await factory.metering.cost(tenant=TEAM)
    used = sum((line.quantity for line in cost.lines if line.unit == "slot_seconds"), Decimal(0))
    return leases, used, (await factory.metering.reconcile()).equal, len(await factory.leases.held())


def checks() -> list[Check]:
    """The rows of this group."""
    with database() as (url, home):
        factory = factory_of(url, home)

        async def measure() -> list[Check]:
            slots = await prepared(factory)
            found = await asyncio.to_thread(run_leasers, url, home)
            leases, used, equal, held = await inspected(factory)
            await factory.close()
            return rows(slots, found, leases, used, equal and not held)

        return asyncio.run(measure())


def rows(slots: int, found: list[tuple[int, float]], leases: list[Lease], used: Decimal, equal: bool) -> list[Check]:
    """Figures as rows."""
    seconds = sorted(each for _, each in found)
    refusals, twice = sum(refused for refused, _ in found), overlaps(leases)
    truth = sum((Decimal(str(round(lease.slot_seconds, 6))) for lease in leases), Decimal(0))
    p95 = quantiles(seconds, n=20)[-1]
    return [
        Check("leases granted and released", f"{len(found)} by {PROCESSES} processes on {slots} slots", f"{LEASES}", len(found) == LEASES),
        Check("refused while the pool was full", f"{refusals} times, each without a trace", "> 0", refusals > 0),
        Check("one slot in two leases at once", f"{twice}", "0", twice == 0),
        Check("slot-seconds: leases, ledger", f"{truth:.3f}, {used:.3f}", "equal", truth == used),
        Check("inventory equals ledger, nothing held", "yes" if equal else "no", "yes", equal),
        Check("seconds a lease, granted and released", f"median {median(seconds):.3f}, p95 {p95:.3f}", "printed", held=True),
    ]
