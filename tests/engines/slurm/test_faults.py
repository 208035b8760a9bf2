"""A real Slurm that dies, forgets to answer, or has no room: one job, its end seen, and words for what keeps it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from factory_infra.errors import CapacityExceeded, InvalidInput, Unavailable
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.providers.slurm import SlurmWalls
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.settings import Settings
from tests.engines.slurm.cluster import SlurmCluster, contained
from tests.engines.slurm.parts import TENANT, LosingEngine, ended, spec, until, until_state

pytestmark = pytest.mark.stack

BEGAN = "print('began', flush=True)\n"
SLOW = BEGAN + "import time\ntime.sleep(1.5)\nprint('done')"
FOREVER = BEGAN + "import time\nwhile True: time.sleep(0.2)"
SUBMIT_AND_HANG = """
import asyncio, pathlib, sys, time
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.settings import Settings
from tests.engines.slurm.parts import LosingEngine
class Hanging(LosingEngine):
    def submit(self, order, keep=()):
        super().submit(order, keep)
        pathlib.Path(sys.argv[3]).touch()
        time.sleep(600)
pool = SlurmPool.model_validate_json(sys.argv[1])
engine = Hanging(pool)
engine.lose = False
asyncio.run(SlurmJobs(pool, Settings(home=pool.work_dir), engine).submit(JobSpec.model_validate_json(sys.argv[2])))
"""


@pytest.fixture
def jobs(pool: SlurmPool, settings: Settings) -> SlurmJobs:
    """The pool's jobs."""
    return SlurmJobs(pool, settings)


def queued(cluster: SlurmCluster, job: JobSpec) -> list[str]:
    """The numbers of all of Slurm's jobs, of every generation, that are this one."""
    lines = cluster.run("squeue", "--noheader", "--states=all", "--format=%i %j").splitlines()
    name = f"{job.tenant}/{job.id}"
    return [line.split()[0] for line in lines if line.split()[1].partition("+")[0] == name and not line.endswith("-void")]


async def log(jobs: SlurmJobs, job: JobSpec) -> str:
    return (await jobs.logs(job.id, TENANT)).text


async def said(jobs: SlurmJobs, job: JobSpec, words: str) -> bool:
    return words in await log(jobs, job)


class TestAControllerThatDies:
    async def test_leaves_what_it_had_saved_and_its_end_is_seen(self, cluster: SlurmCluster, pool: SlurmPool, jobs: SlurmJobs) -> None:
        job, other = spec(pool, SLOW), spec(pool, BEGAN)
        await jobs.submit(job)
        began = (await until_state(jobs, job.id, JobState.RUNNING)).started_at
        assert began is not None
        await until(lambda: saved(cluster, began.timestamp()), "the controller's state saved")
        await asyncio.to_thread(cluster.kill_controller)
        refused = await asyncio.gather(jobs.get(job.id, TENANT), jobs.submit(other), return_exceptions=True)
        assert all(isinstance(each, Unavailable) and each.retryable and each.remedy for each in refused)
        await asyncio.to_thread(cluster.start_controller)
        for each in (job, other):
            await jobs.submit(each)
            assert (await ended(jobs, each.id)).state is JobState.SUCCEEDED
            assert len(queued(cluster, each)) == 1
        assert (await log(jobs, job)).splitlines() == ["began", "done"] and await log(jobs, other) == "began\n"

    async def test_and_forgets_what_it_had_not_saved_makes_the_job_lost_and_then_one(
        self, cluster: SlurmCluster, pool: SlurmPool, jobs: SlurmJobs
    ) -> None:
        """Slurm saves its queue every few seconds. It ends what it has forgotten, and never does the job run twice at a time."""
        job = spec(pool, SLOW)
        await jobs.submit(job)
        await until_state(jobs, job.id, JobState.RUNNING)
        await asyncio.to_thread(cluster.kill_controller)
        await asyncio.to_thread(cluster.start_controller)

        async def over() -> bool:
            now = await jobs.submit(job)
            return now.state.final and now.state is not JobState.LOST

        try:
            await until(over, "the job over")
        finally:
            # Slurm drains a node on which what it forgot still runs.
            await asyncio.to_thread(cluster.mend)
        assert (await jobs.get(job.id, TENANT)).state is JobState.SUCCEEDED
        lines = [line for line in (await log(jobs, job)).splitlines() if not line.startswith("slurmstepd")]
        assert lines in (["began", "done"], ["began", "began", "done"])


async def saved(cluster: SlurmCluster, since: float) -> bool:
    """Whether the controller has written its queue down since."""
    file = cluster.folder / "state" / "job_state"
    return file.exists() and file.stat().st_mtime > since + 1


class TestALostAnswer:
    async def test_is_found_by_name_and_the_job_is_one(self, cluster: SlurmCluster, pool: SlurmPool, settings: Settings) -> None:
        engine = LosingEngine(pool)
        jobs, job = SlurmJobs(pool, settings, engine), spec(pool, FOREVER)
        with pytest.raises(Unavailable):
            await jobs.submit(job)
        first = await SlurmJobs(pool, settings, engine).submit(job)
        assert first.engine_id and first.engine_id in queued(cluster, job)
        assert len(queued(cluster, job)) == 1
        await until(lambda: said(jobs, job, "began"), "the job began")
        assert (await jobs.cancel(job.id, TENANT)).state is JobState.CANCELLED
        assert (await log(jobs, job)).count("began") == 1

    async def test_without_the_name_there_are_two(self, cluster: SlurmCluster, pool: SlurmPool, settings: Settings) -> None:
        """The control. Even then the second generation alone counts, and the first ends without a trace if it has not begun."""
        engine = LosingEngine(pool, finds=False)
        jobs, job = SlurmJobs(pool, settings, engine), spec(pool, BEGAN)
        with pytest.raises(Unavailable):
            await jobs.submit(job)
        engine.lose = False
        await jobs.submit(job)
        assert len(queued(cluster, job)) == 2

    async def test_of_a_process_that_was_killed_is_found_again(
        self, cluster: SlurmCluster, pool: SlurmPool, jobs: SlurmJobs, tmp_path: Path
    ) -> None:
        job, sent = spec(pool, SLOW), tmp_path / "sent"
        argv = [sys.executable, "-c", SUBMIT_AND_HANG, pool.model_dump_json(), job.model_dump_json(), str(sent)]
        process = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parents[3])

        async def has_sent() -> bool:
            return sent.exists()

        await until(has_sent, "the job handed over")
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        assert (await jobs.get(job.id, TENANT)).state in {JobState.PENDING, JobState.RUNNING}
        await jobs.submit(job)
        assert (await ended(jobs, job.id)).state is JobState.SUCCEEDED
        assert len(queued(cluster, job)) == 1 and (await log(jobs, job)).count("began") == 1


class TestWhatIsAskedTooMuch:
    async def test_a_quota_is_told_in_words(self, cluster: SlurmCluster, pool: SlurmPool, jobs: SlurmJobs, settings: Settings) -> None:
        walls = SlurmWalls(pool, settings)
        await walls.ensure(TENANT)
        await walls.limit(TENANT, 1)
        first, second = (spec(pool, FOREVER, slot_kind="gpu", slots=[number]) for number in range(2))
        await jobs.submit(first)
        await until_state(jobs, first.id, JobState.RUNNING)
        await jobs.submit(second)

        async def told() -> bool:
            job = await jobs.get(second.id, TENANT)
            return job.waiting is not None and job.waiting.code == "AssocGrpGRES" and "GPUs" in job.waiting.reason

        await until(told, "the quota told")
        await jobs.cancel(first.id, TENANT)
        await until_state(jobs, second.id, JobState.RUNNING)
        await jobs.cancel(second.id, TENANT)
        await walls.limit(TENANT, None)

    async def test_more_than_there_is_is_refused(self, pool: SlurmPool, jobs: SlurmJobs) -> None:
        for fields in (
            {"slot_kind": "gpu", "slots": list(range(100))},
            {"limits": {"memory_gib": 10_000.0, "file_gib": 1.0, "seconds": 60.0}},
        ):
            with pytest.raises(CapacityExceeded) as refused:
                await jobs.submit(spec(pool, BEGAN, **fields))
            assert refused.value.remedy
        never = spec(pool, BEGAN, nodes=3)
        waiting = (await jobs.submit(never)).waiting
        assert waiting is not None and (waiting.code, "will not start" in waiting.remedy) == ("PartitionConfig", True)
        await jobs.cancel(never.id, TENANT)
        with pytest.raises(InvalidInput) as queue:
            await jobs.submit(spec(pool, BEGAN, queue="no-such-qos"))
        assert queue.value.error_code == "queue_unknown"

    @pytest.mark.skipif(not contained(), reason="this host has no control groups that Slurm can use")
    async def test_memory_beside_a_gpu_is_bounded_by_slurm(self, pool: SlurmPool, jobs: SlurmJobs) -> None:
        code = "data = [b'x' * 10**6 + bytes([n % 256]) for n in range(2000)]"
        job = spec(pool, code, slot_kind="gpu", slots=[0], limits={"memory_gib": 0.1, "file_gib": 0.1, "seconds": 100.0})
        await jobs.submit(job)
        over = await ended(jobs, job.id)
        assert over.state is JobState.FAILED and over.failure is not None and over.failure.code == "job_memory"

    async def test_a_log_without_end_is_cut(self, pool: SlurmPool, jobs: SlurmJobs, work_dir: Path) -> None:
        job = spec(pool, "while True: print('x' * 100_000)", limits={"memory_gib": 0.3, "file_gib": 0.01, "seconds": 100.0})
        await jobs.submit(job)
        full = await ended(jobs, job.id)
        assert full.state is JobState.FAILED and full.failure is not None and full.failure.code == "storage_full"
        assert (work_dir / pool.name / "jobs" / TENANT / job.id / "log.txt").stat().st_size < 11 * 1024**2
