"""The providers of jobs that one contract is asked of, and what each test asks them with."""

import asyncio
import importlib
import itertools
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast

import pytest

from factory_infra.iaas.jobs.interface import JobFiles, JobRetry, Jobs, JobTail, JobTasks
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState

PROVIDERS = ("local", "twin", "slurm", "kubernetes", "aws", "aws_sagemaker")
"""Each is a module `tests/contract/NAME.py` with a class `House`, built as `House(folder)` with an empty folder of its own."""

ABILITIES = frozenset({"arrays", "dependencies", "several_nodes", "retry", "preemption", "results", "tail", "progress", "limits"})
FOREVER = "import time\nwhile True: time.sleep(0.2)"
WAIT_SECONDS = 60.0
NUMBERS = itertools.count(1)


class NotHere(Exception):
    """Raised by a house that cannot be entered on this machine: its engine is absent. The text says why."""


class House(Protocol):
    """A provider with its engine, for the time of a session: an async context manager.

    A house may also have `fields` (what every specification there needs besides, such as pool and image), `wait_seconds` (how long
    an engine may take until a state shows; 60 if absent) and `async gone(job_id) -> bool` (no process of the job is left).
    """

    tenant: str
    other_tenant: str
    lacks: dict[str, str]
    """Missing ability → reason."""

    @property
    def jobs(self) -> Jobs:
        """The provider, with the extra abilities that `lacks` does not name. A fresh object after `forget`."""
        ...

    def python(self, code: str) -> list[str]:
        """Return the argument vector that runs a piece of Python as a job there."""
        ...

    async def preempt(self, job_id: str) -> None:
        """Let the engine take the job's place away, as it would for a more urgent one, and see to it that it is queued again."""
        ...

    async def forget(self) -> None:
        """Replace the provider object by a fresh one over the same engine, as when our worker is killed."""
        ...

    async def __aenter__(self) -> "House":
        """Start the engine. Raises NotHere."""
        ...

    async def __aexit__(self, *exception: object) -> None:
        """End every job and the engine."""
        ...


class Site:
    """A house with what the tests share."""

    def __init__(self, provider: str, house: House) -> None:
        self.provider = provider
        self.house = house
        self.wait_seconds: float = getattr(house, "wait_seconds", WAIT_SECONDS)

    @property
    def jobs(self) -> Jobs:
        """The provider."""
        return self.house.jobs

    @property
    def files(self) -> JobFiles:
        """The provider's results."""
        self.need("results")
        return cast("JobFiles", self.house.jobs)

    @property
    def tails(self) -> JobTail:
        """The provider's ends of logs."""
        self.need("tail")
        return cast("JobTail", self.house.jobs)

    @property
    def retries(self) -> JobRetry:
        """The provider's second chances."""
        self.need("retry")
        return cast("JobRetry", self.house.jobs)

    @property
    def tasks(self) -> JobTasks:
        """The provider's arrays."""
        self.need("arrays")
        return cast("JobTasks", self.house.jobs)

    @property
    def tenant(self) -> str:
        """The team that asks."""
        return self.house.tenant

    def need(self, ability: str) -> None:
        """Skip the test, by name and reason, where the provider lacks the ability."""
        assert ability in ABILITIES, f"{ability} is no ability"
        if ability in self.house.lacks:
            pytest.skip(f"{self.provider} lacks {ability}: {self.house.lacks[ability]}")

    def spec(self, code: str, **fields: object) -> JobSpec:
        """A small job that runs a piece of Python, with an id of its own."""
        base: dict[str, object] = {
            "id": f"c{os.getpid()}-{next(NUMBERS)}",
            "tenant": self.tenant,
            "name": "a contract test",
            "argv": self.house.python(code),
            "limits": {"memory_gib": 0.5, "file_gib": 0.1, "seconds": 600.0},
        }
        return JobSpec.model_validate(base | getattr(self.house, "fields", {}) | fields)

    async def start(self, code: str, **fields: object) -> str:
        """Submit such a job; return its id."""
        return (await self.jobs.submit(self.spec(code, **fields))).id

    async def get(self, job_id: str) -> Job:
        """How the job stands."""
        return await self.jobs.get(job_id, self.tenant)

    async def until(self, ask: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition; the test fails, and says what it waited for, where it does not come true."""
        deadline = time.monotonic() + self.wait_seconds
        while not await ask():
            assert time.monotonic() < deadline, f"after {self.wait_seconds:g} s still not: {what}"
            await asyncio.sleep(0.05)

    async def until_state(self, job_id: str, state: JobState) -> Job:
        """Wait for a state of the job."""

        async def reached() -> bool:
            return (await self.get(job_id)).state is state

        await self.until(reached, f"{job_id} {state.value}")
        return await self.get(job_id)

    async def ended(self, job_id: str) -> Job:
        """Wait for the job's end."""

        async def final() -> bool:
            return (await self.get(job_id)).state.final

        await self.until(final, f"{job_id} ended")
        return await self.get(job_id)

    async def log(self, job_id: str) -> str:
        """The first piece of a log."""
        return (await self.jobs.logs(job_id, self.tenant)).text

    async def whole_log(self, job_id: str) -> str:
        """The log of an ended job; engines may deliver it a moment after the end."""

        async def complete() -> bool:
            return (await self.jobs.logs(job_id, self.tenant)).complete

        await self.until(complete, f"the log of {job_id} complete")
        return await self.log(job_id)

    async def said(self, job_id: str, words: str, times: int = 1) -> None:
        """Wait until the log holds the words so often."""

        async def found() -> bool:
            return (await self.log(job_id)).count(words) >= times

        await self.until(found, f"{words!r} in the log of {job_id}")

    async def gone(self, job_id: str) -> None:
        """Wait until no process of the job is left, where the house can see that."""
        ask: Callable[[str], Awaitable[bool]] | None = getattr(self.house, "gone", None)
        if ask is not None:
            await self.until(lambda: ask(job_id), f"every process of {job_id} gone")


@asynccontextmanager
async def site_of(provider: str, folder: Path) -> AsyncIterator[Site]:
    """Enter a provider's house. Skips, with the reason, where it does not exist yet or its engine is not on this machine."""
    name = f"tests.contract.{provider}"
    try:
        opened = cast("House", importlib.import_module(name).House(folder))
        house = await opened.__aenter__()
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        pytest.skip(f"{provider} is not here: tests/contract/{provider}.py does not exist yet")
    except NotHere as error:
        pytest.skip(f"{provider} is not here: {error}")
    try:
        unknown = sorted(set(house.lacks) - ABILITIES)
        assert not unknown, f"{provider} lacks what is no ability: {unknown}"
        yield Site(provider, house)
    finally:
        await opened.__aexit__(None, None, None)
