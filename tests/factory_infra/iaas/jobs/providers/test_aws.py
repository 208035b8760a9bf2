"""Jobs on AWS: what is lost on the way never doubles, and an engine's reasons are told in words."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from factory_infra.errors import InvalidInput, LineshaftError, NotFound
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.iaas.jobs.carrier import store
from factory_infra.iaas.jobs.carrier.keys import job_folder
from factory_infra.iaas.jobs.models import JobSpec, JobState
from factory_infra.iaas.jobs.providers import aws_reading, aws_submitting
from factory_infra.iaas.jobs.providers.aws import AwsJobs
from factory_infra.iaas.jobs.providers.aws_bucket import JobBucket, stamped
from factory_infra.settings import Settings
from tests.contract import aws, aws_sagemaker
from tests.contract.houses import FOREVER, House, Site
from tests.emulators.aws import batch, sagemaker
from tests.emulators.aws.server import Emulator

pytestmark = pytest.mark.stack
SAVE = (
    "import os, pathlib, time\n"
    "kept = pathlib.Path(os.environ['LINESHAFT_CHECKPOINT_DIR'], 'step')\n"
    "print('from', kept.read_text() if kept.exists() else 'the start', flush=True)\n"
    "if not kept.exists():\n"
    "    kept.write_text('step 7')\n"
    "    time.sleep(600)\n"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with aws.House(tmp_path_factory.mktemp("aws")) as house:
        yield Site("aws", cast("House", house))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def training(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with aws_sagemaker.House(tmp_path_factory.mktemp("training")) as house:
        yield Site("aws_sagemaker", cast("House", house))


def world(site: Site) -> batch.Batch:
    assert isinstance(site.house, aws.House)
    return batch.of(site.house.emulator.world)


def emulator_of(site: Site) -> Emulator:
    assert isinstance(site.house, aws.House)
    return site.house.emulator


def bucket_of(site: Site) -> JobBucket:
    assert isinstance(site.house, aws.House)
    return JobBucket(AwsAccess(site.house.pool, Settings()))


def named(site: Site, job_id: str) -> list[batch.Job]:
    return [job for job in world(site).jobs.values() if job.asked["tags"]["lineshaft:job"] == job_id]


class TestOnce:
    async def test_a_lost_answer_leaves_one_job(self, site: Site) -> None:
        spec = site.spec("print('began')")
        emulator_of(site).faults.add("dropped", "SubmitJob", service="batch")
        await site.jobs.submit(spec)
        assert (await site.ended(spec.id)).state is JobState.SUCCEEDED
        assert len(named(site, spec.id)) == 1

    async def test_without_keys_a_lost_answer_doubles_it(self, site: Site, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The control: what the test above protects against is real."""
        assert isinstance(site.house, aws.House)
        bare = AwsJobs(site.house.pool, Settings(home=tmp_path_factory.mktemp("bare"), idempotency_keys=False))
        spec = site.spec("pass")
        emulator_of(site).faults.add("dropped", "SubmitJob", service="batch")
        await bare.submit(spec)
        assert len(named(site, spec.id)) == 2

    async def test_a_worker_that_died_between_claim_and_submission_is_replaced(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(aws_submitting, "CLAIM_SECONDS", 0.5)
        spec, bucket = site.spec("pass"), bucket_of(site)
        await bucket.begin(spec)
        assert await bucket.take(job_folder(spec.tenant, spec.id), 1)
        assert (await site.get(spec.id)).state is JobState.PENDING
        await site.jobs.submit(spec)
        await site.ended(spec.id)
        assert len(named(site, spec.id)) == 1

    async def test_a_worker_that_died_after_the_submission_is_not_repeated(self, site: Site) -> None:
        assert isinstance(site.house, aws.House)
        spec = site.spec("print('began')")
        folder = job_folder(spec.tenant, spec.id)
        await site.jobs.submit(spec)
        aws.client("s3", emulator_of(site).address).delete_object(Bucket=site.house.bucket, Key=folder.engine(1))
        await site.house.forget()
        await site.jobs.submit(spec)
        await site.ended(spec.id)
        assert len(named(site, spec.id)) == 1 and (await site.whole_log(spec.id)).count("began") == 1

    async def test_a_second_copy_in_the_engine_does_nothing(self, site: Site) -> None:
        spec = site.spec("print('began')")
        await site.jobs.submit(spec)
        await site.ended(spec.id)
        first = named(site, spec.id)[0]
        copy = batch.Job(first.world, first.region, "copy", {**first.asked, "retryStrategy": {}}, first.definition)
        await asyncio.to_thread(copy.live)
        assert copy.attempts[0]["parts"][0]["exitCode"] == 76
        assert (await site.get(spec.id)).attempt == 1

    async def test_what_the_engine_forgot_without_an_end_is_lost_and_starts_again(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = await site.start(f"print('began', flush=True)\n{FOREVER}")
        await site.said(job, "began")
        old = named(site, job)[0]
        world(site).forgotten.add(old.id)
        assert (await site.get(job)).state is JobState.PENDING
        monkeypatch.setattr(aws_reading, "FORGET_SECONDS", -1.0)
        lost = await site.get(job)
        assert lost.state is JobState.LOST and lost.failure is not None and lost.failure.remedy
        old.terminate("gone")
        again = await site.jobs.submit(site.spec(f"print('began', flush=True)\n{FOREVER}", id=job))
        monkeypatch.undo()
        assert again.state in {JobState.PENDING, JobState.RUNNING} and again.engine_id != old.id
        await site.jobs.cancel(job, site.tenant)


class TestPreemption:
    async def test_a_host_that_dies_without_a_word_loses_no_synced_checkpoint(self, site: Site) -> None:
        job = await site.start(SAVE)
        folder, bucket = job_folder(site.tenant, job), bucket_of(site)

        async def kept() -> bool:
            return await bucket.get(folder.checkpoint + "step") == b"step 7"

        await site.until(kept, "the checkpoint in the bucket")
        engine = named(site, job)[0]
        engine.interrupted = True
        os.kill(engine.containers[0].pid, signal.SIGKILL)
        ended = await site.ended(job)
        assert (ended.state, ended.attempt) == (JobState.SUCCEEDED, 2)
        assert "from step 7" in await site.whole_log(job)


class TestStore:
    async def test_a_large_file_goes_in_parts_and_comes_back_whole(
        self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert isinstance(site.house, aws.House)
        monkeypatch.setenv("AWS_ENDPOINT_URL", emulator_of(site).address)
        monkeypatch.setattr(store, "PART_BYTES", 5 * 1024**2)
        bucket = store.Store(site.house.bucket, aws.REGION)
        body = os.urandom(11 * 1024**2)
        (tmp_path / "weights").write_bytes(body)
        await asyncio.to_thread(bucket.upload, tmp_path / "weights", "in_parts/weights")
        await asyncio.to_thread(bucket.download, "in_parts/weights", tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == body
        assert not await asyncio.to_thread(bucket.put_new, "in_parts/weights", b"another")


class TestRoles:
    async def test_jobs_run_under_their_teams_own_role_where_the_pool_wants_that(self, site: Site) -> None:
        assert isinstance(site.house, aws.House)
        jobs = AwsJobs(site.house.pool.model_copy(update={"tenant_roles": True}), Settings())
        teams_own_role = []
        for tenant in (site.tenant, site.house.other_tenant):
            spec = site.spec("pass", tenant=tenant)
            await jobs.submit(spec)
            teams_own_role.append(named(site, spec.id)[0].definition["containerProperties"]["jobRoleArn"])
        assert f"lineshaft-cloud-{site.tenant}-" in teams_own_role[0] and len(set(teams_own_role)) == 2


class TestWords:
    @pytest.mark.parametrize(
        ("said", "words"),
        [
            ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job asks for more than any machine has.", "large enough"),
            ("CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Insufficient capacity for p5.48xlarge.", "no machine"),
        ],
    )
    async def test_why_a_job_waits(self, site: Site, said: str, words: str) -> None:
        world(site).holding = said
        job = await site.start("pass")

        async def told() -> bool:
            waiting = (await site.get(job)).waiting
            return waiting is not None and waiting.code == said.split(" ")[0] and words in waiting.reason and bool(waiting.remedy)

        await site.until(told, "the reason")
        assert (await site.jobs.cancel(job, site.tenant)).state is JobState.CANCELLED
        world(site).holding = ""

    @pytest.mark.parametrize("queue", ["closed", "nowhere"])
    async def test_a_queue_that_takes_nothing_is_told_and_no_job_is_left(self, site: Site, queue: str) -> None:
        world(site).queues["closed"] = "DISABLED"
        spec = site.spec("pass", queue=queue)
        with pytest.raises(InvalidInput) as refused:
            await site.jobs.submit(spec)
        assert refused.value.error_code == "queue_closed" and queue in refused.value.reason
        with pytest.raises(NotFound):
            await site.get(spec.id)

    @pytest.mark.parametrize(
        ("field", "code"), [("batch_queue", "pool_incomplete"), ("job_image", "pool_incomplete"), ("bucket", "pool_incomplete")]
    )
    async def test_what_the_pool_lacks_is_named(self, site: Site, field: str, code: str) -> None:
        assert isinstance(site.house, aws.House)
        jobs = AwsJobs(site.house.pool.model_copy(update={field: ""}), Settings())
        with pytest.raises(InvalidInput) as refused:
            await jobs.submit(site.spec("pass"))
        assert (refused.value.error_code, field in refused.value.remedy) == (code, True)

    async def test_a_bucket_that_is_not_there_is_told(self, site: Site) -> None:
        assert isinstance(site.house, aws.House)
        jobs = AwsJobs(site.house.pool.model_copy(update={"bucket": "no-such-bucket"}), Settings())
        for ask in (jobs.submit(site.spec("pass")), jobs.get("x", site.tenant)):
            with pytest.raises(NotFound) as refused:
                await ask
            assert refused.value.error_code == "bucket_unknown" and "no-such-bucket" in refused.value.reason

    async def test_what_batch_cannot_is_refused_by_name(self, site: Site) -> None:
        for fields in ({"array": 2, "nodes": 2}, {"after": [f"j{number}" for number in range(21)]}):
            with pytest.raises(InvalidInput) as refused:
                await site.jobs.submit(site.spec("pass", **fields))
            assert refused.value.error_code == "not_offered"


class TestTraining:
    async def test_capacity_and_limits_in_words(self, training: Site) -> None:
        assert isinstance(training.house, aws.House)
        state = sagemaker.of(training.house.emulator.world)
        state.holding = "Insufficient capacity error from EC2 while launching instances, retrying!"
        waiting = await training.start("pass")
        await training.until(lambda: _waits(training, waiting, "CapacityError"), "capacity in words")
        await training.jobs.cancel(waiting, training.tenant)
        state.holding = ""
        for reason, code in (
            ("CapacityError: Unable to provision requested ML compute capacity.", "capacity_short"),
            ("ResourceLimitExceeded: p5", "account_limit"),
        ):
            state.failing = reason
            ended = await training.ended(await training.start("pass"))
            assert ended.failure is not None and ended.failure.code == code and ended.failure.remedy
        state.failing = ""

    async def test_a_limit_at_creation_is_told(self, training: Site) -> None:
        emulator_of(training).faults.add("refused", "CreateTrainingJob", service="sagemaker", code="ResourceLimitExceeded")
        with pytest.raises(LineshaftError) as refused:
            await training.jobs.submit(training.spec("pass"))
        assert refused.value.error_code == "account_limit"

    async def test_a_lost_answer_leaves_one_job(self, training: Site) -> None:
        spec = training.spec("print('began')")
        emulator_of(training).faults.add("dropped", "CreateTrainingJob", service="sagemaker")
        await training.jobs.submit(spec)
        await training.ended(spec.id)
        assert (await training.whole_log(spec.id)).count("began") == 1


class TestLogs:
    async def test_a_fresh_process_reads_on_from_any_offset(self, site: Site) -> None:
        job = await site.start("for number in range(300): print('line', number, '' if number % 7 else '\\n')")
        await site.ended(job)
        whole = await site.whole_log(job)
        for offset in (0, 1, 700, len(whole) - 3, len(whole)):
            await site.house.forget()
            chunk = await site.jobs.logs(job, site.tenant, offset, limit=100)
            assert chunk.text == whole[offset : offset + 100]

    async def test_a_log_over_its_limit_ends_in_words_and_the_job_goes_on(self, site: Site) -> None:
        code = "import sys\nfor _ in range(400): sys.stdout.write('x' * 10_000 + '\\n')"
        job = await site.start(code, limits={"memory_gib": 0.5, "file_gib": 0.001, "seconds": 600.0})
        assert (await site.ended(job)).state is JobState.SUCCEEDED
        tail = await site.tails.tail(job, site.tenant, 200)
        assert "reached its limit" in tail


async def _waits(site: Site, job: str, code: str) -> bool:
    waiting = (await site.get(job)).waiting
    return (waiting is not None and code in waiting.code) or (waiting is not None and "no machine" in waiting.reason)


def test_a_record_differs_from_every_other() -> None:
    assert stamped({}) != stamped({})
    assert JobSpec(id="a", tenant="t", name="n", argv=["x"]).pool == "local" and time.monotonic() > 0
