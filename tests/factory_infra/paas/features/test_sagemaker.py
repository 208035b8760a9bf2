"""SageMaker Feature Store, on the emulator: the same promises as the local store, the history in the pool's bucket."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import boto3
import pytest
import pytest_asyncio

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.paas.features.models import StoredView
from factory_infra.paas.features.providers import sagemaker
from factory_infra.paas.features.providers.sagemaker import SageMakerFeatures, group_name
from factory_infra.paas.features.service import Features
from factory_infra.settings import Settings
from tests.emulators.aws import feature_store
from tests.emulators.aws.server import PLUGINS, Emulator
from tests.emulators.aws.standing import KEYS
from tests.factory_infra.paas.features.conftest import CUSTOMERS, NOW, Row, row

pytestmark = pytest.mark.stack
if feature_store.plug not in PLUGINS:
    PLUGINS.append(feature_store.plug)
REGION = "us-east-1"


@pytest.fixture
async def emulator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulator]:
    """AWS with an empty bucket."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sagemaker, "LOOK_SECONDS", 0.01)
    made = Emulator()
    made.start()
    client = boto3.client("s3", region_name=REGION, endpoint_url=made.address)
    await asyncio.to_thread(client.create_bucket, Bucket=bucket(made))
    yield made
    made.stop()


def bucket(emulator: Emulator) -> str:
    return f"features-{emulator.world.account}"


@pytest_asyncio.fixture
async def cloud(emulator: Emulator, tmp_path: Path) -> AsyncIterator[SageMakerFeatures]:
    pool = AwsPool.model_validate(
        {
            "name": "cloud",
            "region": REGION,
            "endpoint_url": emulator.address,
            "bucket": bucket(emulator),
            "job_role_arn": "arn:aws:iam::123456789012:role/lineshaft-features",
        }
    )
    made = SageMakerFeatures(pool, Settings(home=tmp_path / "home", model="none"))
    yield made
    await made.close()


@pytest.fixture
def features(database: Database, cloud: SageMakerFeatures) -> Features:
    return Features(database, "sagemaker:cloud", lambda name: cloud)


@pytest_asyncio.fixture
async def customers(features: Features) -> StoredView:
    return await features.define("vision", CUSTOMERS, "alice")


async def test_a_definition_is_one_group_with_its_teams_tag(features: Features, emulator: Emulator, customers: StoredView) -> None:
    await features.define("vision", CUSTOMERS, "bob")
    [name] = feature_store.of(emulator.world).groups
    assert name == group_name(customers)
    asked = feature_store.of(emulator.world).groups[name]
    assert {"Key": "lineshaft:tenant", "Value": "vision"} in asked["Tags"]
    assert {each["FeatureType"] for each in asked["FeatureDefinitions"]} == {"String", "Fractional", "Integral"}
    await features.retire("vision", "customers", 1)
    assert feature_store.of(emulator.world).groups == {}


async def test_values_come_back_to_the_last_bit_and_the_newest_wins(features: Features, customers: StoredView) -> None:
    values: Row = {"orders": 2**53, "spent": 0.1 + 0.2, "city": "Zürich", "member": False, "taste": [1e-300, 2.0]}
    await features.write(customers, [row(7, 1, **values), row(8, 2, spent=None)], "new", now=NOW)
    await features.write(customers, [row(7, 3, spent=1.0)], "late", now=NOW)
    found = await features.read(customers, [{"customer": 8}, {"customer": 7}, {"customer": 9}], NOW)
    assert [each.state for each in found] == ["found", "found", "absent"]
    assert found[1].values == values
    assert {name: type(value) for name, value in found[1].values.items()} == {name: type(value) for name, value in values.items()}
    assert found[1].event_at == NOW - timedelta(hours=1)


async def test_a_backfill_waits_and_the_history_is_read_from_the_bucket(
    features: Features, customers: StoredView, emulator: Emulator
) -> None:
    await features.write(customers, [row(n, 2, spent=float(n)) for n in range(120)], "k", now=NOW, online=False)
    assert {each.state for each in await features.read(customers, [{"customer": n} for n in range(120)], NOW)} == {"absent"}
    assert await features.materialise(customers, NOW) == 120
    found = await features.read(customers, [{"customer": n} for n in range(120)], NOW)
    assert [each.values["spent"] for each in found] == [float(n) for n in range(120)]
    past = await features.history(customers, NOW - timedelta(hours=3), NOW, 50)
    assert len(past) == 50
    client = boto3.client("s3", region_name=REGION, endpoint_url=emulator.address)
    [kept] = (await asyncio.to_thread(client.list_objects_v2, Bucket=bucket(emulator)))["Contents"]
    assert kept["Key"].startswith("features/vision/customers/1/batch-")
    assert (await features.sources(customers)).batches[0].part_digest


async def test_bytes_that_changed_in_the_bucket_are_refused(features: Features, customers: StoredView, emulator: Emulator) -> None:
    await features.write(customers, [row(7, 1, spent=1.0)], "k", now=NOW, online=False)
    client = boto3.client("s3", region_name=REGION, endpoint_url=emulator.address)
    part = f"features/{(await features.sources(customers)).batches[0].part}"
    await asyncio.to_thread(client.put_object, Bucket=bucket(emulator), Key=part, Body=b"other")
    with pytest.raises(Conflict) as refused:
        await features.history(customers, NOW - timedelta(days=1), NOW, 10)
    assert refused.value.error_code == "feature_part_changed"


async def test_a_pool_that_names_no_bucket_is_refused(emulator: Emulator, tmp_path: Path, customers: StoredView) -> None:
    poor = SageMakerFeatures(AwsPool(name="poor", region=REGION), Settings(home=tmp_path, model="none"))
    with pytest.raises(InvalidInput, match="bucket"):
        await poor.apply(customers)
    await poor.close()


async def test_a_group_that_is_gone_is_told(features: Features, customers: StoredView, emulator: Emulator) -> None:
    feature_store.of(emulator.world).groups.clear()
    with pytest.raises(NotFound):
        await features.read(customers, [{"customer": 7}], NOW)


def test_names_of_groups_do_not_meet() -> None:
    def named(tenant: str, name: str) -> str:
        kept = {"tenant": tenant, "version": 1, "provider": "p", "created_by": "a", "created_at": NOW}
        return group_name(StoredView.model_validate({**CUSTOMERS.model_dump(), "name": name, **kept}))

    assert named("a-b", "c") != named("a", "b_c")
    assert len(named("t" * 41, "v" * 40)) <= 64
