"""A simulated data centre as a house: its machines are drawn from a seed, its programs are processes below a folder of the test."""

import asyncio
import sys
from pathlib import Path
from typing import ClassVar

from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.iaas.jobs.providers.twin import TwinJobs
from factory_infra.settings import Settings
from tests.contract.local import holders


class House:
    """Jobs on simulated machines; what preempts here is the failure of one of them."""

    tenant = "vision"
    other_tenant = "speech"
    lacks: ClassVar[dict[str, str]] = {}
    fields: ClassVar[dict[str, object]] = {"pool": "twin"}

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(home=folder)
        self.pool = TwinPool(name="twin", nodes=4, gpus=2)
        self.jobs = TwinJobs(self.pool, self._settings)

    async def __aenter__(self) -> "House":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(stop_all, self.jobs.jobs_dir)

    def python(self, code: str) -> list[str]:
        """A quick interpreter: without the packages of the environment."""
        return [sys.executable, "-IS", "-c", code]

    async def preempt(self, job_id: str) -> None:
        """Let the machine under the job fail; whoever asks for the job next has that carried out."""
        node = (await self.jobs.get(job_id, self.tenant)).nodes[0]
        await asyncio.to_thread(DataCentre(self.pool, self._settings).fail, node, 0.0001)
        assert (await self.jobs.get(job_id, self.tenant)).state in {JobState.RUNNING, JobState.PENDING, JobState.SUCCEEDED}

    async def forget(self) -> None:
        """A new object knows only the folder."""
        self.jobs = TwinJobs(self.pool, self._settings)

    async def gone(self, job_id: str) -> bool:
        """Whether no process names the job's folder in its environment or its arguments."""
        return not await asyncio.to_thread(holders, self.jobs.jobs_dir / self.tenant / job_id)
