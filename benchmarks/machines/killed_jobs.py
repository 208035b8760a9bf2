"""Jobs of this host whose submitters and runners are killed at random moments: each is found again, and never runs twice at a time."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cli.checks import Check
from factory_infra.iaas.jobs.models import JobLimits, JobSpec, JobState
from factory_infra.iaas.jobs.programs import SOURCE_ROOT, python_environment
from factory_infra.iaas.jobs.providers.local import LocalJobs, stop_all

TENANT = "vision"
SEED = 20261125
SUBMITTERS = 40
RUNNERS = 25
KILL_SHARE = (0.5, 1.1)
"""Of the time that one submission took: most of it is the start of Python."""
WAIT_SECONDS = 120.0
SUBMIT = (
    "import asyncio, sys, pathlib\n"
    "from factory_infra.iaas.jobs.models import JobSpec\n"
    "from factory_infra.iaas.jobs.providers.local import LocalJobs\n"
    "asyncio.run(LocalJobs(pathlib.Path(sys.argv[1])).submit(JobSpec.model_validate_json(sys.argv[2])))"
)
ONCE = "import os\nopen(os.environ['LINESHAFT_CHECKPOINT_DIR'] + '/effects', 'a').write('x')"
ALONE = (
    "import fcntl, os, time\n"
    "kept = os.environ['LINESHAFT_CHECKPOINT_DIR']\n"
    "door = open(kept + '/door', 'w')\n"
    "try: fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    "except BlockingIOError: open(kept + '/two-at-once', 'a').write('x')\n"
    "if os.fork() == 0: os.setsid()\n"  # a daemon holds the door too
    "while not os.path.exists(kept + '/enough'): time.sleep(0.02)\n"
)


def spec_of(job_id: str, code: str) -> JobSpec:
    """A small job."""
    argv = [sys.executable, "-IS", "-c", code]
    return JobSpec(id=job_id, tenant=TENANT, name=job_id, argv=argv, limits=JobLimits(memory_gib=0.5, seconds=600.0))


async def ended(jobs: LocalJobs, job_id: str) -> JobState:
    """Wait for a job's end; a lost one is not waited for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (state := (await jobs.get(job_id, TENANT)).state).final:
        assert time.monotonic() < deadline, f"{job_id} did not end"
        await asyncio.sleep(0.02)
    return state


def submitting(jobs_dir: Path, spec: JobSpec) -> "subprocess.Popen[bytes]":
    """Start a process that submits a job."""
    argv = [sys.executable, "-c", SUBMIT, str(jobs_dir), spec.model_dump_json()]
    return subprocess.Popen(argv, cwd=SOURCE_ROOT, env=python_environment(), stderr=subprocess.DEVNULL)


async def submitters(jobs_dir: Path, chance: random.Random) -> Check:
    """Kill what submits, at a random moment; then submit again, as whoever comes after does."""
    jobs, found, killed = LocalJobs(jobs_dir), 0, 0
    effects = []
    began = time.monotonic()
    submitting(jobs_dir, spec_of("first", ONCE)).wait()
    whole = time.monotonic() - began
    for number in range(SUBMITTERS):
        spec = spec_of(f"once-{number}", ONCE)
        process = submitting(jobs_dir, spec)
        await asyncio.sleep(whole * chance.uniform(*KILL_SHARE))
        killed += process.poll() is None
        process.kill()
        process.wait()
        found += (jobs_dir / TENANT / spec.id / "spec.json").exists()
        await jobs.submit(spec)
        assert await ended(jobs, spec.id) is JobState.SUCCEEDED
        effects.append(len((jobs_dir / TENANT / spec.id / "checkpoint" / "effects").read_text()))
    figure = f"{killed} killed in the middle; {found} jobs were there already; effects a job: {min(effects)} to {max(effects)}"
    return Check(f"{SUBMITTERS} submitters killed at random", figure, "each job runs, and once", set(effects) == {1})


async def runners(jobs_dir: Path, chance: random.Random) -> Check:
    """Kill the runner of one job again and again; what it started must be gone before the job begins anew."""
    jobs, spec = LocalJobs(jobs_dir), spec_of("alone", ALONE)
    kept = jobs_dir / TENANT / spec.id / "checkpoint"
    await jobs.submit(spec)
    for _ in range(RUNNERS):
        await running(jobs, spec.id)
        await asyncio.sleep(chance.uniform(0, 0.2))
        os.kill(json.loads((jobs_dir / TENANT / spec.id / "run.json").read_text())["pid"], signal.SIGKILL)
        assert await ended(jobs, spec.id) is JobState.LOST
        await jobs.submit(spec)
    await running(jobs, spec.id)
    (kept / "enough").touch()
    state = await ended(jobs, spec.id)
    job = await jobs.get(spec.id, TENANT)
    double = len((kept / "two-at-once").read_text()) if (kept / "two-at-once").exists() else 0
    figure = f"{state.value} at attempt {job.attempt}; {double} times two at once"
    held = state is JobState.SUCCEEDED and job.attempt == RUNNERS + 1 and double == 0
    return Check(f"a runner killed {RUNNERS} times", figure, f"succeeded at attempt {RUNNERS + 1}, never two at once", held)


async def running(jobs: LocalJobs, job_id: str) -> None:
    """Wait until the job's program runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (await jobs.get(job_id, TENANT)).state is not JobState.RUNNING:
        assert time.monotonic() < deadline, f"{job_id} does not run"
        await asyncio.sleep(0.02)


async def both(jobs_dir: Path) -> list[Check]:
    """Both, from one seed."""
    chance = random.Random(SEED)  # noqa: S311 (moments, not secrets)
    return [await submitters(jobs_dir, chance), await runners(jobs_dir, chance)]


def checks() -> list[Check]:
    """Needs no stack; about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        jobs_dir = Path(folder) / "jobs"
        try:
            return asyncio.run(both(jobs_dir))
        finally:
            stop_all(jobs_dir)
