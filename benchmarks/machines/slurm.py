"""Jobs on a real Slurm, started for this: python -m benchmarks.machines.slurm

Fifty jobs, a quota, a preemption, a controller that dies while a job runs and one that dies before it answers a submission, and our own
process killed in the middle of one: each time one job, not two, and its end seen.
"""

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.checks import Check, print_checks
from factory_infra.errors import Unavailable
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.providers.slurm import SlurmWalls
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.settings import Settings
from tests.engines.slurm.cluster import SlurmCluster, missing
from tests.engines.slurm.parts import TENANT, ended, spec, until, until_state
from tests.engines.slurm.test_faults import BEGAN, FOREVER, SLOW, SUBMIT_AND_HANG, queued

JOBS = 50
JOBS_SECONDS_MAX, START_SECONDS_MAX = 60.0, 5.0
RESUMES = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "print('from', kept.read_text() if kept.exists() else 'the start', flush=True)\n"
    "if not kept.exists():\n    kept.write_text('step 7')\n    time.sleep(600)\n"
)
URGENT = ["--account=lineshaft_ops", "--qos=high", "--nodes=2", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=true"]
ROOT = Path(__file__).parents[2]


@dataclass
class Ground:
    """A cluster, and a pool of it."""

    cluster: SlurmCluster
    pool: SlurmPool
    settings: Settings

    @property
    def jobs(self) -> SlurmJobs:
        """A fresh provider, as after a restart of ours."""
        return SlurmJobs(self.pool, self.settings)

    async def log(self, job: JobSpec) -> str:
        """What a job printed."""
        return (await self.jobs.logs(job.id, TENANT)).text


def checks() -> list[Check]:
    """All rows; a single one that falls short where no Slurm can be started."""
    why = missing()
    if why:
        return [Check("a real Slurm", f"not here: {why}", "started", held=False)]
    cluster = SlurmCluster()
    with tempfile.TemporaryDirectory(prefix="slurm-work-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        cluster.start()
        try:
            pool = cluster.pool("bench", Path(folder), qos="low")
            ground = Ground(cluster, pool, Settings(home=Path(folder) / "home", model="none"))
            rows = asyncio.run(measured(ground))
        finally:
            cluster.stop()
    started = Check("a real Slurm of two nodes with accounts, started", f"{cluster.seconds:.1f} s", "<= 60 s", held=cluster.seconds <= 60)
    return [started, *rows, contract()]


async def measured(ground: Ground) -> list[Check]:
    """The rows on one cluster, one after the other."""
    measures: tuple[Callable[[Ground], Awaitable[list[Check]]], ...] = (many, quota, preempted, dying, unanswered, killed)
    return [row for measure in measures for row in await measure(ground)]


async def many(ground: Ground) -> list[Check]:
    """Fifty jobs at once."""
    specs = [spec(ground.pool, BEGAN) for _ in range(JOBS)]
    began, asked = time.monotonic(), time.time()
    await asyncio.gather(*(ground.jobs.submit(each) for each in specs))

    async def over() -> bool:
        listed = await ground.jobs.list(TENANT)
        return sum(job.state.final for job in listed) == JOBS

    await until(over, "fifty jobs over")
    seconds, jobs = time.monotonic() - began, await ground.jobs.list(TENANT)
    good = sum(job.state is JobState.SUCCEEDED for job in jobs)
    starts = statistics.median(job.started_at.timestamp() - asked for job in jobs if job.started_at)
    single = spec(ground.pool, BEGAN)
    asked = time.time()
    await ground.jobs.submit(single)
    alone = (await ended(ground.jobs, single.id)).started_at
    wait = alone.timestamp() - asked if alone else float("inf")
    name, figure = "from asking to the start: median of them, one alone", f"{starts:.2f} s, {wait:.2f} s"
    return [
        Check(
            f"{JOBS} jobs at once",
            f"{good} succeeded in {seconds:.1f} s",
            f"{JOBS} in <= {JOBS_SECONDS_MAX:g} s",
            held=good == JOBS and seconds <= JOBS_SECONDS_MAX,
        ),
        Check(name, figure, f"alone <= {START_SECONDS_MAX:g} s", held=wait <= START_SECONDS_MAX),
    ]


async def quota(ground: Ground) -> list[Check]:
    """Two jobs of one GPU each, and a team that may have one."""
    walls = SlurmWalls(ground.pool, ground.settings)
    await walls.ensure(TENANT)
    await walls.limit(TENANT, 1)
    first, second = (spec(ground.pool, FOREVER, slot_kind="gpu", slots=[number]) for number in range(2))
    await ground.jobs.submit(first)
    await until_state(ground.jobs, first.id, JobState.RUNNING)
    await ground.jobs.submit(second)
    codes: list[str] = []

    async def told() -> bool:
        waiting = (await ground.jobs.get(second.id, TENANT)).waiting
        codes.append(f"{waiting.code}: {waiting.reason}" if waiting else "")
        return codes[-1].startswith("AssocGrpGRES")

    await until(told, "the quota told")
    await ground.jobs.cancel(first.id, TENANT)
    await until_state(ground.jobs, second.id, JobState.RUNNING)
    await ground.jobs.cancel(second.id, TENANT)
    await walls.limit(TENANT, None)
    return [Check("a second GPU beyond the quota waits, in words, and starts when the first is free", codes[-1], "AssocGrpGRES", held=True)]


async def preempted(ground: Ground) -> list[Check]:
    """A job with more right takes both nodes."""
    ground.cluster.run("sacctmgr", "--immediate", "add", "account", "lineshaft_ops")
    ground.cluster.run("sacctmgr", "--immediate", "add", "user", "root", "account=lineshaft_ops")
    job = spec(ground.pool, RESUMES)
    await ground.jobs.submit(job)
    await until(lambda: said(ground, job, "from the start"), "the job began")
    await asyncio.to_thread(ground.cluster.run, "sbatch", "--wait", *URGENT)
    over = await ended(ground.jobs, job.id)
    held = over.state is JobState.SUCCEEDED and over.attempt == 2 and "from step 7" in await ground.log(job)
    return [
        Check(
            "preempted, requeued, resumed from its checkpoint",
            f"{over.state} at attempt {over.attempt}",
            "attempt 2, from step 7",
            held=held,
        )
    ]


async def said(ground: Ground, job: JobSpec, words: str) -> bool:
    """Whether a job has printed something."""
    return words in await ground.log(job)


async def over_with(ground: Ground, job: JobSpec) -> JobState:
    """Ask for the job again and again, as a workflow does, until it is over."""

    async def over() -> bool:
        try:
            state = (await ground.jobs.submit(job)).state
        except Unavailable:
            return False
        return state.final and state is not JobState.LOST

    await until(over, "the job over")
    return (await ground.jobs.get(job.id, TENANT)).state


async def once(ground: Ground, name: str, job: JobSpec, state: JobState) -> Check:
    """The row of a job that must have come to its end once."""
    log = await ground.log(job)
    figure = f"{state}, began {log.count('began')} times, done {log.count('done')} times"
    return Check(name, figure, "succeeded, done once", held=state is JobState.SUCCEEDED and log.count("done") == 1)


async def dying(ground: Ground) -> list[Check]:
    """SIGKILL to slurmctld while a job runs, before it has saved that it does."""
    job = spec(ground.pool, SLOW)
    await ground.jobs.submit(job)
    await until_state(ground.jobs, job.id, JobState.RUNNING)
    await asyncio.to_thread(ground.cluster.kill_controller)
    await asyncio.to_thread(ground.cluster.start_controller)
    row = await once(ground, "slurmctld killed while a job runs", job, await over_with(ground, job))
    await asyncio.to_thread(ground.cluster.mend)
    return [row]


async def unanswered(ground: Ground) -> list[Check]:
    """slurmctld hangs with the submission in its hands, and is killed before it answers."""
    job = spec(ground.pool, SLOW)
    ground.cluster.pause_controller(on=True)
    asking = asyncio.create_task(ground.jobs.submit(job))
    await asyncio.sleep(1)
    await asyncio.to_thread(ground.cluster.kill_controller)
    refused = await asyncio.gather(asking, return_exceptions=True)
    await asyncio.to_thread(ground.cluster.start_controller)
    row = await once(ground, "slurmctld killed while a job is handed over", job, await over_with(ground, job))
    told = type(refused[0]).__name__
    await asyncio.to_thread(ground.cluster.mend)
    return [row, Check("what the caller was told meanwhile", told, "Unavailable, retryable", held=told == "Unavailable")]


async def killed(ground: Ground) -> list[Check]:
    """SIGKILL to our own process after Slurm has the job and before its number was written down."""
    job = spec(ground.pool, SLOW)
    with tempfile.TemporaryDirectory() as folder:
        sent = Path(folder) / "sent"
        argv = [sys.executable, "-c", SUBMIT_AND_HANG, ground.pool.model_dump_json(), job.model_dump_json(), str(sent)]
        process = await asyncio.create_subprocess_exec(*argv, cwd=ROOT)
        await until(lambda: asyncio.to_thread(sent.exists), "the job handed over")
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
    row = await once(ground, "our process killed while it hands a job over", job, await over_with(ground, job))
    count = len(queued(ground.cluster, job))
    return [row, Check("jobs in Slurm for it", str(count), "1", held=count == 1)]


def contract() -> Check:
    """The contract suites on Slurm, in a session of their own."""
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "-k", "slurm"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    counts = re.findall(r"^slurm: (.+)$", done.stdout, re.MULTILINE)
    return Check(
        "the contract suites on it", counts[-1] if counts else "did not run", "all pass", held=done.returncode == 0 and bool(counts)
    )


if __name__ == "__main__":
    found = checks()
    print_checks(Console(width=170, highlight=False), found)
    sys.exit(0 if all(row.held for row in found) else 1)
