"""An emulated cluster with a provider of jobs, for tests that want it in a state of its own."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import Job, JobSpec
from factory_infra.iaas.jobs.providers.kubernetes import KubernetesJobs
from factory_infra.iaas.kubernetes.names import namespace_of
from factory_infra.settings import Settings
from tests.contract.kubernetes import emulated_pool
from tests.emulators.kubernetes.cluster import Emulator

TEAM = "vision"
NUMBERS = itertools.count(1)
FOREVER = "import time\nprint('began', flush=True)\nwhile True: time.sleep(0.2)"
WAIT_SECONDS = 60.0


class ClusterSite:
    """A provider over an emulator."""

    def __init__(self, emulator: Emulator, pool: KubernetesPool) -> None:
        self.emulator, self.pool = emulator, pool
        self.jobs = KubernetesJobs(pool, Settings(home=Path("/nonexistent")))
        self.namespace = namespace_of(pool, TEAM)

    def spec(self, code: str = "pass", **fields: object) -> JobSpec:
        """A small job."""
        base: dict[str, object] = {"id": f"job-{next(NUMBERS)}", "tenant": TEAM, "name": "a test", "argv": ["python3", "-IS", "-c", code]}
        return JobSpec.model_validate(base | {"limits": {"memory_gib": 0.5, "file_gib": 0.05, "seconds": 600.0}} | fields)

    async def start(self, code: str = "pass", **fields: object) -> str:
        """Submit one; return its id."""
        return (await self.jobs.submit(self.spec(code, **fields))).id

    async def submit(self, code: str, fields: Mapping[str, object]) -> str:
        """The same with fields at hand."""
        return (await self.jobs.submit(self.spec(code, **fields))).id

    async def get(self, job_id: str) -> Job:
        """How it stands."""
        return await self.jobs.get(job_id, TEAM)

    async def log(self, job_id: str) -> str:
        """Its log."""
        return (await self.jobs.logs(job_id, TEAM)).text

    async def until(self, ask: Callable[[], Awaitable[bool]]) -> None:
        """Wait for a condition."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not await ask():
            assert time.monotonic() < deadline, "it did not come true"
            await asyncio.sleep(0.05)

    async def ended(self, job_id: str) -> Job:
        """Wait for the end."""

        async def final() -> bool:
            return (await self.get(job_id)).state.final

        await self.until(final)
        return await self.get(job_id)

    async def waits(self, job_id: str, code: str) -> Job:
        """Wait until it waits for a reason."""

        async def so() -> bool:
            waiting = (await self.get(job_id)).waiting
            return waiting is not None and waiting.code == code

        await self.until(so)
        return await self.get(job_id)

    async def said(self, job_id: str, words: str) -> None:
        """Wait for words in the log."""

        async def found() -> bool:
            return words in await self.log(job_id)

        await self.until(found)


@asynccontextmanager
async def cluster(*extras: str, log_bytes_max: int = 10 * 1024 * 1024, **fields: object) -> AsyncIterator[ClusterSite]:
    """Start one."""
    async with Emulator(extras, log_bytes_max=log_bytes_max) as emulator:
        yield ClusterSite(emulator, emulated_pool(emulator, **fields))
