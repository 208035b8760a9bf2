"""Endpoints' servers in an emulated SageMaker: made once, proved, asked, and removed with all that is theirs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import boto3
import pytest

from factory_infra.database import Database
from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.providers.sagemaker import SageMakerServing, name_of, stem_of
from factory_infra.paas.deployments.rollout_models import NewRollout, RolloutPlan, RolloutState, Strategy
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.serving import Keep, Server
from factory_infra.settings import Settings
from tests.emulators.aws import sagemaker_hosting
from tests.emulators.aws.server import PLUGINS, Emulator
from tests.emulators.aws.standing import KEYS
from tests.tiny_onnx import ROWS, TinyRegistry
from tests.waiting import eventually

pytestmark = pytest.mark.stack
if sagemaker_hosting.plug not in PLUGINS:
    PLUGINS.append(sagemaker_hosting.plug)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An account with a bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with Emulator().serving() as made:
        made.world.extra["endpoint"] = made.address
        boto3.client("s3", endpoint_url=made.address, region_name="us-east-1").create_bucket(Bucket=bucket_of(made))
        yield made
        for each in list(sagemaker_hosting.of(made.world).running.values()):
            each.end()


def bucket_of(emulator: Emulator) -> str:
    """The account's bucket: names of buckets are shared by all accounts."""
    return f"lineshaft-served-{emulator.world.account}"


def pool_of(emulator: Emulator) -> AwsPool:
    """The pool's entry."""
    fields = {
        "name": "cloud",
        "region": "us-east-1",
        "endpoint_url": emulator.address,
        "instance_types": ["m5.large"],
        "bucket": bucket_of(emulator),
    }
    return AwsPool.model_validate({**fields, "job_image": "lineshaft:test", "job_role_arn": "arn:aws:iam::123456789012:role/lineshaft"})


@pytest.fixture
async def serving(emulator: Emulator, tmp_path: Path) -> AsyncIterator[SageMakerServing]:
    """What serves there."""
    made = SageMakerServing(pool_of(emulator), Settings(home=tmp_path), TinyRegistry(), poll_seconds=0.05)
    yield made
    await made.close()


async def start(serving: SageMakerServing, version: int, job_id: str) -> Server:
    """Start a server of endpoint reader."""
    return await serving.start("reader", await TinyRegistry().get("vision", "digits", version), job_id)


def left(emulator: Emulator) -> list[str]:
    """What is there of servers."""
    return [name for kind in sagemaker_hosting.of(emulator.world).made.values() for name in kind]


async def test_a_server_is_made_once_answers_and_leaves_nothing(emulator: Emulator, serving: SageMakerServing) -> None:
    server = await start(serving, 1, "serve-reader-a-0")
    assert await start(serving, 1, "serve-reader-a-0") == server and len(left(emulator)) == 3
    assert (await serving.ask("vision", server, ROWS)).labels == ["high" if sum(row) > 0.5 else "low" for row in ROWS]
    with pytest.raises(InvalidInput) as raised:
        await serving.ask("vision", server, [[1.0]])
    assert raised.value.error_code == "features_wrong"
    assert not await serving.answers("speech", server)
    await serving.stop_others("vision", "other", Keep())
    await serving.stop_others("vision", "reader", Keep(bases=frozenset({"serve-reader-a"})))
    assert await serving.answers("vision", server)
    await serving.stop_others("vision", "reader", Keep())
    assert left(emulator) == []
    with pytest.raises(Unavailable):
        await serving.ask("vision", server, ROWS)


async def test_one_that_fails_to_start_is_told_with_its_reason_and_removed(emulator: Emulator, serving: SageMakerServing) -> None:
    sagemaker_hosting.of(emulator.world).failing = "CannotStartContainerError"
    with pytest.raises(EffectFailed, match="CannotStartContainerError"):
        await start(serving, 1, "serve-reader-a-0")
    assert left(emulator) == []


async def test_a_rollout_there_is_the_same_rollout(
    emulator: Emulator, serving: SageMakerServing, database: Database, tmp_path: Path
) -> None:
    deployments = LocalDeployments(database, TinyRegistry(), LocalJobs(tmp_path / "jobs"), tmp_path / "endpoints", "http://x")
    deployments.elsewhere = lambda pool: serving
    rollouts = Rollouts(database, deployments)
    await deployments.deploy("vision", "reader", "digits", 1, "deploy/1", "cloud")
    plan = RolloutPlan(strategy=Strategy.BLUE_GREEN, step_seconds=0, requests_min=5)
    begun = await rollouts.start(NewRollout(tenant="vision", endpoint="reader", model_name="digits", version=2, key="k", plan=plan))
    await rollouts.turn(begun.id)
    assert {(await deployments.predict("vision", "reader", ROWS)).version for _ in range(6)} == {2}
    await deployments.traffic.tally.write()
    assert (await rollouts.turn(begun.id)).state is RolloutState.PROMOTED
    await deployments.retire("vision", "reader", "retire")
    await eventually(lambda: left(emulator) == [], 30)
    await deployments.close()


def test_a_name_is_of_its_endpoint_and_its_team() -> None:
    assert name_of("vision", "serve-a-b.c-0123-0").startswith(stem_of("vision", "a-b.c"))
    assert name_of("vision", "serve-a-0123-0") != name_of("speech", "serve-a-0123-0")
    assert len(name_of("v" * 63, f"serve-{'n' * 63}-0123456789abcdef-12")) <= 63


async def test_a_pool_that_lacks_what_it_needs_is_said(tmp_path: Path) -> None:
    bare = SageMakerServing(AwsPool(name="cloud", region="us-east-1"), Settings(home=tmp_path), TinyRegistry())
    with pytest.raises(InvalidInput, match="bucket"):
        await start(bare, 1, "serve-reader-a-0")
    await asyncio.wait_for(bare.close(), 5)
