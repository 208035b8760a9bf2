"""How a job on AWS stands: the bucket's records and the engine's word put together."""

from collections import Counter
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from factory_infra.errors import NotFound
from factory_infra.iaas.jobs.carrier.carrying import Intent
from factory_infra.iaas.jobs.models import Job, JobFailure, JobState, Waiting
from factory_infra.iaas.jobs.providers.aws_engine import Seen
from factory_infra.iaas.jobs.providers.aws_records import Claim, Record, last_progress

FORGET_SECONDS = 120.0
"""An engine may not show what it has just taken for so long; after that, what it does not know is lost."""
CANCELLED = JobFailure(code="cancelled", reason="The job was cancelled.")
LOST = JobFailure(
    code="job_lost", reason="The engine knows nothing of the job any more, and it left no end.", remedy="Submit it again under its id."
)


class Standing(BaseModel):
    """Everything that is known of a job, or of a task of an array."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pool: str
    intent: Intent
    claim: Claim | None
    index: int | None = None
    engine_id: str = ""
    seen: Seen | None = None
    status: Record = {}
    exit: Record | None = None
    cancelled: bool = False
    hosts: list[str] = []

    @property
    def attempt(self) -> int:
        """The newest start of the program; 0 before the first."""
        told = self.status.get("attempt")
        return told if isinstance(told, int) else 0


def job_of(standing: Standing) -> Job:
    """The job, or the task, as everybody sees it."""
    spec, seen = standing.intent.spec, standing.seen
    name = spec.id if standing.index is None else f"{spec.id}.{standing.index}"
    percent, stage = last_progress(str(standing.status.get("progress", "")))
    job = Job(id=name, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, percent=percent, stage=stage, pool=standing.pool)
    job.engine_id, job.attempt, job.nodes = standing.engine_id, max(standing.attempt, 1), standing.hosts
    if seen is None:
        _unseen(job, standing)
    elif seen.state == "pending":
        job.waiting = _waiting(standing, seen)
    elif seen.state == "running":
        job.state, job.started_at = JobState.RUNNING, seen.started_at
    else:
        _ended(job, standing, seen)
    if spec.array and standing.index is None:
        _counted(job, standing)
    return job


def _unseen(job: Job, standing: Standing) -> None:
    """The engine does not know it: not yet, or not any more."""
    if standing.exit is not None:
        seen = Seen(state="failed" if standing.exit.get("failure") else "succeeded")
        _ended(job, standing, seen)
    elif standing.cancelled:
        job.state, job.failure = JobState.CANCELLED, CANCELLED
    elif standing.claim is not None and standing.claim.engine_id and standing.claim.engine_age_seconds > FORGET_SECONDS:
        job.state, job.failure = JobState.LOST, LOST
    else:
        job.waiting = Waiting(
            code="SUBMITTING", reason="The job is on its way to the engine.", remedy="Wait, or submit it again under its id."
        )


def _waiting(standing: Standing, seen: Seen) -> Waiting | None:
    """Why it does not run; what it waits for is named."""
    after = standing.intent.spec.after
    if seen.waiting is not None and seen.waiting.code == "DEPENDENCY" and after:
        return seen.waiting.model_copy(
            update={"reason": f"It waits until {', '.join(after)} {'has' if len(after) == 1 else 'have'} succeeded."}
        )
    return seen.waiting


def _ended(job: Job, standing: Standing, seen: Seen) -> None:
    """Fill in the end: the carrier's record says more than the engine, where there is one."""
    record = standing.exit or {}
    job.started_at, job.finished_at = seen.started_at or moment(record, "started_at"), moment(record, "finished_at") or seen.finished_at
    code = record.get("exit_code") if record else seen.exit_code
    job.exit_code = code if isinstance(code, int) else None
    if seen.state == "succeeded":
        job.state, job.percent = JobState.SUCCEEDED, 100.0
        return
    told = record.get("failure")
    if standing.cancelled:
        job.state, job.failure = JobState.CANCELLED, CANCELLED
        return
    job.state = JobState.FAILED
    job.failure = JobFailure.model_validate(told) if told and not _engine_first(seen) else seen.failure
    job.failure = job.failure or JobFailure(code="job_failed", reason="The job failed.", remedy="Read the job's log.")


def _engine_first(seen: Seen) -> bool:
    """Whether the engine ended it for a reason that the carrier could not know."""
    return seen.failure is not None and seen.failure.code in {"dependency_failed", "host_lost"}


def _counted(job: Job, standing: Standing) -> None:
    """An array's tasks by state, and its failure in numbers."""
    seen = standing.seen
    counts: Counter[str] = Counter(seen.tasks if seen is not None else {})
    if standing.intent.spec.array == 1 or not counts:
        counts = Counter({job.state.value: standing.intent.spec.array})
    elif standing.cancelled and job.state is JobState.CANCELLED:
        counts["cancelled"] += counts.pop("failed", 0)
    job.tasks = {state: count for state, count in counts.items() if count}
    if job.state is JobState.FAILED and (job.failure is None or job.failure.code != "dependency_failed"):
        failed = counts["failed"]
        reason = f"{failed} of {standing.intent.spec.array} tasks failed."
        job.failure = JobFailure(code="job_failed", reason=reason, remedy="Look at the tasks, and read their logs.")


def moment(record: Record, name: str) -> datetime | None:
    """A moment of a record."""
    value = record.get(name)
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def unknown_job(job_id: str) -> NotFound:
    """What is said of a job that is not there, or another team's."""
    return NotFound(f"There is no job {job_id[:128]!r}.", remedy="List the jobs to see those that exist.", code="job_unknown")
