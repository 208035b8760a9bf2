"""From what the cluster says of a job to how the job stands. Pure: asks nobody."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from factory_infra.iaas.jobs.models import Job, JobFailure, JobState
from factory_infra.iaas.jobs.providers.kubernetes_objects import Pod, Seen
from factory_infra.iaas.jobs.providers.kubernetes_words import CANCELLED, EXIT_NO_MORE, LOST, PREPARE, failure_of, pending, waiting_of

SUBMIT_SECONDS = 60.0
NODES_SHOWN = 16
STATES = {"Succeeded": JobState.SUCCEEDED, "Failed": JobState.FAILED, "Running": JobState.RUNNING}


def read_job(seen: Seen) -> Job:
    """Say how a job stands: as its record says it ended, else as the engine says."""
    record = seen.record
    job = base(seen)
    if record.end is not None:
        kept = {name: getattr(record.end, name) for name in ("state", "started_at", "exit_code", "failure", "attempt", "nodes", "tasks")}
        percent = 100.0 if record.end.state is JobState.SUCCEEDED else job.percent
        return job.model_copy(update=kept | {"finished_at": record.end.at, "percent": percent})
    job.attempt = max(attempt_of(seen), 1)
    job.percent, job.stage = progress(seen.out.get("t0.progress", ""))
    job.started_at = min((pod.started_at for pod in seen.pods if pod.started_at), default=None)
    job.nodes = sorted({pod.spec.node_name for pod in seen.pods if pod.spec.node_name and pod.started_at})[:NODES_SHOWN]
    if record.nodes > 1:
        job.nodes = [pod.spec.node_name for pod in latest_of_each(seen) if pod.spec.node_name][:NODES_SHOWN]
    if seen.job is None:
        return without_engine(job, seen)
    if seen.job.succeeded or seen.job.failed:
        return ended(job, seen)
    return going_on(job, seen)


def base(seen: Seen) -> Job:
    """What is always known of it."""
    record = seen.record
    name = seen.job.metadata.name if seen.job else ""
    return Job(id=record.id, tenant=record.tenant, name=record.name, state=JobState.PENDING, engine_id=name)


def without_engine(job: Job, seen: Seen) -> Job:
    """A job that waits for others, that is being submitted, or whose object somebody removed."""
    record = seen.record
    if record.after and not record.engine_uid:
        names = ", ".join(record.after[:5]) + (" …" if len(record.after) > 5 else "")
        remedy = "It starts when they have succeeded; cancel it if they never will."
        job.waiting = pending("Dependency", f"It waits for {names}.", remedy)
    elif not record.engine_uid and datetime.now(UTC) - record.asked_at < timedelta(seconds=SUBMIT_SECONDS):
        job.waiting = pending("Submitting", "It is being handed to the cluster.", "It starts in a moment.")
    else:
        job.state, job.failure = JobState.LOST, LOST
    return job


def going_on(job: Job, seen: Seen) -> Job:
    """Running as soon as its program runs somewhere; else pending, with the reason."""
    if seen.record.array:
        job.tasks = count_tasks(seen)
    if any(pod.main.running or pod.main.terminated for pod in seen.pods if not pod.ended) or job.tasks.get("running"):
        job.state = JobState.RUNNING
    else:
        job.waiting = waiting_of(seen)
    return job


def ended(job: Job, seen: Seen) -> Job:
    """How it ended, from the engine's verdict and the pods."""
    assert seen.job is not None, "the engine has spoken"  # noqa: S101 (the caller has looked)
    good, bad = seen.job.succeeded, seen.job.failed
    job.finished_at = max((at for pod in seen.pods if (at := finished_at(pod))), default=None)
    verdict = good or bad
    job.finished_at = job.finished_at or (verdict.last_transition_time if verdict else None) or datetime.now(UTC)
    if seen.record.array:
        job.tasks = count_tasks(seen)
    if good is not None:
        job.state, job.percent, job.exit_code = JobState.SUCCEEDED, 100.0, 0
        return job
    job.state = JobState.FAILED
    pod = culprit(seen)
    job.exit_code = pod.main.terminated.exit_code if pod and pod.main.terminated else None
    job.failure = failure_of(pod) if pod else engine_failure(bad.reason if bad else "", bad.message if bad else "")
    if seen.record.array:
        failed = job.tasks.get("failed", 0)
        reason = f"{failed} of {seen.record.array} tasks failed; the first: {job.failure.reason}"
        job.failure = JobFailure(code=job.failure.code, reason=reason, remedy="List the tasks, and read their logs.")
        job.exit_code = None
    return job


def engine_failure(reason: str, message: str) -> JobFailure:
    """Words for an end that no pod explains any more."""
    if reason == "DeadlineExceeded":
        return JobFailure(code="job_timeout", reason="The job ran longer than it may.", remedy="Make it shorter, or give it more time.")
    return JobFailure(code="job_failed", reason=f"The engine gave it up ({reason}): {message}.", remedy="Read the job's log; or retry it.")


def culprit(seen: Seen) -> Pod | None:
    """The pod whose end explains the job's: of those that failed by themselves the first, of one that was started often its last start."""
    failed = [pod for pod in seen.pods if pod.status.phase == "Failed" and pod.status.true("DisruptionTarget") is None]
    failed = failed or [pod for pod in seen.pods if pod.status.phase == "Failed"]
    failed = [pod for pod in failed if not held_back(pod)] or failed
    if not failed:
        return None
    if seen.record.width > 1:
        # When one fails the engine ends the others: they only show a signal.
        return min(
            failed,
            key=lambda pod: (
                pod.metadata.deletion_timestamp is not None,
                ended_by_signal(pod),
                finished_at(pod) or datetime.max.replace(tzinfo=UTC),
            ),
        )
    return max(failed, key=lambda pod: finished_at(pod) or datetime.min.replace(tzinfo=UTC))


def held_back(pod: Pod) -> bool:
    """Whether its carrier saw that the start before it would be repeated in vain."""
    ended = [each.state.terminated for each in pod.status.init_container_statuses or [] if each.name == PREPARE]
    return any(state is not None and state.exit_code == EXIT_NO_MORE for state in ended)


def ended_by_signal(pod: Pod) -> bool:
    """Whether the program was ended from outside."""
    return pod.main.terminated is not None and pod.main.terminated.exit_code > 128


def finished_at(pod: Pod) -> datetime | None:
    """When the job's own program ended."""
    return pod.main.terminated.finished_at if pod.main.terminated else None


def attempt_of(seen: Seen) -> int:
    """The most starts of any pod."""
    return max((seen.attempt(index) for index in range(seen.record.width)), default=0)


def latest_of_each(seen: Seen) -> list[Pod]:
    """Of each index the pod that is its newest start, by index."""
    found: dict[int, Pod] = {}
    for pod in seen.pods:
        names = {seen.out.get(f"t{pod.index}.a{seen.attempt(pod.index)}")}
        known = found.get(pod.index)
        if known is None or pod.metadata.name in names:
            found[pod.index] = pod
    return [found[index] for index in sorted(found)]


def task_job(seen: Seen, index: int) -> Job:
    """One task of an array as a job."""
    record = seen.record
    job = Job(id=f"{record.id}.{index}", tenant=record.tenant, name=record.name, state=JobState.PENDING)
    job.attempt = max(seen.attempt(index), 1)
    job.percent, job.stage = progress(seen.out.get(f"t{index}.progress", ""))
    pod = next((pod for pod in latest_of_each(seen) if pod.index == index), None)
    if pod is not None:
        job.engine_id, job.started_at, job.finished_at = pod.metadata.name, pod.started_at, finished_at(pod)
        job.nodes = [pod.spec.node_name] if pod.spec.node_name else []
        job.exit_code = pod.main.terminated.exit_code if pod.main.terminated else None
        job.state = task_state(pod)
        if job.state is JobState.FAILED:
            job.failure = failure_of(pod)
        elif job.state is JobState.SUCCEEDED:
            job.percent = 100.0
        elif job.state is JobState.PENDING:
            job.waiting = waiting_of(seen.model_copy(update={"pods": [pod]}))
    if record.end is not None and not job.state.final:
        job.state = record.end.state if record.end.state is not JobState.SUCCEEDED else job.state
        job.failure, job.waiting = record.end.failure, None
    elif (
        record.end is not None and record.end.state is JobState.CANCELLED and job.state is JobState.FAILED and pod and ended_by_signal(pod)
    ):
        job.state, job.failure = JobState.CANCELLED, CANCELLED
    elif job.state is JobState.PENDING and job.waiting is None:
        job.waiting = pending("Queued", "It waits for other tasks of the array to end.", "It starts by itself.")
    return job


def task_state(pod: Pod) -> JobState:
    """How the task of a pod stands."""
    if pod.main.running or (pod.main.terminated and not pod.ended):
        return JobState.RUNNING
    return STATES.get(pod.status.phase, JobState.PENDING) if pod.ended else JobState.PENDING


def count_tasks(seen: Seen) -> dict[str, int]:
    """How many tasks are in which state."""
    states: Counter[str] = Counter(task_state(pod).value for pod in latest_of_each(seen))
    done = sum(states.values())
    if done < seen.record.array:
        states[JobState.PENDING.value] += seen.record.array - done
    return {state: count for state, count in states.items() if count}


def cancelled_tasks(seen: Seen) -> dict[str, int]:
    """How many tasks had ended when the rest was cancelled."""
    if not seen.record.array:
        return {}
    before = count_tasks(seen)
    kept = {name: before[name] for name in ("succeeded", "failed") if before.get(name)}
    rest = seen.record.array - sum(kept.values())
    return kept | ({"cancelled": rest} if rest else {})


def progress(line: str) -> tuple[float | None, str]:
    """Percent and stage of a line of progress; nothing where the program wrote it wrongly."""
    try:
        record = json.loads(line)
        return min(max(float(record["percent"]), 0.0), 100.0), str(record.get("stage", ""))[:200]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, ""
