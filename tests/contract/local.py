"""This host as a house: processes below a folder of the test."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import ClassVar

import psutil

from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from factory_infra.iaas.jobs.providers.runner import runner_pid


class House:
    """Local jobs; what preempts here is the loss of the process that watches a job."""

    tenant = "vision"
    other_tenant = "speech"
    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "jobs"
        self.jobs = LocalJobs(self._folder)

    async def __aenter__(self) -> "House":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(stop_all, self._folder)

    def python(self, code: str) -> list[str]:
        """A quick interpreter: without the packages of the environment."""
        return [sys.executable, "-IS", "-c", code]

    async def preempt(self, job_id: str) -> None:
        """Kill the runner, and start the lost job again as its watcher does."""
        pid = runner_pid(JobFolder(self._folder / self.tenant / job_id))
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        while (await self.jobs.get(job_id, self.tenant)).state is not JobState.LOST:  # noqa: ASYNC110 (a file tells, not an event)
            await asyncio.sleep(0.02)
        await self.jobs.retry(job_id, self.tenant)

    async def forget(self) -> None:
        """A new object knows only the folder."""
        self.jobs = LocalJobs(self._folder)

    async def gone(self, job_id: str) -> bool:
        """Whether no process names the job's folder in its environment or its arguments."""
        return not await asyncio.to_thread(holders, self._folder / self.tenant / job_id)


def holders(folder: Path) -> list[psutil.Process]:
    """Every process that carries the folder, or one below it, in its environment, and its runner."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINESHAFT_JOB_DIR", "").startswith(str(folder)) or str(folder) in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found
