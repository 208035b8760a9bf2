"""What the tests of jobs on this host share."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.providers.local import LocalJobs

TENANT = "vision"
FOREVER = "import time\nwhile True: time.sleep(1)"


def python(code: str, job_id: str = "job-1", /, **fields: object) -> JobSpec:
    """A job that runs a piece of Python."""
    return JobSpec.model_validate({"id": job_id, "tenant": TENANT, "name": "a test", "argv": [sys.executable, "-IS", "-c", code]} | fields)


async def until(ask: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait for a condition, at most so long."""
    deadline = time.monotonic() + seconds
    while not await ask():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.05)


async def ended(jobs: LocalJobs, job_id: str = "job-1") -> Job:
    """Wait for a job's end."""

    async def final() -> bool:
        return (await jobs.get(job_id, TENANT)).state.final

    await until(final)
    return await jobs.get(job_id, TENANT)


async def until_state(jobs: LocalJobs, state: JobState, job_id: str = "job-1") -> Job:
    """Wait for a state."""

    async def reached() -> bool:
        return (await jobs.get(job_id, TENANT)).state is state

    await until(reached)
    return await jobs.get(job_id, TENANT)


async def log_of(jobs: LocalJobs, job_id: str = "job-1") -> str:
    """The first piece of a job's log."""
    return (await jobs.logs(job_id, TENANT)).text


async def said(jobs: LocalJobs, words: str, job_id: str = "job-1", times: int = 1) -> None:
    """Wait until a log holds the words so often."""

    async def found() -> bool:
        return (await log_of(jobs, job_id)).count(words) >= times

    await until(found)


def holders(folder: Path) -> list[psutil.Process]:
    """Every process that carries the job's folder, or one below it, in its environment, and its runner."""
    found = []
    for process in psutil.process_iter():
        try:
            own = process.environ().get("LINESHAFT_JOB_DIR", "")
            if own == str(folder) or own.startswith(f"{folder}/") or str(folder) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def folder_of(tmp_path: Path, job_id: str = "job-1") -> Path:
    """Where a job lies."""
    return tmp_path / "jobs" / TENANT / job_id


async def gone(tmp_path: Path, job_id: str = "job-1") -> None:
    """Wait until no process of a job is left; the runner itself leaves a moment after its record."""

    async def nobody() -> bool:
        return holders(folder_of(tmp_path, job_id)) == []

    await until(nobody)
