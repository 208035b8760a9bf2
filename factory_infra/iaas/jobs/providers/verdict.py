"""Why a job ended, in words: from its exit status, what stopped it, and the end of its log. Standard library only."""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

EXIT_STORAGE = 74
"""EX_IOERR: the exit code by which a program says that it could not write."""

LOG_BYTES_MAX = 512 * 1024**2
"""What a job's log may hold: with more, it is ended. The tasks of an array share it, but each has its least."""
LOG_BYTES_MIN = 1024**2
PROCESSES_A_SLOT = 512
TAIL_BYTES = 4096
DISK_BYTES_MIN = 64 * 1024
STORAGE_WORDS = ("[Errno 28]", "[Errno 27]", "No space left on device", "File too large")
MEMORY_WORDS = ("MemoryError", "std::bad_alloc", "Cannot allocate memory")


class Stop(StrEnum):
    """What the runner itself ended a job for."""

    NONE = ""
    CANCELLED = "cancelled"
    TIMEOUT = "job_timeout"
    MEMORY = "job_memory"
    PROCESSES = "job_processes"
    LOG = "log"
    SILENT = "silent"


@dataclass(frozen=True)
class Walls:
    """The limits that a job ran under."""

    memory_gib: float
    file_gib: float
    seconds: float | None
    log_bytes: int = LOG_BYTES_MAX
    processes: int = PROCESSES_A_SLOT

    @property
    def file_bytes(self) -> int:
        """The size that no file may pass."""
        return int(self.file_gib * 1024**3)


def failure_of(stop: Stop, exit_code: int | None, number: int | None, log: Path, walls: Walls) -> dict[str, str] | None:
    """Return code, reason and remedy, or None for a job that did what it should."""
    if stop is not Stop.NONE:
        return stopped(stop, walls)
    if exit_code == 0:
        return None
    tail = read_tail(log)
    said = exit_code == EXIT_STORAGE or any(word in tail for word in STORAGE_WORDS)
    if number == signal.SIGXFSZ or said or file_full(log, walls) or disk_full(log.parent):
        return failure(
            "storage_full",
            f"The job could not write: the disk is full, or a file reached its limit of {walls.file_gib:g} GiB.",
            "Free space on the disk, or write less; then ask for the job again.",
        )
    if any(word in tail for word in MEMORY_WORDS):
        return stopped(Stop.MEMORY, walls)
    how = f"was ended by {signal.Signals(number).name}" if number else f"ended with code {exit_code}"
    last = next((line for line in reversed(tail.splitlines()) if line.strip()), "")
    return failure("job_failed", f"The job {how}{': ' + last[:300] if last else '.'}", "Read the job's log.")


def stopped(stop: Stop, walls: Walls) -> dict[str, str]:
    """Say what the runner ended the job for."""
    if stop is Stop.CANCELLED:
        return failure(stop, "The job was cancelled.", "")
    if stop is Stop.TIMEOUT:
        return failure(
            stop, f"The job ran longer than its {walls.seconds or 0:g} seconds.", "Make it shorter, or raise LINESHAFT_JOB_SECONDS_MAX."
        )
    if stop is Stop.PROCESSES:
        return failure(stop, f"The job started more than {walls.processes} processes and threads at a time.", "Start fewer.")
    if stop is Stop.LOG:
        reason = f"The job's log reached its limit of {size(walls.log_bytes)}: the job was ended and the log cut there."
        return failure("storage_full", reason, "Write less to standard output, and results into files.")
    return failure(
        stop, f"The job needed more than its {walls.memory_gib:g} GiB of memory.", "Use less, or raise LINESHAFT_JOB_MEMORY_GIB_MAX."
    )


def size(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 1024**3:g} GiB" if count >= 1024**3 else f"{count / 1024**2:g} MiB"


def failure(code: str, reason: str, remedy: str) -> dict[str, str]:
    """Put a failure into the shape of the exit record."""
    return {"code": str(code), "reason": reason, "remedy": remedy}


def file_full(log: Path, walls: Walls) -> bool:
    """Whether the log itself reached the file limit."""
    return log.stat().st_size >= walls.file_bytes


def disk_full(folder: Path) -> bool:
    """Whether the disk is full now: then a failed job could not even write why it failed."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize < DISK_BYTES_MIN or (disk.f_files > 0 and disk.f_favail == 0)


def read_tail(log: Path) -> str:
    """Return the last lines of the log."""
    with log.open("rb") as stream:
        stream.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        return stream.read().decode(errors="replace")
