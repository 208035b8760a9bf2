"""Jobs on simulated machines: their programs really run, on this host, and lose their place when a simulated machine fails."""

import asyncio
import builtins
from dataclasses import dataclass

from factory_infra.foundation.pools.spec import TwinPool, WallName
from factory_infra.foundation.twin.centre import DataCentre
from factory_infra.foundation.twin.commands import CommandLog, Writer
from factory_infra.foundation.twin.making import names
from factory_infra.foundation.twin.places import Places
from factory_infra.iaas.isolation.providers.local import TRACKING, open_parts
from factory_infra.iaas.jobs.interface import Jobs
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.iaas.jobs.providers.reading import read_job, read_spec
from factory_infra.iaas.jobs.providers.signals import kill_runner
from factory_infra.iaas.jobs.providers.starting import check_spec
from factory_infra.iaas.jobs.providers.twin_simulated import SimulatedJobs
from factory_infra.iaas.jobs.providers.walls_local import Reach, WallOrder, order_of
from factory_infra.settings import Settings

LOG = "places.jsonl"
POOL_VARIABLE = "LINESHAFT_SIMULATED_POOL"


def twin_jobs(pool: TwinPool, settings: Settings) -> Jobs:
    """Build what runs jobs in a simulated pool: really, or in virtual time only, as its entry says."""
    return TwinJobs(pool, settings) if pool.programs == "run" else SimulatedJobs(pool, settings)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job lies, and since when in virtual time."""

    nodes: list[str]
    since: float


class TwinJobs:
    """Runs jobs as processes of this host in the name of simulated machines. A machine that fails takes its jobs with it: whoever looks
    next ends the programs, and starts them again from their checkpoints on other machines.

    Args:
        pool: its entry.
        settings: the home, below which jobs and log lie.
        walls_off: walls around programs that are left down on purpose; only a control test does that.
    """

    def __init__(self, pool: TwinPool, settings: Settings, walls_off: tuple[WallName, ...] = ()) -> None:
        self._pool, self._settings, self._walls_off = pool, settings, walls_off
        centre = DataCentre(pool, settings)
        self.jobs_dir = (centre.folder / "jobs").absolute()
        self._places = Places(centre)
        self._log = CommandLog(centre.folder / LOG)
        self._laid: dict[tuple[str, str], Place] = {}
        self._seen = 0
        self._local = LocalJobs(self.jobs_dir, self._walls)

    async def submit(self, spec: JobSpec) -> Job:
        """See Jobs.submit. Raises CapacityExceeded where no machine for it is in order."""
        await asyncio.to_thread(self._accept, spec)
        return await self._told(await self._local.submit(self._for_host(spec)))

    async def get(self, job_id: str, tenant: str) -> Job:
        """Return the job's present state, after whatever befell its machines was carried out."""
        job = await self._local.get(job_id, tenant)
        if job.id == job_id and job.state in {JobState.RUNNING, JobState.LOST} and await asyncio.to_thread(self._carry_out, job):
            job = await self._local.get(job_id, tenant)
        return await self._told(job)

    async def list(self, tenant: str | None = None) -> list[Job]:
        """Return the jobs of a tenant, or all, newest first."""
        return [await self._told(job) for job in await self._local.list(tenant)]

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """See Jobs.logs."""
        return await self._local.logs(job_id, tenant, offset, limit)

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """See JobTail.tail."""
        return await self._local.tail(job_id, tenant, limit)

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """See JobFiles.result."""
        return await self._local.result(job_id, tenant, name)

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """See Jobs.cancel."""
        return await self._told(await self._local.cancel(job_id, tenant))

    async def retry(self, job_id: str, tenant: str) -> Job:
        """See JobRetry.retry."""
        return await self._told(await self._local.retry(job_id, tenant))

    async def tasks(self, job_id: str, tenant: str, limit: int = 100, offset: int = 0) -> builtins.list[Job]:
        """See JobTasks.tasks."""
        return [await self._told(job) for job in await self._local.tasks(job_id, tenant, limit, offset)]

    def _walls(self, spec: JobSpec) -> WallOrder:
        ports = tuple(open_parts(self._settings, tracking=TRACKING not in spec.environment).values())
        return order_of(spec.tenant, Reach(home=self._settings.home, jobs_dir=self.jobs_dir, ports_closed=ports), off=self._walls_off)

    def _for_host(self, spec: JobSpec) -> JobSpec:
        """The specification without simulated slots: this host has none of them."""
        environment = {**spec.environment, POOL_VARIABLE: self._pool.name}
        return spec.model_copy(update={"slots": [], "devices": [], "slot_kind": "cpu", "environment": environment})

    def _accept(self, spec: JobSpec) -> None:
        """Check a job, and give it its machines unless it has them. Raises InvalidInput, CapacityExceeded."""
        check_spec(spec, self.jobs_dir / spec.tenant)
        if self._place(spec.tenant, spec.id) is None:
            with self._log.writing() as writer:
                if self._place(spec.tenant, spec.id) is None:
                    chosen = self._places.choose(f"{spec.tenant}/{spec.id}", spec.nodes, spec.slots, spec.lease_id)
                    self._lay(writer, spec, chosen)

    def _lay(self, writer: Writer, spec: JobSpec, nodes: builtins.list[str]) -> None:
        writer.append({"do": "place", "tenant": spec.tenant, "id": spec.id, "nodes": [*nodes], "at": self._places.now()})

    def _place(self, tenant: str, job_id: str) -> Place | None:
        """Where a job lies; a task of an array lies where the array does."""
        log = self._log.read()
        if len(log) < self._seen:
            self._laid, self._seen = {}, 0
        for each in log[self._seen :]:
            self._laid[str(each["tenant"]), str(each["id"])] = Place(names(each, "nodes"), float(str(each["at"])))
        self._seen = len(log)
        return self._laid.get((tenant, job_id)) or self._laid.get((tenant, job_id.rpartition(".")[0]))

    def _carry_out(self, job: Job) -> bool:
        """End a job whose machine failed, and start it again elsewhere. Returns whether it was."""
        if not self._failed(job):
            return False
        with self._log.writing() as writer:
            why = self._failed(job)
            folder = JobFolder(self.jobs_dir / job.tenant / job.id)
            if not why or read_job(folder).state not in {JobState.RUNNING, JobState.LOST}:
                return False
            spec = read_spec(folder)
            chosen = self._places.choose(f"{job.tenant}/{job.id}/{self._places.now()}", spec.nodes, [], spec.lease_id)
            kill_runner(folder)
            folder.say(f"simulated: {why}; the job goes on on {', '.join(chosen)}")
            # A cut-off here leaves a lost job on a failed machine: the next look does the same again.
            asyncio.run(self._local.retry(job.id, job.tenant))
            self._lay(writer, spec, chosen)
        return True

    def _failed(self, job: Job) -> str:
        place = self._place(job.tenant, job.id)
        return next((why for node in place.nodes if (why := self._places.failed(node, place.since))), "") if place else ""

    async def _told(self, job: Job) -> Job:
        place = await asyncio.to_thread(self._place, job.tenant, job.id)
        nodes = [] if place is None or job.state is JobState.PENDING else place.nodes
        return job.model_copy(update={"nodes": nodes, "engine_id": f"simulated/{self._pool.name}", "pool": self._pool.name})
