"""An engine in memory for tests of what stands above engines: it forgets, does not answer, and loses answers when told to."""

import builtins

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, LineshaftError, NotFound
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk


class Engine:
    """Jobs that run until a test ends them."""

    def __init__(self) -> None:
        self.specs: dict[tuple[str, str], JobSpec] = {}
        self.jobs: dict[tuple[str, str], Job] = {}
        self.starts = 0
        self.fault: LineshaftError | None = None
        self.lost_answer: LineshaftError | None = None

    def end(self, job_id: str, tenant: str, state: JobState) -> None:
        """End a job."""
        self.jobs[tenant, job_id] = self.jobs[tenant, job_id].model_copy(update={"state": state, "finished_at": utcnow()})

    async def submit(self, spec: JobSpec) -> Job:
        self._answer()
        if (spec.tenant, spec.id) not in self.jobs:
            self.starts += 1
            self.specs[spec.tenant, spec.id] = spec
            job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.RUNNING, started_at=utcnow(), engine_id="7")
            self.jobs[spec.tenant, spec.id] = job
        if self.lost_answer is not None:
            lost, self.lost_answer = self.lost_answer, None
            raise lost
        return self.jobs[spec.tenant, spec.id]

    async def get(self, job_id: str, tenant: str) -> Job:
        self._answer()
        if (tenant, job_id) not in self.jobs:
            raise NotFound(f"There is no job {job_id}.", code="job_unknown")
        return self.jobs[tenant, job_id]

    async def list(self, tenant: str | None = None) -> builtins.list[Job]:
        self._answer()
        return [job for job in self.jobs.values() if tenant in (None, job.tenant)]

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        job = await self.get(job_id, tenant)
        return LogChunk(text="hello", next_offset=5, complete=job.state.final)

    async def cancel(self, job_id: str, tenant: str) -> Job:
        if not (await self.get(job_id, tenant)).state.final:
            self.end(job_id, tenant, JobState.CANCELLED)
        return self.jobs[tenant, job_id]

    def _answer(self) -> None:
        if self.fault is not None:
            raise self.fault


class RetryingEngine(Engine):
    """One that can start a job again."""

    async def retry(self, job_id: str, tenant: str) -> Job:
        if not self.jobs[tenant, job_id].state.final:
            raise Conflict("It runs.")
        again = self.jobs[tenant, job_id].model_copy(update={"state": JobState.RUNNING, "finished_at": None, "attempt": 2})
        self.jobs[tenant, job_id] = again
        return again
