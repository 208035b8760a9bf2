"""Stand-ins for what surrounds a study: jobs that do as they are told, one lease, runs that are remembered."""

import builtins
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from factory_infra.database import Database, utcnow
from factory_infra.errors import NotFound, Unavailable
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState, LogChunk
from factory_infra.iaas.leases.models import Lease, LeaseState
from factory_infra.paas.training.studies.around import Around
from factory_infra.paas.training.studies.models import Study, StudySpec, Trial
from factory_infra.paas.training.studies.service import Studies
from factory_infra.paas.training.studies.turning import StudyTurns

TEAM = "vision"


def lease_of(slots: int = 4, *, seconds: int = 3600, state: LeaseState = LeaseState.ACTIVE) -> Lease:
    """A lease of so many cores."""
    now = utcnow()
    return Lease(
        id="lease-1",
        tenant=TEAM,
        pool="local",
        slot_kind="cpu",
        slots=list(range(slots)),
        purpose="",
        plan_id="",
        state=state,
        granted_at=now,
        expires_at=now + timedelta(seconds=seconds),
        ended_at=None,
    )


@dataclass
class Leases:
    """One lease."""

    lease: Lease = field(default_factory=lease_of)

    async def get(self, tenant: str, lease: str) -> Lease:
        """Return it to its team."""
        if tenant != self.lease.tenant or lease != self.lease.id:
            raise NotFound("There is no such lease.", code="lease_unknown")
        return self.lease


@dataclass
class Jobs:
    """Jobs that change only when the test says so."""

    specs: dict[str, JobSpec] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    logs_of: dict[str, str] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    away: bool = False

    async def submit(self, spec: JobSpec) -> Job:
        """Start it, once."""
        if self.away:
            raise Unavailable("The engine is away.")
        if spec.id not in self.jobs or self.jobs[spec.id].state is JobState.LOST:
            self.submitted.append(spec.id)
            self.specs[spec.id] = spec
            self.jobs[spec.id] = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.RUNNING, started_at=utcnow())
        return self.jobs[spec.id]

    async def get(self, job_id: str, tenant: str) -> Job:
        """Its present state."""
        if job_id not in self.jobs:
            raise NotFound("There is no such job.", code="job_unknown")
        return self.jobs[job_id]

    async def list(self, tenant: str | None = None) -> builtins.list[Job]:
        """All."""
        return list(self.jobs.values())

    async def logs(self, job_id: str, tenant: str, offset: int = 0, limit: int = 65536) -> LogChunk:
        """Its log."""
        return LogChunk(text=self.logs_of.get(job_id, ""), next_offset=0, complete=True)

    async def tail(self, job_id: str, tenant: str, limit: int = 8192) -> str:
        """Its log's end."""
        return self.logs_of.get(job_id, "")

    async def result(self, job_id: str, tenant: str, name: str) -> str | None:
        """A file."""
        return self.files.get((job_id, name))

    async def cancel(self, job_id: str, tenant: str) -> Job:
        """End it."""
        job = await self.get(job_id, tenant)
        if not job.state.final:
            self.cancelled.append(job_id)
            self.end(job_id, JobState.CANCELLED)
        return self.jobs[job_id]

    def end(self, job_id: str, state: JobState = JobState.SUCCEEDED, value: float | None = None) -> None:
        """Let a job end."""
        self.jobs[job_id] = self.jobs[job_id].model_copy(update={"state": state, "finished_at": utcnow()})
        if value is not None:
            self.files[job_id, "result.json"] = f'{{"value": {value}}}'

    def report(self, job_id: str, *values: float) -> None:
        """Let a job report."""
        lines = [f'{{"step": {step}, "value": {value}}}' for step, value in enumerate(values, 1)]
        self.files[job_id, "reports.jsonl"] = "\n".join(lines)

    @property
    def running(self) -> builtins.list[str]:
        """Jobs that have not ended."""
        return [name for name, job in self.jobs.items() if not job.state.final]


@dataclass
class Runs:
    """Remembers what was tracked."""

    begun: list[int] = field(default_factory=list)
    ended: dict[int, Trial] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    away: bool = False

    async def begin(self, study: Study) -> tuple[str, str]:
        """The study's run."""
        self._answer()
        return "a" * 32, "http://tracking/run"

    async def begin_trial(self, study: Study, trial: Trial) -> str:
        """A trial's run."""
        self._answer()
        self.begun.append(trial.number)
        return f"{trial.number:032x}"

    async def end_trial(self, study: Study, trial: Trial) -> None:
        """Its end."""
        self._answer()
        self.ended[trial.number] = trial

    async def end(self, study: Study, best: Trial | None) -> None:
        """The study's end."""
        self._answer()
        self.closed.append(study.id)

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("The tracking server is away.")


@dataclass
class Bench:
    """A study's surroundings, all of which a test may turn."""

    database: Database
    jobs: Jobs = field(default_factory=Jobs)
    leases: Leases = field(default_factory=Leases)
    runs: Runs = field(default_factory=Runs)
    pythons: dict[str, Path] = field(default_factory=dict)

    @property
    def studies(self) -> Studies:
        """Starts and reads."""
        return Studies(self.database, self.leases)

    @property
    def turns(self) -> StudyTurns:
        """A process that turns: each is a new one."""
        around = Around(
            jobs=self.jobs,
            leases=self.leases,
            runs=self.runs,
            rows=self.rows,
            python=lambda name, pool: self.pythons.get(name),
            mlflow_url="http://tracking",
            file_gib=1.0,
        )
        return StudyTurns(self.database, around)

    async def rows(self, tenant: str, set_id: str) -> str:
        """A training set."""
        return '{"digest": "d", "rows": [[1.0]], "labels": ["a"]}'

    async def start(self, spec: StudySpec, key: str = "k") -> str:
        """Begin a study on the lease and return its id."""
        return (await self.studies.start(TEAM, spec, self.leases.lease.id, key, by="ann")).id

    async def trials(self, study: str) -> list[Trial]:
        """All trials."""
        return await self.studies.trials(study, TEAM, limit=500)


def spec_of(**changes: object) -> StudySpec:
    """A small study of a command."""
    given: dict[str, object] = {
        "name": "search",
        "space": {"x": {"kind": "float", "low": -1.0, "high": 1.0}, "n": {"kind": "int", "low": 1, "high": 9}},
        "program": {"kind": "command", "argv": ["trial", "--x={x}", "--n", "{n}"]},
        "bounds": {"trials_max": 6, "parallel": 2},
        "pruner": {"kind": "none"},
    }
    return StudySpec.model_validate(given | changes)
