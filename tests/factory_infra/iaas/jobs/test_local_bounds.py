"""The bounds around jobs on this host: with control groups and without, and what shows that they hold."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from factory_infra.iaas.jobs.models import JobLimits, JobState
from factory_infra.iaas.jobs.providers.cage import Cages, hierarchies
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all
from tests.factory_infra.iaas.jobs.hosts import FOREVER, TENANT, ended, folder_of, gone, log_of, python, said, until_state

MIB = 1024**2
MANY = (
    "import os, time\n"
    "made = 0\n"
    "for _ in range(560):\n"
    "    try:\n"
    "        if os.fork() == 0: time.sleep(600)\n"
    "        made += 1\n"
    "    except OSError:\n"
    "        break\n"
    "print('made', made, flush=True)\n" + FOREVER
)


def groups_left(tmp_path: Path) -> list[str]:
    """The control groups of a job that are still there."""
    paths = json.loads((folder_of(tmp_path) / "groups.json").read_text())["paths"]
    return [path for path in paths if Path(path).exists()]


def groups_here(tmp_path: Path) -> bool:
    """Whether this host lets us bound both memory and processes in groups of our own."""
    cages = Cages(JobFolder(tmp_path), hierarchies())
    cages.remove()
    return {"memory", "pids"} <= cages.told.keys()


@pytest.fixture(params=["groups", "no groups"])
async def jobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalJobs]:
    """A provider with control groups, and one without."""
    if request.param == "groups" and not groups_here(tmp_path):
        pytest.skip("this host has no control groups of its own for memory and processes")
    yield LocalJobs(tmp_path / "jobs", log_bytes_max=MIB, groups=request.param == "groups")
    await asyncio.to_thread(stop_all, tmp_path / "jobs")


def caged(jobs: LocalJobs) -> bool:
    """Whether this provider makes groups."""
    return jobs._host.groups


async def test_it_is_told_what_holds_the_walls(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python("print('\\n'.join(open('/proc/self/cgroup')))", slots=[0]))
    await ended(jobs)
    held = await jobs.walls("job-1", TENANT)
    assert held.keys() == {"memory", "processes", "cores", "files", "log"}
    assert ("cgroup" in held["memory"] + held["processes"]) == caged(jobs)
    assert ("lineshaft" in await log_of(jobs)) == caged(jobs)
    await gone(tmp_path)
    assert groups_left(tmp_path) == []


async def test_the_memory_of_all_its_processes_is_bounded(jobs: LocalJobs, tmp_path: Path) -> None:
    code = f"import os\nos.fork(); os.fork()\nx = bytearray(os.urandom(1024)) * 100_000\n{FOREVER}"
    await jobs.submit(python(code, limits=JobLimits(memory_gib=0.25).model_dump()))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None
    assert job.failure.code == "job_memory" and "0.25 GiB" in job.failure.reason
    await gone(tmp_path)
    assert groups_left(tmp_path) == []


async def test_too_many_processes_are_refused_at_once_in_a_group_and_found_out_without(jobs: LocalJobs, tmp_path: Path) -> None:
    """The control: without a group the same program makes all that it wants before it is seen."""
    await jobs.submit(python(MANY))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None
    assert job.failure.code == "job_processes" and "512" in job.failure.reason and job.failure.remedy
    await gone(tmp_path)
    made = int(((await log_of(jobs)).split() or ["", "0"])[1])
    assert made < 512 if caged(jobs) else made == 560
    assert groups_left(tmp_path) == []


async def test_a_log_over_its_bound_ends_the_job_and_is_cut(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python("while True: print('x' * 10_000)"))
    job = await ended(jobs)
    assert job.state is JobState.FAILED and job.failure is not None
    assert job.failure.code == "storage_full" and "1 MiB" in job.failure.reason and job.failure.remedy
    log = folder_of(tmp_path) / "log.txt"
    assert log.stat().st_size < MIB + 100
    assert (await jobs.tail("job-1", TENANT)).endswith("-- the log reached its limit: the job was ended --\n")


async def test_a_log_that_was_put_out_of_sight_is_bounded_too(jobs: LocalJobs) -> None:
    await jobs.submit(python("import os\nos.unlink('log.txt'); open('log.txt', 'w')\nwhile True: print('x' * 10_000)"))
    job = await ended(jobs)
    assert job.failure is not None and job.failure.code == "storage_full"


async def test_a_lost_job_that_is_cancelled_leaves_no_process_and_no_group(jobs: LocalJobs, tmp_path: Path) -> None:
    await jobs.submit(python(f"import os\nos.fork() == 0 and os.setsid()\nprint('ready', flush=True)\n{FOREVER}"))
    await said(jobs, "ready", times=2)
    assert bool(groups_left(tmp_path)) == caged(jobs)
    os.kill(json.loads((folder_of(tmp_path) / "run.json").read_text())["pid"], signal.SIGKILL)
    await until_state(jobs, JobState.LOST)
    assert (await jobs.cancel("job-1", TENANT)).state is JobState.CANCELLED
    await gone(tmp_path)
    assert groups_left(tmp_path) == []


async def test_a_kill_of_runner_and_stack_leaves_no_group(jobs: LocalJobs, tmp_path: Path) -> None:
    deaf = "import os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    await jobs.submit(python(f"{deaf}os.fork() == 0 and os.setsid()\nprint('ready', flush=True)\n{FOREVER}", nodes=2))
    await said(jobs, "ready", times=4)
    assert await asyncio.to_thread(stop_all, tmp_path / "jobs") == 1
    await gone(tmp_path)
    assert groups_left(tmp_path) == []
