"""What surrounds a study's turn: jobs, leases, tracking, training sets and environments."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from factory_infra.database import utcnow
from factory_infra.errors import InvalidInput
from factory_infra.iaas.jobs.interface import JobFiles, Jobs, JobTail
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.leases.models import Lease
from factory_infra.paas.catalog.lineage import Lineage, node
from factory_infra.paas.catalog.models import SHARED
from factory_infra.paas.training.programs.reporting import REPORTS_FILE
from factory_infra.paas.training.spec import SET_PREFIX
from factory_infra.paas.training.studies.models import CommandProgram, Report, Study, TabularProgram, Trial
from factory_infra.paas.training.studies.programs import Place, trial_job
from factory_infra.paas.training.studies.reports import RESULT_FILE, marked, parsed

LOG_BYTES = 65_536
GRACE_SECONDS = 5.0
"""A job may outlive its study's time by this; then its own limit ends it, also where no turn is taken."""
SECONDS_MIN = 1.0


class TrialJobs(Jobs, JobFiles, JobTail, Protocol):
    """What a study asks of jobs."""


class TrialLeases(Protocol):
    """What a study asks of leases."""

    async def get(self, tenant: str, lease: str) -> Lease:
        """Return a lease. Raises NotFound."""
        ...


class TrialRuns(Protocol):
    """What a study asks of its tracking. Everything may be done again."""

    async def begin(self, study: Study) -> tuple[str, str]:
        """Return the study's run and where a person sees it."""
        ...

    async def begin_trial(self, study: Study, trial: Trial) -> str:
        """Return the trial's run."""
        ...

    async def end_trial(self, study: Study, trial: Trial) -> None:
        """Write down what a trial came to."""
        ...

    async def end(self, study: Study, best: Trial | None) -> None:
        """Write down what a study came to."""
        ...


@dataclass(frozen=True)
class Around:
    """What a turn works with.

    Args:
        jobs: runs trials in any pool.
        leases: whose slots they run on.
        runs: where they are tracked.
        rows: the rows of a training set of a team, as a job reads them.
        python: the interpreter of a training environment in a pool; None where it is not there.
        mlflow_url: where programs track.
        file_gib: how large a trial's files may grow.
        lineage: where it is noted what came of what; nowhere if left out.
    """

    jobs: TrialJobs
    leases: TrialLeases
    runs: TrialRuns
    rows: Callable[[str, str], Awaitable[str]]
    python: Callable[[str, str], Path | None]
    mlflow_url: str
    file_gib: float
    lineage: Lineage | None = None

    async def remember(self, study: Study, best: Trial | None) -> None:
        """Note in the lineage what the study read, and which run came out of it. Idempotent."""
        program = study.spec.program
        if self.lineage is None:
            return
        here = node("study", study.id)
        if isinstance(program, TabularProgram):
            set_id = program.dataset.removeprefix(SET_PREFIX)
            data = node("training_set", set_id) if program.dataset.startswith(SET_PREFIX) else node("dataset", SHARED, program.dataset)
            await self.lineage.link(study.tenant, data, here, "read")
        if best is not None and best.run_id:
            await self.lineage.link(study.tenant, here, node("run", best.run_id), "trained")

    async def job(self, study: Study, trial: Trial, deadline: datetime) -> JobSpec:
        """The job of a trial, on its slots of the lease. Raises InvalidInput, NotFound, Conflict for what it can never be."""
        lease, program = await self.leases.get(study.tenant, study.lease_id), study.spec.program
        left = (deadline - utcnow()).total_seconds() + GRACE_SECONDS
        place = Place(
            lease=lease,
            seconds=max(min(float(study.spec.bounds.trial_seconds_max), left), SECONDS_MIN),
            file_gib=self.file_gib,
            mlflow_url=self.mlflow_url,
            rows=await self._rows(study.tenant, program) if isinstance(program, TabularProgram) else None,
            python=self.python(program.python, lease.pool) if isinstance(program, CommandProgram) and program.python else None,
        )
        return trial_job(study, trial, place)

    async def reports(self, study: Study, trial: Trial, job: Job) -> list[Report]:
        """What a trial reported so far: its file, and where that cannot be read yet the lines of its log. What was known stays."""
        file = await self._file(study, job, REPORTS_FILE)
        found = parsed(file.splitlines()) if file else []
        if not found:
            found = parsed(marked(await self.jobs.tail(job.id, study.tenant, LOG_BYTES)))
        known = {each.step: each for each in trial.reports} | {each.step: each for each in found}
        return [known[step] for step in sorted(known)]

    async def result(self, study: Study, job: Job) -> str | None:
        """What a job left that succeeded."""
        return await self._file(study, job, RESULT_FILE) if job.state is JobState.SUCCEEDED else None

    async def _file(self, study: Study, job: Job, name: str) -> str | None:
        try:
            return await self.jobs.result(job.id, study.tenant, name)
        except InvalidInput as error:
            if error.error_code != "not_offered":
                raise
            return None

    async def _rows(self, tenant: str, program: TabularProgram) -> str | None:
        if not program.dataset.startswith(SET_PREFIX):
            return None
        return await self.rows(tenant, program.dataset.removeprefix(SET_PREFIX))
