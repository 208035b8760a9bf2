"""How a job stands: what Slurm says of it, together with what its script noted. Pure decisions; nothing is asked here."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm_engine import STATES_RUNNING, STATES_WAITING, Row, expanded
from factory_infra.iaas.jobs.providers.slurm_files import Exit, Traces
from factory_infra.iaas.jobs.providers.slurm_words import ENDS, LOST, Words, waiting
from factory_infra.iaas.jobs.providers.verdict import EXIT_STORAGE, MEMORY_WORDS, STORAGE_WORDS

KIB, MEBI = 1024, 1024**2
OOM_WORDS = "oom-kill event"
SIGNALS_FROM = 128
EXIT_FILE_SIZE = SIGNALS_FROM + 25
EXIT_NOT_RUNNABLE, EXIT_NO_PROGRAM = 126, 127


@dataclass(frozen=True)
class Facts:
    """Everything that is known of a job or of a task of an array."""

    row: Row | None = None
    traces: Traces = field(default_factory=Traces)
    cancelled: bool = False
    claimed: bool = False

    @property
    def waits(self) -> bool:
        """Whether it is queued, for the first time or again. One that has succeeded has nothing left to do."""
        return self.row is not None and self.row.state in STATES_WAITING and not self.succeeded

    @property
    def succeeded(self) -> bool:
        """Whether the program said so."""
        return self.traces.exit is not None and self.traces.exit.code == 0

    @property
    def runs(self) -> bool:
        """Whether it runs. One that Slurm is clearing away has ended if it succeeded; why another failed Slurm says when it is done."""
        if self.row is None or self.row.state not in STATES_RUNNING:
            return False
        return not (self.row.state == "COMPLETING" and self.succeeded)


def job_of(spec: JobSpec, facts: Facts, *, engine_id: str, pool: str) -> Job:
    """Say how a job stands that is no array, or how a task of one does."""
    traces, row = facts.traces, facts.row
    starts = traces.starts
    job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, pool=pool, engine_id=engine_id)
    job.percent, job.stage, job.attempt = traces.percent, traces.stage, max(len(starts), 1)
    if facts.waits and row is not None:
        job.waiting = waiting(row.reason, before=tuple(spec.after), starts_at=told(row.starts_at))
        return job
    job.started_at = starts[-1].at if starts else started(row)
    job.nodes = expanded(row.nodes if row is not None and row.nodes else starts[-1].nodes if starts else "")
    if facts.runs:
        job.state = JobState.RUNNING
        return job
    end(job, spec, facts)
    return job


def started(row: Row | None) -> datetime | None:
    """When Slurm started it; one that was cancelled in the queue never did."""
    return row.starts_at if row is not None and row.nodes not in {"", "None assigned"} else None


def told(moment: datetime | None) -> str:
    """Say a moment."""
    return "" if moment is None else f"at {moment:%Y-%m-%d %H:%M} UTC"


def end(job: Job, spec: JobSpec, facts: Facts) -> None:
    """Fill in how a job ended that neither waits nor runs."""
    row, said = facts.row, facts.traces.exit
    if row is None and said is None:
        job.state, job.failure = JobState.LOST, LOST
        return
    job.finished_at = said.at if said is not None else row.ended_at if row is not None and row.ended_at else datetime.now(UTC)
    job.exit_code = code_of(row, said)
    if succeeded(row, said):
        job.state, job.percent, job.exit_code = JobState.SUCCEEDED, 100.0, 0
        return
    job.state, job.failure = ending(spec, facts)


def succeeded(row: Row | None, said: Exit | None) -> bool:
    """Whether the program did what it should: its own word counts before Slurm's."""
    return said.code == 0 if said is not None else row is not None and row.state == "COMPLETED"


def code_of(row: Row | None, said: Exit | None) -> int | None:
    """The exit code of the program; None where a signal ended it."""
    code = said.code if said is not None else row.exit_code if row is not None and not row.signal else None
    return code if code is not None and code < SIGNALS_FROM else None


def ending(spec: JobSpec, facts: Facts) -> tuple[JobState, JobFailure]:
    """The state and the words for a job that did not succeed."""
    row, said = facts.row, facts.traces.exit
    known = ENDS.get(row.state if row is not None else "FAILED", ENDS["FAILED"])
    if facts.cancelled:
        known = ENDS["CANCELLED"]
    elif known.state is JobState.CANCELLED and spec.after and not facts.traces.starts:
        return JobState.FAILED, dependency_failed(spec)
    elif said is not None and said.timed_out:
        known = ENDS["TIMEOUT"]
    if known.code:
        return known.state, JobFailure(code=known.code, reason=bounded(known.code, known.reason, spec), remedy=known.remedy)
    return JobState.FAILED, failed(spec, facts)


def failure_of(state: str) -> JobFailure:
    """The words for a final state of Slurm."""
    known = ENDS[state]
    return JobFailure(code=known.code, reason=known.reason, remedy=known.remedy)


def dependency_failed(spec: JobSpec) -> JobFailure:
    """The words for a job that never began because one before it did not succeed."""
    before = ", ".join(spec.after)
    return JobFailure(
        code="dependency_failed",
        reason=f"It never began: not all of the jobs before it succeeded ({before}).",
        remedy="Mend the job before it, then submit both again.",
    )


def bounded(code: str, reason: str, spec: JobSpec) -> str:
    """Name the limit that was reached."""
    if code == "job_memory":
        return f"The job needed more than its {spec.limits.memory_gib:g} GiB of memory."
    if code == "job_timeout" and spec.limits.seconds is not None and not spec.service:
        return f"The job ran longer than its {spec.limits.seconds:g} seconds."
    return reason


def failed(spec: JobSpec, facts: Facts) -> JobFailure:
    """Say why a program failed, from its exit code and the end of its log."""
    row, said, tail = facts.row, facts.traces.exit, facts.traces.tail
    code = said.code if said is not None else row.exit_code if row is not None else None
    number = row.signal if said is None and row is not None else max((code or 0) - SIGNALS_FROM, 0)
    full = facts.traces.log_bytes >= int(spec.limits.file_gib * MEBI) * KIB
    if full or code in {EXIT_STORAGE, EXIT_FILE_SIZE} or any(word in tail for word in STORAGE_WORDS):
        reason = f"The job could not write: the disk is full, or a file reached its limit of {spec.limits.file_gib:g} GiB."
        return JobFailure(code="storage_full", reason=reason, remedy="Free space on the disk, or write less; then ask for the job again.")
    if any(word in tail for word in (*MEMORY_WORDS, OOM_WORDS)):
        memory = ENDS["OUT_OF_MEMORY"]
        return JobFailure(code=memory.code, reason=bounded(memory.code, "", spec), remedy=memory.remedy)
    special = SPECIAL.get(code or 0)
    if special is not None and not number:
        return JobFailure(
            code="program_unknown",
            reason=special.reason.format(program=spec.argv[0][:80]),
            remedy=special.remedy,
        )
    how = f"was ended by signal {number}" if number else f"ended with code {code}" if code is not None else "failed"
    last = next((line for line in reversed(tail.splitlines()) if line.strip()), "")
    return JobFailure(code="job_failed", reason=f"The job {how}{': ' + last[:300] if last else '.'}", remedy="Read the job's log.")


SPECIAL: Mapping[int, Words] = {
    EXIT_NOT_RUNNABLE: Words("The program {program!r} cannot be run on the node.", "Check its permissions there."),
    EXIT_NO_PROGRAM: Words("There is no program {program!r} on the node.", "Name one that the nodes have, by its whole path."),
}


def array_of(spec: JobSpec, tasks: Mapping[int, JobState], *, engine_id: str, pool: str) -> Job:
    """Say how an array stands, from the states of its tasks."""
    counts = Counter(tasks.values())
    job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.RUNNING, pool=pool, engine_id=engine_id)
    job.tasks = {state.value: counts[state] for state in JobState if counts[state]}
    final = sum(count for state, count in counts.items() if state.final)
    job.percent = round(100.0 * final / max(len(tasks), 1), 1)
    if counts[JobState.PENDING] == len(tasks):
        job.state, job.percent = JobState.PENDING, None
    elif final == len(tasks):
        job.state, job.failure = array_end(counts)
    return job


def array_end(counts: Mapping[JobState, int]) -> tuple[JobState, JobFailure | None]:
    """The end of an array whose tasks have all ended: one that must be submitted again comes first, then failures."""
    total = sum(counts.values())
    for state, code, words, remedy in (
        (JobState.LOST, "job_lost", "were lost", "Submit it again under its id: tasks that succeeded are not run again."),
        (JobState.FAILED, "job_failed", "failed", "Read the logs of the tasks; a retry runs those again that failed."),
        (JobState.CANCELLED, "cancelled", "were cancelled", ""),
    ):
        if counts.get(state):
            return state, JobFailure(code=code, reason=f"{counts[state]} of {total} tasks {words}.", remedy=remedy)
    return JobState.SUCCEEDED, None
