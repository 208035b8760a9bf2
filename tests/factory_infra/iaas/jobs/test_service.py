"""Jobs of several pools: each goes to its own engine once, is found again, and its end outlives the engine's memory."""

import sys
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound, Unavailable
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool, SlurmPool
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.programs import python_argv, python_environment
from factory_infra.iaas.jobs.service import PooledJobs
from tests.factory_infra.iaas.jobs.engine import Engine, RetryingEngine

pytestmark = pytest.mark.stack


@pytest.fixture
def engines() -> dict[str, Engine]:
    return {"local": Engine(), "slurm-a": RetryingEngine(), "west": Engine()}


@pytest.fixture
def book(tmp_path: Path) -> PoolBook:
    made = PoolBook(tmp_path / "pools.yaml")
    made.add(SlurmPool(name="slurm-a", partition="gpu", work_dir=tmp_path, python="/opt/python"))
    made.add(AwsPool(name="west", region="us-west-2"))
    return made


@pytest.fixture
def jobs(database: Database, book: PoolBook, engines: dict[str, Engine]) -> PooledJobs:
    return PooledJobs(database, book, engines["local"], lambda spec: engines[spec.name])


def spec(pool: str = "", *, job_id: str = "job-1", tenant: str = "vision") -> JobSpec:
    return JobSpec(id=job_id, tenant=tenant, name="train", argv=["/bin/true"], pool=pool, lease_id="lease-1")


class TestSubmit:
    @pytest.mark.parametrize(("asked", "pool"), [("", "local"), ("slurm-a", "slurm-a"), ("west", "west")])
    async def test_goes_to_its_pool(self, jobs: PooledJobs, engines: dict[str, Engine], asked: str, pool: str) -> None:
        job = await jobs.submit(spec(asked))
        assert (job.pool, job.state) == (pool, JobState.RUNNING)
        assert {name: engine.starts for name, engine in engines.items() if engine.starts} == {pool: 1}

    async def test_a_lost_answer_doubles_nothing(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        engines["west"].lost_answer = Unavailable("The answer was lost.")
        with pytest.raises(Unavailable):
            await jobs.submit(spec("west"))
        assert (await jobs.get("job-1", "vision")).state is JobState.RUNNING
        await jobs.submit(spec("west"))
        assert engines["west"].starts == 1

    async def test_one_that_the_engine_never_heard_of_is_pending(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        engines["west"].fault = Unavailable("It is away.")
        with pytest.raises(Unavailable):
            await jobs.submit(spec("west"))
        engines["west"].fault = None
        assert (await jobs.get("job-1", "vision")).state is JobState.PENDING

    async def test_an_id_is_taken_in_one_pool_only(self, jobs: PooledJobs) -> None:
        await jobs.submit(spec("west"))
        with pytest.raises(Conflict) as raised:
            await jobs.submit(spec("slurm-a"))
        assert raised.value.error_code == "job_elsewhere"

    async def test_a_pool_that_is_not_there(self, jobs: PooledJobs) -> None:
        with pytest.raises(NotFound) as raised:
            await jobs.submit(spec("mars"))
        assert raised.value.error_code == "pool_unknown"

    async def test_a_program_of_ours_runs_with_the_pools_interpreter(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        ours = spec().model_copy(update={"argv": python_argv("x"), "environment": {**python_environment(), "A": "1"}})
        await jobs.submit(ours.model_copy(update={"pool": "slurm-a", "id": "a"}))
        await jobs.submit(ours.model_copy(update={"pool": "west", "id": "b"}))
        await jobs.submit(ours.model_copy(update={"id": "c"}))
        programs = [engines[pool].specs["vision", name].argv[0] for pool, name in (("slurm-a", "a"), ("west", "b"), ("local", "c"))]
        assert programs == ["/opt/python", "python3", sys.executable]
        assert engines["west"].specs["vision", "b"].environment == {"A": "1"}


class TestFinding:
    async def test_another_team_sees_nothing(self, jobs: PooledJobs) -> None:
        await jobs.submit(spec("west"))
        for ask in (jobs.get, jobs.cancel, jobs.logs, jobs.retry):
            with pytest.raises(NotFound):
                await ask("job-1", "language")
        assert await jobs.list("language") == []

    async def test_an_end_outlives_the_engines_memory(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        await jobs.submit(spec("west"))
        engines["west"].end("job-1", "vision", JobState.SUCCEEDED)
        assert (await jobs.get("job-1", "vision")).state is JobState.SUCCEEDED
        engines["west"].jobs.clear()
        assert (await jobs.get("job-1", "vision")).state is JobState.SUCCEEDED
        assert [job.state for job in await jobs.list("vision")] == [JobState.SUCCEEDED]

    async def test_one_that_vanished_while_it_ran_is_lost_and_may_start_again(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        await jobs.submit(spec("west"))
        engines["west"].jobs.clear()
        assert (await jobs.get("job-1", "vision")).state is JobState.LOST
        assert (await jobs.submit(spec("west"))).state is JobState.RUNNING

    async def test_a_pool_that_does_not_answer_shows_what_was_last_known(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        await jobs.submit(spec("west"))
        await jobs.submit(spec("slurm-a", job_id="job-2"))
        engines["west"].fault = Unavailable("It is away.")
        assert {job.id: job.state for job in await jobs.list("vision")} == {"job-1": JobState.RUNNING, "job-2": JobState.RUNNING}
        with pytest.raises(Unavailable):
            await jobs.get("job-1", "vision")

    async def test_a_pool_that_is_gone_is_told(self, jobs: PooledJobs, book: PoolBook) -> None:
        await jobs.submit(spec("west"))
        book.remove("west")
        with pytest.raises((Unavailable, NotFound)) as raised:
            await jobs.get("job-1", "vision")
        assert raised.value.error_code == "pool_unknown"
        assert len(await jobs.list("vision")) == 1

    async def test_newest_first(self, jobs: PooledJobs) -> None:
        for number, pool in enumerate(("west", "local", "slurm-a")):
            await jobs.submit(spec(pool, job_id=f"job-{number}"))
        assert [job.id for job in await jobs.list("vision")] == ["job-2", "job-1", "job-0"]


class TestAbilities:
    async def test_what_an_engine_cannot_do_is_refused_by_name(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        await jobs.submit(spec("west"))
        engines["west"].end("job-1", "vision", JobState.FAILED)
        for ask in (jobs.retry("job-1", "vision"), jobs.tasks("job-1", "vision"), jobs.result("job-1", "vision", "r.json")):
            with pytest.raises(InvalidInput) as raised:
                await ask
            assert raised.value.error_code == "not_offered"

    async def test_a_retry_is_the_same_job_again(self, jobs: PooledJobs, engines: dict[str, Engine]) -> None:
        await jobs.submit(spec("slurm-a"))
        with pytest.raises(Conflict):
            await jobs.retry("job-1", "vision")
        engines["slurm-a"].end("job-1", "vision", JobState.FAILED)
        await jobs.get("job-1", "vision")
        again = await jobs.retry("job-1", "vision")
        assert (again.state, again.attempt) == (JobState.RUNNING, 2)
        assert (await jobs.get("job-1", "vision")).state is JobState.RUNNING
