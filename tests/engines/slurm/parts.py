"""What the tests on a real Slurm share: small jobs, waiting, and an engine whose answers get lost."""

import asyncio
import itertools
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from factory_infra.errors import Unavailable
from factory_infra.foundation.pools.slurm import SlurmCommands
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.iaas.jobs.providers.slurm_commands import CommandEngine
from factory_infra.iaas.jobs.providers.slurm_engine import Ending, Order, Row

TENANT = "vision"
PYTHON = ["/usr/bin/env", "python3", "-IS", "-c"]
WAIT_SECONDS = 60.0
NUMBERS = itertools.count(1)


def spec(pool: SlurmPool, code: str, **fields: object) -> JobSpec:
    """A small job that runs a piece of Python."""
    base: dict[str, object] = {
        "id": f"f{os.getpid()}-{next(NUMBERS)}",
        "tenant": TENANT,
        "name": "a test",
        "argv": [*PYTHON, code],
        "limits": {"memory_gib": 0.3, "file_gib": 0.1, "seconds": 300.0},
        "pool": pool.name,
    }
    return JobSpec.model_validate(base | fields)


async def until(ask: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not await ask():
        assert time.monotonic() < deadline, f"still not: {what}"
        await asyncio.sleep(0.1)


async def until_state(jobs: SlurmJobs, job_id: str, *states: JobState) -> Job:
    """Wait for a state; a controller that is away for a while is waited for, too."""

    async def reached() -> bool:
        try:
            return (await jobs.get(job_id, TENANT)).state in states
        except Unavailable:
            return False

    await until(reached, f"{job_id} {'/'.join(states)}")
    return await jobs.get(job_id, TENANT)


async def ended(jobs: SlurmJobs, job_id: str) -> Job:
    """Wait for the end."""
    return await until_state(jobs, job_id, *(state for state in JobState if state.final))


class LosingEngine:
    """The command line, of which the answer to a submission gets lost: Slurm has the job, and we never hear its number."""

    def __init__(self, pool: SlurmPool, *, finds: bool = True) -> None:
        self._engine = CommandEngine(pool, SlurmCommands(pool))
        self._finds = finds
        self.lose = True
        self.submissions = 0

    def submit(self, order: Order, keep: tuple[int, ...] = ()) -> str:
        """Submit, and lose the answer."""
        number = self._engine.submit(order, keep)
        self.submissions += not order.held
        if self.lose:
            raise Unavailable("The answer was lost.", code="engine_silent")
        return number

    def named(self, name: str, since: datetime) -> list[Row]:
        """What a job is found again by; nothing in the control."""
        return self._engine.named(name, since) if self._finds else []

    def queued(self, ids: Sequence[str]) -> list[Row]:
        """As it is."""
        return self._engine.queued(ids)

    def ended(self, ids: Sequence[str], since: datetime) -> list[Row]:
        """As it is."""
        return self._engine.ended(ids, since)

    def end(self, job_id: str, how: Ending) -> None:
        """As it is."""
        self._engine.end(job_id, how)
