"""A job that writes into its own folder what runner and provider read: neither does for it what it may not do itself."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers import folder, landlock
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from tests.factory_infra.iaas.jobs.hosts import FOREVER, TENANT, ended, folder_of, gone, log_of, python, said

OPEN = json.dumps(
    {"closed": [], "opened": [], "reading": [], "uid": None, "off": ["files", "processes", "listing", "capabilities", "user"]}
)


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider whose jobs are all ended after the test."""
    yield LocalJobs(tmp_path / "jobs")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of another team."""
    other = tmp_path / "jobs" / "speech" / "theirs"
    other.mkdir(parents=True)
    (other / "secret.json").write_text("s3cret")
    return other / "secret.json"


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that is no job's."""
    process = subprocess.Popen(["sleep", "600"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock: there is no wall around files")
async def test_walls_and_order_are_not_taken_from_where_the_job_can_write(jobs: LocalJobs, tmp_path: Path, secret: Path) -> None:
    code = (
        "import json, os, sys\n"
        f"try: print(open({str(secret)!r}).read())\n"
        "except OSError as error: print('refused', error.errno)\n"
        f"open('walls.json', 'w').write({OPEN!r})\n"
        "spec = json.load(open('spec.json'))\n"
        "spec.update(tenant='speech', id='theirs', limits={'memory_gib': 64, 'file_gib': 64, 'seconds': None})\n"
        "open('spec.json', 'w').write(json.dumps(spec))\n"
        "sys.exit(3)"
    )
    await jobs.submit(python(code, attempts_max=2))
    assert (await ended(jobs)).state is JobState.FAILED
    await jobs.retry("job-1", TENANT)
    job = await ended(jobs)
    assert (job.id, job.tenant, job.attempt) == ("job-1", TENANT, 4)
    log = await log_of(jobs)
    assert "s3cret" not in log and log.splitlines().count("refused 13") == 4


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder", "garbage"])
async def test_what_lies_in_place_of_its_files_is_neither_followed_nor_waited_for(
    jobs: LocalJobs, tmp_path: Path, secret: Path, kind: str
) -> None:
    await jobs.submit(python("pass"))
    await ended(jobs)
    await gone(tmp_path)
    for name in ("log.txt", "progress.jsonl", "result.json", "run.json", "attempts.json", "spec.json", "exit.json"):
        file = folder_of(tmp_path) / name
        file.unlink(missing_ok=True)
        replace(file, kind, secret)
    job = await ended(jobs)  # the runner holds its lock until it is gone
    assert job.tenant == TENANT
    assert "s3cret" not in await log_of(jobs) + await jobs.tail("job-1", TENANT) + str(await jobs.result("job-1", TENANT, "result.json"))
    assert [each.id for each in await jobs.list()] == ["job-1"]
    assert secret.read_text() == "s3cret"


def replace(file: Path, kind: str, secret: Path) -> None:
    """Put something else in a file's place."""
    if kind == "link":
        file.symlink_to(secret)
    elif kind == "hard link":
        file.hardlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.write_text('{"failure": 7, "started_at": [], "pid": "x", "started": "y"}')


async def test_its_end_is_never_written_through_a_link(jobs: LocalJobs, secret: Path) -> None:
    await jobs.submit(python(f"import os\nos.unlink('exit.reserve'); os.symlink({str(secret)!r}, 'exit.reserve')"))
    assert (await ended(jobs)).state is JobState.SUCCEEDED
    assert secret.read_text() == "s3cret"


async def test_a_cancel_ends_the_runner_and_no_process_that_the_job_named(jobs: LocalJobs, tmp_path: Path, stranger: int) -> None:
    code = f"import json\nopen('run.json', 'w').write(json.dumps({{'pid': {stranger}, 'started_at': None}}))\nprint('ready', flush=True)\n"
    await jobs.submit(python(code + FOREVER))
    await said(jobs, "ready")
    assert (await jobs.cancel("job-1", TENANT)).state is JobState.CANCELLED
    os.kill(stranger, 0)
    await gone(tmp_path)


async def test_a_job_that_holds_the_lock_of_its_submission_is_cancelled(jobs: LocalJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "SUBMIT_LOCK_SECONDS", 0.2)
    await jobs.submit(
        python(f"import fcntl\nheld = open('submit.lock')\nfcntl.flock(held, fcntl.LOCK_EX)\nprint('ready', flush=True)\n{FOREVER}")
    )
    await said(jobs, "ready")
    assert (await jobs.cancel("job-1", TENANT)).state is JobState.CANCELLED
