"""How a job stands, from Slurm's row and the script's notes."""

from datetime import UTC, datetime

import pytest

from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm_engine import Row
from factory_infra.iaas.jobs.providers.slurm_files import Exit, Start, Traces
from factory_infra.iaas.jobs.providers.slurm_reading import Facts, array_of, job_of

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SPEC = JobSpec(id="job", tenant="vision", name="a", argv=["train"])
STARTED = (Start(NOW, "n[1-2]"),)
SUCCESS, FAILURE = Exit(0, NOW, False), Exit(3, NOW, False)


def row(state: str, reason: str = "None", **fields: object) -> Row:
    return Row(id="17", name="vision/job", user="root", state=state, reason=reason, nodes="n[1-2]", ended_at=NOW, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "state", "code"),
    [
        (Facts(row("PENDING", "Priority")), JobState.PENDING, ""),
        (Facts(row("REQUEUED"), Traces(STARTED)), JobState.PENDING, ""),
        (Facts(row("RUNNING"), Traces(STARTED)), JobState.RUNNING, ""),
        (Facts(row("SUSPENDED"), Traces(STARTED)), JobState.RUNNING, ""),
        (Facts(row("COMPLETING"), Traces(STARTED)), JobState.RUNNING, ""),
        (Facts(row("COMPLETING"), Traces(STARTED, FAILURE)), JobState.RUNNING, ""),
        (Facts(row("COMPLETING"), Traces(STARTED, SUCCESS)), JobState.SUCCEEDED, ""),
        (Facts(row("COMPLETED"), Traces(STARTED)), JobState.SUCCEEDED, ""),
        (Facts(row("OUT_OF_MEMORY"), Traces(STARTED, SUCCESS)), JobState.SUCCEEDED, ""),
        (Facts(row("PENDING"), Traces(STARTED, SUCCESS)), JobState.SUCCEEDED, ""),
        (Facts(None, Traces(STARTED, SUCCESS)), JobState.SUCCEEDED, ""),
        (Facts(row("FAILED"), Traces(STARTED, FAILURE)), JobState.FAILED, "job_failed"),
        (Facts(None, Traces(STARTED, FAILURE)), JobState.FAILED, "job_failed"),
        (Facts(row("OUT_OF_MEMORY"), Traces(STARTED, Exit(137, NOW, False))), JobState.FAILED, "job_memory"),
        (Facts(row("FAILED"), Traces(STARTED, Exit(1, NOW, False), tail="MemoryError")), JobState.FAILED, "job_memory"),
        (Facts(row("TIMEOUT"), Traces(STARTED)), JobState.FAILED, "job_timeout"),
        (Facts(row("FAILED"), Traces(STARTED, Exit(143, NOW, True))), JobState.FAILED, "job_timeout"),
        (Facts(row("DEADLINE")), JobState.FAILED, "job_deadline"),
        (Facts(row("FAILED"), Traces(STARTED, Exit(74, NOW, False))), JobState.FAILED, "storage_full"),
        (Facts(row("FAILED"), Traces(STARTED, Exit(120, NOW, False), log_bytes=3 * 1024**3)), JobState.FAILED, "storage_full"),
        (Facts(row("FAILED"), Traces(STARTED, Exit(127, NOW, False))), JobState.FAILED, "program_unknown"),
        (Facts(row("CANCELLED"), Traces(STARTED)), JobState.CANCELLED, "cancelled"),
        (Facts(row("FAILED"), Traces(STARTED), cancelled=True), JobState.CANCELLED, "cancelled"),
        (Facts(row("NODE_FAIL"), Traces(STARTED)), JobState.LOST, "job_lost"),
        (Facts(row("PREEMPTED"), Traces(STARTED)), JobState.LOST, "job_preempted"),
        (Facts(None), JobState.LOST, "job_lost"),
    ],
)
def test_a_job_stands_as_slurm_and_its_script_say(facts: Facts, state: JobState, code: str) -> None:
    job = job_of(SPEC, facts, engine_id="17", pool="hpc")
    assert job.state is state and (job.failure.code if job.failure else "") == code
    assert (job.waiting is not None) == (state is JobState.PENDING)
    assert job.failure is None or code == "cancelled" or (job.failure.reason and job.failure.remedy)


def test_each_start_counts_as_an_attempt() -> None:
    job = job_of(SPEC, Facts(row("RUNNING"), Traces(STARTED * 3)), engine_id="17", pool="hpc")
    assert (job.attempt, job.nodes, job.started_at) == (3, ["n1", "n2"], NOW)


def test_one_whose_predecessor_failed_never_began() -> None:
    after = SPEC.model_copy(update={"after": ["first"]})
    job = job_of(after, Facts(row("CANCELLED")), engine_id="17", pool="hpc")
    assert job.state is JobState.FAILED and job.failure is not None and job.failure.code == "dependency_failed"
    assert "first" in job.failure.reason


@pytest.mark.parametrize(
    ("states", "state", "words"),
    [
        ([JobState.PENDING] * 2, JobState.PENDING, ""),
        ([JobState.SUCCEEDED, JobState.PENDING], JobState.RUNNING, ""),
        ([JobState.SUCCEEDED] * 2, JobState.SUCCEEDED, ""),
        ([JobState.SUCCEEDED, JobState.FAILED], JobState.FAILED, "1 of 2 tasks failed."),
        ([JobState.SUCCEEDED, JobState.CANCELLED], JobState.CANCELLED, "1 of 2 tasks were cancelled."),
        ([JobState.LOST, JobState.FAILED], JobState.LOST, "1 of 2 tasks were lost."),
    ],
)
def test_an_array_stands_as_its_tasks_do(states: list[JobState], state: JobState, words: str) -> None:
    job = array_of(SPEC, dict(enumerate(states)), engine_id="17", pool="hpc")
    assert job.state is state and (job.failure.reason if job.failure else "") == words
    assert sum(job.tasks.values()) == 2
