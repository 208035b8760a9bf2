"""What a job's folder shows: state, progress, log and results."""

import json
import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from factory_infra.errors import TooLarge
from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState, LogChunk, Waiting
from factory_infra.iaas.jobs.providers.attempts import started
from factory_infra.iaas.jobs.providers.before import look
from factory_infra.iaas.jobs.providers.folder import JobFolder, open_plain

RESULT_BYTES_MAX = 4 * 1024 * 1024
PROGRESS_TAIL_BYTES = 4096
NAMED_MAX = 10


@dataclass(frozen=True)
class Place:
    """Where a job lies, or a task of an array with the array that it is of."""

    folder: JobFolder
    array: JobFolder | None = None
    index: int = 0


def read_spec(folder: JobFolder) -> JobSpec:
    """Return a job's specification, without its inputs: as it was asked for, whatever the job made of the copy in its folder."""
    own = {"id": folder.path.name, "tenant": folder.path.parent.name}
    for file in (folder.kept, folder.spec):  # a job of an earlier release has the second only
        with suppress(OSError, ValueError), open_plain(file) as stream:
            return JobSpec.model_validate_json(stream.read()).model_copy(update=own)
    return JobSpec(name="(its specification cannot be read)", argv=[], **own)


def read_place(place: Place) -> Job:
    """Say what a job's or a task's folder shows now."""
    return read_job(place.folder) if place.array is None else read_task(place.array, place.index)


def read_job(folder: JobFolder) -> Job:
    """Say what the folder shows now: an exit record, else a held lock, else a loss."""
    spec = read_spec(folder)
    alive = folder.alive()
    # The record is read after the lock: a runner writes it before it lets go.
    end_record, run = folder.read(folder.exit), folder.read(folder.run)
    job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, pool=spec.pool)
    job.percent, job.stage = read_progress(folder.progress)
    job.attempt = max(started(folder), 1)
    began(job, run, spec.nodes)
    if end_record is not None:
        ended(job, end_record)
    elif alive:
        job.state = JobState.PENDING if job.started_at is None else JobState.RUNNING
        job.waiting = waiting_of(folder, spec) if job.started_at is None else None
    else:
        lost(job)
    if spec.array:
        job.tasks = counts_of(folder, spec.array, job.state)
        done = spec.array - job.tasks.get("pending", 0) - job.tasks.get("running", 0)
        job.percent, job.stage = 100.0 * done / spec.array, f"{done} of {spec.array} tasks"
    return job


def read_task(array: JobFolder, index: int) -> Job:
    """Say what a task's folder shows; one without an end shares the fate of its array."""
    whole, task = read_job(array), JobFolder(array.task(index))
    end_record, run = task.read(task.exit), task.read(task.run)
    job = Job(id=f"{whole.id}.{index}", tenant=whole.tenant, name=whole.name, state=JobState.PENDING, pool=whole.pool)
    job.percent, job.stage = read_progress(task.progress)
    job.attempt = max(started(task), 1)
    began(job, run, 1)
    if end_record is not None:
        ended(job, end_record)
    elif whole.state is JobState.CANCELLED:
        job.state, job.failure, job.finished_at = JobState.CANCELLED, whole.failure, whole.finished_at
    elif whole.state.final:
        lost(job)
    elif run is not None:
        job.state = JobState.RUNNING
    else:
        job.waiting = whole.waiting or Waiting(
            code="array", reason="It waits until a task before it has ended.", remedy="Lease more slots, and more tasks run at one time."
        )
    return job


def began(job: Job, run: dict[str, object] | None, nodes: int) -> None:
    """Fill in what the run record says."""
    moment = moment_of((run or {}).get("started_at"))
    if run is not None and moment is not None:
        job.started_at = moment
        job.engine_id = str(run.get("pid", ""))[:20]
        job.nodes = [platform.node()] * nodes


def moment_of(text: object) -> datetime | None:
    """Read a moment; what a job wrote wrongly is none."""
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(cast("str", text))
    return None


def lost(job: Job) -> None:
    """Say that nothing watches a job any more that has no end."""
    job.state = JobState.LOST
    job.failure = JobFailure(code="job_lost", reason="The job's process vanished without a word.", remedy="Submit it again under its id.")


def waiting_of(folder: JobFolder, spec: JobSpec) -> Waiting:
    """Say what a job that has not started waits for."""
    before = look(folder.path.parent, spec.after)
    if before.lost:
        names = ", ".join(before.lost[:NAMED_MAX])
        return Waiting(code="after", reason=f"It waits for {names}, lost with its host.", remedy="Submit that one again, or cancel both.")
    if before.open:
        names = ", ".join(before.open[:NAMED_MAX])
        return Waiting(code="after", reason=f"It waits until {names} has succeeded.", remedy="Wait, or cancel the job before it.")
    return Waiting(code="starting", reason="Its process is being started.", remedy="Wait a moment.")


def counts_of(folder: JobFolder, array: int, state: JobState) -> dict[str, int]:
    """How many tasks are in which state; those that had not ended with the array were cancelled or lost with it."""
    read = folder.read(folder.counts) or {"pending": array}
    counts = {state.value: count for state in JobState if isinstance(count := read.get(state.value), int)}
    if state.final:
        left = counts.pop("pending", 0) + counts.pop("running", 0)
        rest = JobState.CANCELLED if state is JobState.CANCELLED else JobState.LOST
        counts[rest.value] = counts.get(rest.value, 0) + left
    elif state is JobState.PENDING:
        counts["pending"] = counts.get("pending", 0) + counts.pop("running", 0)
    return {name: count for name, count in counts.items() if count}


def ended(job: Job, record: dict[str, object]) -> None:
    """Fill in what the exit record says."""
    failure, code = record.get("failure", {}), record.get("exit_code")
    try:
        job.failure = None if failure is None else JobFailure.model_validate(failure)
    except ValidationError:
        job.failure = JobFailure(code="job_failed", reason="The record of its end cannot be read.", remedy="Read the job's log.")
    job.exit_code = code if isinstance(code, int) else None
    job.finished_at = moment_of(record.get("finished_at"))
    if job.failure is None:
        job.state, job.percent = JobState.SUCCEEDED, 100.0
    else:
        job.state = JobState.CANCELLED if job.failure.code == "cancelled" else JobState.FAILED


def read_progress(file: Path) -> tuple[float | None, str]:
    """Return percent and stage from the last whole line; what a program wrote wrongly is passed over."""
    try:
        with open_plain(file) as stream:
            stream.seek(max(os.fstat(stream.fileno()).st_size - PROGRESS_TAIL_BYTES, 0))
            lines = stream.read(PROGRESS_TAIL_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return None, ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
            return min(max(float(record["percent"]), 0.0), 100.0), str(record.get("stage", ""))[:200]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return None, ""


def read_log(place: Place, offset: int, limit: int) -> LogChunk:
    """Cut a piece of the log at whole characters; a task that has not started has none yet."""
    final = read_place(place).state.final
    data, at_end = b"", True
    with suppress(OSError), open_plain(place.folder.log) as stream:
        stream.seek(offset)
        data = stream.read(limit)
        at_end = not stream.read(1)
    if not (final and at_end):
        data = data[: whole_characters(data)]
    return LogChunk(text=data.decode(errors="replace"), next_offset=offset + len(data), complete=final and at_end)


def read_tail(folder: JobFolder, limit: int) -> str:
    """Return whole lines from the log's end, at most so many bytes; a single longer line is cut at its front."""
    data, start = b"", 0
    with suppress(OSError), open_plain(folder.log) as stream:
        start = max(os.fstat(stream.fileno()).st_size - limit, 0)
        stream.seek(start)
        data = stream.read(limit)
    text = data.decode(errors="replace")
    _, newline, rest = text.partition("\n")
    return rest if start > 0 and newline and rest else text


def whole_characters(data: bytes) -> int:
    """Return how many bytes remain once an unfinished UTF-8 character at the end is left out."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte & 0b1100_0000 != 0b1000_0000:
            length = 1 if byte < 0b1100_0000 else 2 if byte < 0b1110_0000 else 3 if byte < 0b1111_0000 else 4
            return len(data) - back if length > back else len(data)
    return len(data)


def read_result(file: Path) -> str | None:
    """Return a small text file. Raises TooLarge; a link is never followed."""
    try:
        with open_plain(file) as stream:
            data = stream.read(RESULT_BYTES_MAX + 1)
    except OSError:
        return None
    if len(data) > RESULT_BYTES_MAX:
        raise TooLarge(f"The result {file.name} is larger than 4 MiB.", remedy="Let the job leave a smaller file.")
    return data.decode(errors="replace")
