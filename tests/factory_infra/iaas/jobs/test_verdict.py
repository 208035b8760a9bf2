"""Why a job ended, in words."""

import os
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.providers.verdict import Stop, Walls, failure_of

WALLS = Walls(memory_gib=1, file_gib=1, seconds=10)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty log."""
    file = tmp_path / "log.txt"
    file.touch()
    return file


def code_of(stop: Stop, exit_code: int | None, number: int | None, log: Path) -> str:
    """The failure's code, or nothing for success."""
    return (failure_of(stop, exit_code, number, log, WALLS) or {"code": ""})["code"]


def test_a_job_that_fails_on_a_full_disk_could_not_even_say_why(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = os.statvfs(log.parent)
    full = os.statvfs_result((*disk[:3], 0, 0, *disk[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert code_of(Stop.NONE, 1, None, log) == "storage_full"
    assert code_of(Stop.NONE, 0, None, log) == ""


@pytest.mark.parametrize(
    ("stop", "exit_code", "number", "text", "code"),
    [
        (Stop.NONE, 0, None, "MemoryError", ""),
        (Stop.NONE, 1, None, "MemoryError", "job_memory"),
        (Stop.NONE, 1, None, "OSError: [Errno 28] No space left on device", "storage_full"),
        (Stop.NONE, 1, None, "ValueError: no", "job_failed"),
        (Stop.NONE, None, 9, "", "job_failed"),
        (Stop.CANCELLED, 0, None, "", "cancelled"),
        (Stop.TIMEOUT, None, 15, "", "job_timeout"),
        (Stop.MEMORY, None, 9, "", "job_memory"),
        (Stop.PROCESSES, None, 9, "", "job_processes"),
        (Stop.LOG, None, 9, "", "storage_full"),
    ],
)
def test_each_end_has_its_code(log: Path, stop: Stop, exit_code: int | None, number: int | None, text: str, code: str) -> None:
    log.write_text(text)
    assert code_of(stop, exit_code, number, log) == code
