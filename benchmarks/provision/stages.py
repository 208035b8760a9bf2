"""Provisioning by stage on this host, on a real Slurm and on the emulator of AWS: what a person waits for, and for what."""

import asyncio
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.machines.leaser import TEAM, factory_of
from benchmarks.machines.leases import BUDGET, database
from benchmarks.machines.main_job import PLACES, Place
from cli.checks import Check
from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.iaas.jobs.models import Job, JobLimits, JobSpec, JobState
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.rows import lease_id
from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.metering.service import slot_subject
from tests.contract.houses import NotHere

ROUNDS = 5
WAIT_SECONDS_MAX = 120.0
LEASE_SECONDS = 600
STAGES = ("asked", "reserved", "granted", "ready", "submitted", "started", "ended", "released")
"""asked: a quote was answered. reserved: money is set aside. granted: the lease is active, and where machines are made for it they are
launched. ready: the pool tells of its slots. submitted: the engine has the job. started: it runs. ended. released: nothing is held."""
NATURE = {"local": "real", "slurm": "real Slurm, simulated GPUs", "aws (emulated)": "emulated: its machines start at once"}
WORD = "print('here', flush=True)"


@dataclass
class Clock:
    """Seconds of each stage since the one before, for one round."""

    seconds: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def mark(self, stage: str) -> None:
        """A stage is reached."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


async def one_round(factory: Factory, pool: str, number: int) -> dict[str, float]:
    """Ask, use and give back once."""
    key = f"provision-{pool}-{number}-{os.getpid()}"
    request = LeaseRequest(tenant=TEAM, slots=1, purpose="provision", seconds=LEASE_SECONDS, key=key, pool=pool)
    clock = Clock()
    quote = await factory.leases.quote(request)
    clock.mark("asked")
    subject = slot_subject(quote.slot_kind, quote.accelerator, "on_demand")
    await factory.metering.reserve_lease(lease_id(key), subject, quote.slots * LEASE_SECONDS, Attribution(tenant=TEAM))
    clock.mark("reserved")
    lease = await factory.leases.acquire(request)
    clock.mark("granted")
    await factory.accelerators.pool(pool)
    clock.mark("ready")
    try:
        spec = JobSpec(
            id=f"job-{key}"[:60],
            tenant=TEAM,
            name="provision",
            argv=["python3", "-IS", "-c", WORD],
            slot_kind=lease.slot_kind,
            slots=lease.slots,
            devices=lease.devices,
            limits=JobLimits(memory_gib=0.5, file_gib=0.1, seconds=60),
            pool=pool,
            lease_id=lease.id,
        )
        job = await factory.jobs.submit(spec)
        clock.mark("submitted")
        await reached(factory, job, started=True)
        clock.mark("started")
        ended = await reached(factory, job, started=False)
        clock.mark("ended")
        assert ended.state is JobState.SUCCEEDED, f"{ended.id} has {ended.state}: {ended.failure}"
    finally:
        await factory.leases.release(TEAM, lease.id)
        await factory.metering.reconcile()
        clock.mark("released")
    return clock.seconds


async def reached(factory: Factory, job: Job, *, started: bool) -> Job:
    """Wait until a job runs, or has ended."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while True:
        job = await factory.jobs.get(job.id, job.tenant)
        if job.state.final or (started and job.state is JobState.RUNNING):
            return job
        assert time.monotonic() < deadline, f"{job.id} is {job.state} after {WAIT_SECONDS_MAX:.0f} s"
        await asyncio.sleep(0.02)


async def rounds_of(url: str, home: Path, pool: str) -> list[dict[str, float]]:
    """All rounds in one pool."""
    factory = factory_of(url, home)
    try:
        try:
            await factory.tenants.create(TEAM, quota_slots=100, budget=BUDGET)
        except LineshaftError as error:
            if error.error_code != "conflict":
                raise
        return [await one_round(factory, pool, number) for number in range(ROUNDS)]
    finally:
        await factory.close()


def measured(place: Place, url: str, home: Path) -> list[dict[str, float]]:
    """All rounds in a place."""
    home.mkdir(parents=True, exist_ok=True)
    if place.pool is not None:
        PoolBook(home / "pools.yaml").add(place.pool)
    before = {name: os.environ.get(name) for name in place.environment}
    os.environ.update(place.environment)
    try:
        return asyncio.run(rounds_of(url, home, place.pool.name if place.pool else "local"))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def everywhere() -> dict[str, list[dict[str, float]] | str]:
    """The rounds of each place, or why it is not here."""
    found: dict[str, list[dict[str, float]] | str] = {}
    for name, place in PLACES.items():
        with tempfile.TemporaryDirectory() as folder, database() as (url, _):
            Path(folder).chmod(0o755)
            try:
                with place(Path(folder)) as entered:
                    found[name] = measured(entered, url, Path(folder) / "home")
            except NotHere as error:
                found[name] = str(error)
            except (LineshaftError, AssertionError) as error:
                found[name] = f"broke: {error}"[:300]
    return found


def usual(rounds: list[dict[str, float]]) -> Mapping[str, float]:
    """The median of each stage."""
    return {stage: median(each[stage] for each in rounds) for stage in STAGES}


def table_of(found: Mapping[str, list[dict[str, float]] | str]) -> Table:
    """A row a place: milliseconds of each stage, and from asking to the job's start."""
    table = Table(title=f"provisioning by stage, ms, median of {ROUNDS}", title_justify="left", box=None)
    for column in ("place", "nature", *STAGES, "asked to started"):
        table.add_column(column, justify="left" if column in {"place", "nature"} else "right", overflow="fold")
    for name, rounds in found.items():
        if isinstance(rounds, str):
            table.add_row(name, f"not here: {rounds}")
            continue
        seconds = usual(rounds)
        cells = [f"{seconds[stage] * 1000:.0f}" for stage in STAGES]
        table.add_row(name, NATURE[name], *cells, f"{until_started(seconds) * 1000:.0f}")
    return table


def until_started(seconds: Mapping[str, float]) -> float:
    """From asking to the first line of the job."""
    return sum(seconds[stage] for stage in STAGES[: STAGES.index("started") + 1])


def checks() -> list[Check]:
    """A row a place."""
    found = everywhere()
    Console(width=170).print(table_of(found))
    rows = []
    for name, rounds in found.items():
        title = f"provisioning on {name} ({NATURE[name]})"
        if isinstance(rounds, str):
            rows.append(Check(title, f"not here: {rounds}", "measured", held=False))
            continue
        seconds = usual(rounds)
        told = ", ".join(f"{stage} {seconds[stage] * 1000:.0f}" for stage in STAGES)
        rows.append(Check(title, f"{until_started(seconds):.2f} s to the job's start (ms: {told})", "measured", held=True))
    return rows
