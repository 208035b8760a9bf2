"""What a job's folder shows: state, progress, log and results."""

import json
from datetime import datetime
from pathlib import Path
from typing import cast

from factory_infra.errors import TooLarge
from factory_infra.iaas.jobs.models import Job, JobFailure, JobSpec, JobState, LogChunk
from factory_infra.iaas.jobs.providers.folder import JobFolder

RESULT_BYTES_MAX = 4 * 1024 * 1024
PROGRESS_TAIL_BYTES = 4096


def read_job(folder: JobFolder) -> Job:
    """Say what the folder shows now: an exit record, else a held lock, else a loss."""
    spec = JobSpec.model_validate_json(folder.spec.read_text(encoding="utf-8"))
    alive = folder.alive()
    # The record is read after the lock: a runner writes it before it lets go.
    end_record, run = folder.read(folder.exit), folder.read(folder.run)
    percent, stage = read_progress(folder.progress)
    job = Job(id=spec.id, tenant=spec.tenant, name=spec.name, state=JobState.PENDING, percent=percent, stage=stage)
    if run is not None:
        job.started_at = datetime.fromisoformat(cast("str", run["started_at"]))
    if end_record is not None:
        return ended(job, end_record)
    if alive:
        job.state = JobState.RUNNING if run else JobState.PENDING
    else:
        job.state = JobState.LOST
        job.failure = JobFailure(
            code="job_lost", reason="The job's process vanished without a word.", remedy="Submit it again under its id."
        )
    return job


def ended(job: Job, record: dict[str, object]) -> Job:
    """Fill in what the exit record says."""
    failure = record["failure"]
    job.failure = None if failure is None else JobFailure.model_validate(failure)
    job.exit_code = cast("int | None", record["exit_code"])
    job.finished_at = datetime.fromisoformat(cast("str", record["finished_at"]))
    if job.failure is None:
        job.state, job.percent = JobState.SUCCEEDED, 100.0
    else:
        job.state = JobState.CANCELLED if job.failure.code == "cancelled" else JobState.FAILED
    return job


def read_progress(file: Path) -> tuple[float | None, str]:
    """Return percent and stage from the last whole line; what a program wrote wrongly is passed over."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(file.stat().st_size - PROGRESS_TAIL_BYTES, 0))
            lines = stream.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None, ""
    for line in reversed(lines):
        try:
            record = json.loads(line)
            return min(max(float(record["percent"]), 0.0), 100.0), str(record.get("stage", ""))[:200]
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return None, ""


def read_log(folder: JobFolder, offset: int, limit: int) -> LogChunk:
    """Cut a piece of the log at whole characters."""
    final = read_job(folder).state.final
    with folder.log.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(limit)
        at_end = not stream.read(1)
    if not (final and at_end):
        data = data[: whole_characters(data)]
    return LogChunk(text=data.decode(errors="replace"), next_offset=offset + len(data), complete=final and at_end)


def read_tail(folder: JobFolder, limit: int) -> str:
    """Return whole lines from the log's end, at most so many bytes; a single longer line is cut at its front."""
    with folder.log.open("rb") as stream:
        start = max(folder.log.stat().st_size - limit, 0)
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
    if file.is_symlink() or not file.is_file():
        return None
    with file.open("rb") as stream:
        data = stream.read(RESULT_BYTES_MAX + 1)
    if len(data) > RESULT_BYTES_MAX:
        raise TooLarge(f"The result {file.name} is larger than 4 MiB.", remedy="Let the job leave a smaller file.")
    return data.decode(errors="replace")
