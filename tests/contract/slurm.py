"""A real Slurm as a house: a controller, accounts and two nodes on this host, started for the session."""

import asyncio
import shutil
import sys
from pathlib import Path
from typing import ClassVar

import psutil

from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.settings import Settings
from tests.contract.houses import NotHere
from tests.engines.slurm.cluster import missing
from tests.engines.slurm.shared import shared_cluster, work_folder

BY_THE_HOUR = ["--account=lineshaft_ops", "--qos=high", "--nodes=2", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=true"]


class House:
    """Slurm jobs of two teams, each under a Unix account of its own; what preempts is a job with more right that wants all nodes."""

    tenant = "vision"
    other_tenant = "speech"
    lacks: ClassVar[dict[str, str]] = {}
    fields: ClassVar[dict[str, object]] = {"pool": "slurm"}

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> "House":
        why = missing()
        if why:
            raise NotHere(why)
        await asyncio.to_thread(self._start)
        return self

    def _start(self) -> None:
        self.cluster = shared_cluster()
        self.pool = self.cluster.pool("slurm", work_folder(), qos="low", users={"vision": "games", "speech": "news"})
        self.cluster.run("sacctmgr", "--immediate", "add", "account", "lineshaft_ops")
        self.cluster.run("sacctmgr", "--immediate", "add", "user", "root", "account=lineshaft_ops")
        self.jobs = SlurmJobs(self.pool, Settings(home=self._folder))

    async def __aexit__(self, *exception: object) -> None:
        """The cluster is the session's, and stops with it."""

    def python(self, code: str) -> list[str]:
        """The system's interpreter: the teams' accounts do not reach ours."""
        return [shutil.which("python3", path="/usr/local/bin:/usr/bin") or sys.executable, "-IS", "-c", code]

    async def preempt(self, job_id: str) -> None:
        """Let a job with more right take both nodes for a moment; Slurm puts the other back into its queue."""
        await asyncio.to_thread(self.cluster.run, "sbatch", "--wait", *BY_THE_HOUR)

    async def forget(self) -> None:
        """A new object knows only the folder and the cluster."""
        self.jobs = SlurmJobs(self.pool, Settings(home=self._folder))

    async def gone(self, job_id: str) -> bool:
        """Whether no process has the job's folder in its environment."""
        return not await asyncio.to_thread(holders, f"/jobs/{self.tenant}/{job_id}")


def holders(folder: str) -> list[psutil.Process]:
    """Every process of a job."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINESHAFT_JOB_DIR", "").endswith(folder) or f"{folder}/" in process.environ().get(
                "LINESHAFT_JOB_DIR", ""
            ):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
