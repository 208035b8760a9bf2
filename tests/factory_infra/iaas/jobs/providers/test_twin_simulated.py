"""Jobs whose programs are not run: their course is drawn from a seed, cut off by failures, and the same for every process."""

from pathlib import Path

import pytest

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre
from factory_infra.foundation.twin.places import Places
from factory_infra.iaas.isolation.providers.twin import twin_walls
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers.twin import TwinJobs, twin_jobs
from factory_infra.iaas.jobs.providers.twin_simulated import SimulatedJobs
from factory_infra.settings import Settings


class Clock:
    """Real time as a test sets it; virtual time is as fast."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


class Hall:
    """Simulated jobs with a clock."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.settings = Settings(home=folder)
        base = {"name": "twin", "programs": "simulate", "job_seconds": 1000, "job_sigma": 0}
        self.pool = TwinPool.model_validate(base | fields)
        self.clock = Clock()
        self.jobs = self.fresh()

    def fresh(self) -> SimulatedJobs:
        """Another process."""
        jobs = SimulatedJobs(self.pool, self.settings)
        jobs._centre = DataCentre(self.pool, self.settings, self.clock)
        jobs._places = Places(jobs._centre)
        return jobs

    def spec(self, name: str = "j", **fields: object) -> JobSpec:
        base = {"id": name, "tenant": "vision", "name": "a test", "argv": ["train", "--fast"], "pool": "twin"}
        return JobSpec.model_validate(base | fields)


@pytest.fixture
def hall(tmp_path: Path) -> Hall:
    return Hall(tmp_path)


async def test_a_job_runs_for_its_drawn_time_and_its_log_says_that_it_is_simulated(hall: Hall) -> None:
    started = await hall.jobs.submit(hall.spec())
    assert started.state is JobState.RUNNING and started.nodes[0].startswith("simulated-") and started.engine_id == "simulated/twin"
    hall.clock.at += 500
    half = await hall.fresh().get("j", "vision")
    assert half.percent == 50 and half.state is JobState.RUNNING
    hall.clock.at += 501
    ended = await hall.fresh().get("j", "vision")
    assert (ended.state, ended.exit_code, ended.percent, ended.attempt) == (JobState.SUCCEEDED, 0, 100, 1)
    assert ended.finished_at is not None and ended.finished_at.timestamp() == pytest.approx(1_001_000, abs=1)
    log = await hall.jobs.logs("j", "vision")
    assert log.complete and "the program is not run: train --fast" in log.text
    assert all(line.startswith("simulated ") for line in log.text.splitlines())
    assert await hall.jobs.result("j", "vision", "result.json") is None
    assert (await hall.jobs.tail("j", "vision", 60)).endswith("succeeded\n")


async def test_twice_is_once(hall: Hall) -> None:
    first = await hall.jobs.submit(hall.spec())
    hall.clock.at += 10
    again = await hall.fresh().submit(hall.spec())
    assert again.started_at == first.started_at and len(await hall.jobs.list()) == 1


async def test_a_machine_that_fails_sends_it_back_to_its_checkpoint(tmp_path: Path) -> None:
    hall = Hall(tmp_path, job_seconds=5000)
    job = await hall.jobs.submit(hall.spec(limits={"seconds": None}))
    hall.clock.at += 2000
    DataCentre(hall.pool, hall.settings, hall.clock).fail(job.nodes[0], hours=100)
    hall.clock.at += 100
    again = await hall.fresh().get("j", "vision")
    assert (again.state, again.attempt) == (JobState.RUNNING, 2) and again.nodes != job.nodes
    hall.clock.at += 3120  # 5000 less the checkpoint at 1800, and the restart
    assert (await hall.fresh().get("j", "vision")).state is JobState.RUNNING
    hall.clock.at += 80
    assert (await hall.fresh().get("j", "vision")).state is JobState.SUCCEEDED
    assert "goes on from its last checkpoint" in (await hall.jobs.logs("j", "vision")).text


async def test_one_that_runs_too_long_is_ended(hall: Hall) -> None:
    await hall.jobs.submit(hall.spec(limits={"seconds": 100.0}))
    hall.clock.at += 101
    ended = await hall.jobs.get("j", "vision")
    assert ended.state is JobState.FAILED and ended.failure is not None and ended.failure.code == "job_timeout"


async def test_cancelled_is_cancelled_and_tried_again_from_the_start(hall: Hall) -> None:
    await hall.jobs.submit(hall.spec())
    hall.clock.at += 100
    assert (await hall.jobs.cancel("j", "vision")).state is JobState.CANCELLED
    hall.clock.at += 5000
    assert (await hall.jobs.cancel("j", "vision")).state is JobState.CANCELLED
    again = await hall.jobs.retry("j", "vision")
    assert (again.state, again.attempt) == (JobState.RUNNING, 2)
    with pytest.raises(Conflict):
        await hall.jobs.retry("j", "vision")


async def test_one_waits_for_another_and_fails_with_it(hall: Hall) -> None:
    await hall.jobs.submit(hall.spec("a"))
    waiting = await hall.jobs.submit(hall.spec("b", after=["a"]))
    assert waiting.state is JobState.PENDING and waiting.waiting is not None and "a" in waiting.waiting.reason
    hall.clock.at += 1500
    assert (await hall.jobs.get("b", "vision")).state is JobState.RUNNING
    await hall.jobs.submit(hall.spec("c"))
    await hall.jobs.submit(hall.spec("d", after=["c"]))
    await hall.jobs.cancel("c", "vision")
    ended = await hall.jobs.get("d", "vision")
    assert ended.failure is not None and ended.failure.code == "dependency_failed"


async def test_another_team_sees_nothing(hall: Hall) -> None:
    await hall.jobs.submit(hall.spec())
    for ask in (hall.jobs.get, hall.jobs.logs, hall.jobs.cancel, hall.jobs.retry):
        with pytest.raises(NotFound):
            await ask("j", "speech")
    assert await hall.jobs.list("speech") == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": "a b"}, "name_invalid"),
        ({"argv": []}, "program_unknown"),
        ({"array": 3}, "not_offered"),
        ({"image": "x"}, "not_offered"),
        ({"after": ["nothing"]}, "dependency_unknown"),
        ({"nodes": 5}, "capacity_exceeded"),
    ],
)
async def test_what_cannot_be_is_refused(hall: Hall, fields: dict[str, object], code: str) -> None:
    name = str(fields.pop("name", "j"))
    with pytest.raises(LineshaftError) as refused:
        await hall.jobs.submit(hall.spec(name, **fields))
    assert refused.value.error_code == code and refused.value.remedy
    assert isinstance(refused.value, InvalidInput | CapacityExceeded)


async def test_the_pools_entry_says_whether_programs_run(hall: Hall) -> None:
    assert isinstance(twin_jobs(hall.pool, hall.settings), SimulatedJobs)
    assert isinstance(twin_jobs(hall.pool.model_copy(update={"programs": "run"}), hall.settings), TwinJobs)


async def test_the_walls_of_a_pool_without_programs_refuse_at_the_jobs_door(hall: Hall) -> None:
    walls = twin_walls(hall.pool, hall.settings)
    assert [wall.state for wall in await walls.ensure("speech")] == ["up"]
    attempts = await walls.attack("vision", "speech")
    assert len(attempts) == 4 and all(each.refused and each.by for each in attempts)
    await walls.remove("speech")
