"""Slurm jobs over a queue that is only remembered: one job for an id whatever is lost, and words for what cannot be asked."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from factory_infra.errors import Conflict, InvalidInput, LineshaftError, NotFound, StorageFull, Unavailable
from factory_infra.foundation.pools.slurm_accounts import user_of
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.jobs.models import Job, JobSpec, JobState
from factory_infra.iaas.jobs.providers.slurm import SlurmJobs
from factory_infra.iaas.jobs.providers.slurm_engine import Ending, Order, Row
from factory_infra.settings import Settings


class Remembered:
    """A queue in memory: jobs wait until a test says otherwise."""

    def __init__(self, user: str) -> None:
        self.rows: dict[str, Row] = {}
        self.orders: dict[str, Order] = {}
        self.user = user
        self.lose = False
        self.silent = False
        self.refuse: LineshaftError | None = None
        self.released: list[str] = []

    def submit(self, order: Order, keep: tuple[int, ...] = ()) -> str:
        """Queue it; the answer may get lost."""
        self._answer()
        if self.refuse is not None:
            raise self.refuse
        number = str(len(self.rows) + 1)
        self.orders[number] = order
        self.rows[number] = Row(number, order.name, self.user, "PENDING", "Priority")
        if self.lose:
            raise Unavailable("The answer was lost.")
        return number

    def _answer(self) -> None:
        if self.silent:
            raise Unavailable("Slurm does not answer.")

    def queued(self, ids: Sequence[str]) -> list[Row]:
        """What is known."""
        self._answer()
        return [self.rows[number] for number in ids if number in self.rows]

    def named(self, name: str, since: datetime) -> list[Row]:
        """By its name."""
        self._answer()
        return [row for row in self.rows.values() if row.name == name]

    def ended(self, ids: Sequence[str], since: datetime) -> list[Row]:
        """No accounts are kept."""
        return []

    def end(self, job_id: str, how: Ending) -> None:
        """Cancel."""
        self._answer()
        if not self.rows[job_id].final:
            self.set(job_id, "CANCELLED")

    def release(self, job_id: str) -> None:
        """Let it wait again."""
        self.released.append(job_id)

    def set(self, number: str, state: str, reason: str = "None") -> None:
        """Let a job be in a state."""
        self.rows[number] = replace(self.rows[number], state=state, reason=reason, ended_at=datetime.now(UTC))

    @property
    def real(self) -> list[str]:
        """The jobs that are no place-holders."""
        return [number for number, order in self.orders.items() if not order.held]


@pytest.fixture
def pool(tmp_path: Path) -> SlurmPool:
    return SlurmPool(name="hpc", partition="gpu", work_dir=tmp_path / "shared", qos="low")


@pytest.fixture
def engine(pool: SlurmPool) -> Remembered:
    return Remembered(user_of(pool, "vision"))


@pytest.fixture
def jobs(pool: SlurmPool, engine: Remembered, settings: Settings) -> SlurmJobs:
    return SlurmJobs(pool, settings, engine)


def spec(**fields: object) -> JobSpec:
    return JobSpec.model_validate({"id": "job", "tenant": "vision", "name": "a", "argv": ["train"], "pool": "hpc"} | fields)


async def get(jobs: SlurmJobs, name: str = "job") -> Job:
    return await jobs.get(name, "vision")


class TestOneJobForAnId:
    async def test_when_it_is_asked_for_twice_or_at_once(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await asyncio.gather(*(jobs.submit(spec()) for _ in range(5)))
        job = await get(jobs)
        assert (job.state, job.engine_id, job.pool) == (JobState.PENDING, "1", "hpc") and len(engine.orders) == 1
        assert job.waiting is not None and job.waiting.code == "Priority"

    async def test_when_the_answer_was_lost(self, jobs: SlurmJobs, engine: Remembered) -> None:
        engine.lose = True
        with pytest.raises(Unavailable):
            await jobs.submit(spec())
        assert (await get(jobs)).engine_id == "1"
        assert (await jobs.submit(spec())).engine_id == "1" and len(engine.orders) == 1

    async def test_when_slurm_was_away(self, jobs: SlurmJobs, engine: Remembered) -> None:
        engine.silent = True
        with pytest.raises(Unavailable):
            await jobs.submit(spec())
        engine.silent = False
        assert (await get(jobs)).state is JobState.LOST
        assert (await jobs.submit(spec())).state is JobState.PENDING and len(engine.real) == 1

    async def test_when_slurm_forgot_it_and_gives_its_number_to_another(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        engine.rows["1"] = Row("1", "somebody/else", engine.user, "RUNNING")
        assert (await get(jobs)).state is JobState.LOST
        again = await jobs.submit(spec())
        assert again.state is JobState.PENDING and engine.orders[again.engine_id].name == "vision/job+2"

    async def test_of_a_stranger_that_bears_its_name_nothing_is_believed(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        engine.rows["1"] = replace(engine.rows["1"], user="stranger")
        assert (await get(jobs)).state is JobState.LOST


class TestHeldBySlurm:
    async def test_a_start_that_failed_on_its_node_is_let_go_a_few_times(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        engine.set("1", "PENDING", "launch failed requeued held")
        for _ in range(9):
            assert (await get(jobs)).state is JobState.PENDING
        assert engine.released == ["1"] * 5

    async def test_what_a_person_holds_stays_held(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        engine.set("1", "PENDING", "JobHeldUser")
        await get(jobs)
        assert engine.released == []


class TestAnEnd:
    async def test_is_kept_when_slurm_forgets_it(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        engine.set("1", "TIMEOUT")
        first = await get(jobs)
        assert first.failure is not None and first.failure.code == "job_timeout"
        engine.rows.clear()
        engine.silent = True
        assert await get(jobs) == first
        assert [job.id for job in await jobs.list("vision")] == ["job"]

    async def test_that_was_asked_for_is_a_cancellation_even_when_slurm_is_asked_late(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        assert (await jobs.cancel("job", "vision")).state is JobState.CANCELLED
        assert (await jobs.cancel("job", "vision")).state is JobState.CANCELLED
        assert (await jobs.submit(spec())).state is JobState.CANCELLED and len(engine.orders) == 1

    async def test_of_what_was_never_handed_over_is_written_down(self, jobs: SlurmJobs, engine: Remembered) -> None:
        engine.silent = True
        with pytest.raises(Unavailable):
            await jobs.submit(spec())
        engine.silent = False
        assert (await jobs.cancel("job", "vision")).state is JobState.CANCELLED
        assert (await get(jobs)).state is JobState.CANCELLED

    async def test_that_was_bad_may_be_tried_again_and_a_good_one_not(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec())
        with pytest.raises(Conflict):
            await jobs.retry("job", "vision")
        engine.set("1", "FAILED")
        assert (await jobs.retry("job", "vision")).state is JobState.PENDING and len(engine.orders) == 2
        engine.set("2", "COMPLETED")
        with pytest.raises(Conflict):
            await jobs.retry("job", "vision")


class TestDependencies:
    async def test_are_slurms_numbers_and_what_has_succeeded_is_left_out(self, jobs: SlurmJobs, engine: Remembered) -> None:
        for name in ("first", "second"):
            await jobs.submit(spec(id=name))
        engine.set("1", "COMPLETED")
        await jobs.submit(spec(after=["first", "second"]))
        assert engine.orders["3"].after == ("2",)

    async def test_on_what_has_failed_fail_at_once(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec(id="first"))
        engine.set("1", "FAILED")
        job = await jobs.submit(spec(after=["first"]))
        assert job.failure is not None and job.failure.code == "dependency_failed" and len(engine.orders) == 1


class TestWhatIsAsked:
    async def test_is_shared_out_over_nodes_and_tasks(self, jobs: SlurmJobs, engine: Remembered) -> None:
        await jobs.submit(spec(id="a", slot_kind="gpu", slots=[0, 1, 2, 3], nodes=2, limits={"memory_gib": 0.5, "seconds": 90.0}))
        await jobs.submit(spec(id="b", slots=[0, 1, 2], array=9, queue="high"))
        await jobs.submit(spec(id="c", service=True))
        first, second, third = engine.orders.values()
        assert (first.gres, first.nodes, first.cpus, first.memory_mib, first.minutes) == ("gpu:2", 2, 1, 512, 4)
        assert (second.array, second.lanes, second.cpus, second.qos, third.qos) == (9, 3, 1, "high", "low")
        assert third.minutes is None and third.account == "lineshaft_vision"

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"slot_kind": "gpu", "slots": [0, 1, 2], "nodes": 2}, "slots_invalid"),
            ({"array": 2, "nodes": 2}, "not_offered"),
            ({"image": "nvcr.io/x"}, "not_offered"),
            ({"environment": {"A;id": "x"}}, "name_invalid"),
            ({"environment": {"A": "x\0y"}}, "program_unknown"),
            ({"inputs": {"step.sh": ""}}, "name_invalid"),
            ({"inputs": {"owner.1": ""}}, "name_invalid"),
            ({"queue": "low --uid=0"}, "name_invalid"),
            ({"after": ["nobody"]}, "dependency_unknown"),
        ],
    )
    async def test_and_cannot_be_is_refused_and_leaves_no_job(self, jobs: SlurmJobs, fields: dict[str, object], code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await jobs.submit(spec(**fields))
        assert refused.value.error_code == code
        with pytest.raises(NotFound):
            await get(jobs)

    async def test_and_slurm_refuses_leaves_no_job(self, jobs: SlurmJobs, engine: Remembered) -> None:
        engine.refuse = InvalidInput("no such QOS", code="queue_unknown")
        with pytest.raises(InvalidInput):
            await jobs.submit(spec())
        with pytest.raises(NotFound):
            await get(jobs)
        engine.refuse = None
        assert (await jobs.submit(spec())).state is JobState.PENDING

    async def test_our_interpreter_becomes_the_pools(self, pool: SlurmPool, engine: Remembered, settings: Settings) -> None:
        jobs = SlurmJobs(pool.model_copy(update={"python": "/opt/lineshaft/bin/python"}), settings, engine)
        await jobs.submit(spec(argv=[sys.executable, "-m", "x"]))
        assert "/opt/lineshaft/bin/python -m x" in (pool.work_dir / "hpc/jobs/vision/job/step.sh").read_text()

    async def test_a_folder_that_cannot_be_written_is_told(self, pool: SlurmPool, engine: Remembered, settings: Settings) -> None:
        pool.work_dir.parent.joinpath("file").touch()
        jobs = SlurmJobs(pool.model_copy(update={"work_dir": pool.work_dir.parent / "file"}), settings, engine)
        with pytest.raises(StorageFull):
            await jobs.submit(spec())
