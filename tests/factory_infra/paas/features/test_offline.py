"""The history in a bucket: the same parts as in a folder, on the emulator's S3."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest

from factory_infra.errors import Conflict, Unavailable
from factory_infra.paas.features.interface import Sources
from factory_infra.paas.features.models import Batch, StoredView
from factory_infra.paas.features.offline import OfflineFiles
from factory_infra.paas.features.rows import checked_rows
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS
from tests.factory_infra.paas.features.conftest import CUSTOMERS, NOW, row

pytestmark = pytest.mark.stack
VIEW = StoredView.model_validate(
    {**CUSTOMERS.model_dump(), "tenant": "vision", "version": 1, "provider": "feast_local", "created_by": "a", "created_at": NOW}
)


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")  # S3 takes a checksum behind the body, the emulator keeps it
    made = Emulator()
    with made.serving():
        yield made


@pytest.fixture
def files(emulator: Emulator) -> OfflineFiles:
    bucket = f"history-{emulator.world.account}"
    boto3.client("s3", region_name="us-east-1", endpoint_url=emulator.address).create_bucket(Bucket=bucket)
    host = emulator.address.removeprefix("http://")
    return OfflineFiles(f"s3://{bucket}/lineshaft?endpoint_override={host}&scheme=http&region=us-east-1")


def batch() -> Batch:
    known = {"id": "batch-1", "tenant": "vision", "view": "customers", "version": 1, "rows": 2, "digest": "d"}
    moments = {"first_event_at": NOW - timedelta(hours=2), "last_event_at": NOW - timedelta(hours=1), "written_at": NOW}
    return Batch.model_validate({**known, **moments})


async def test_a_part_in_a_bucket_is_read_back(files: OfflineFiles) -> None:
    rows = checked_rows(VIEW, [row(7, 2, spent=1.5, taste=[0.5, 1.0]), row(8, 1, city="Zürich")], NOW)
    made = batch()
    part, digest = await asyncio.to_thread(files.write, VIEW, rows, made)
    kept = made.model_copy(update={"part": part, "part_digest": digest})
    sources = Sources(view=VIEW, batches=(kept,))
    assert await asyncio.to_thread(files.history, sources, NOW - timedelta(days=1), NOW, 10) == rows
    wrong = Sources(view=VIEW, batches=(kept.model_copy(update={"part_digest": "0" * 64}),))
    with pytest.raises(Conflict):
        await asyncio.to_thread(files.history, wrong, NOW - timedelta(days=1), NOW, 10)
    gone = Sources(view=VIEW, batches=(kept.model_copy(update={"part": "vision/nothing.parquet"}),))
    with pytest.raises(Conflict, match="is gone"):
        await asyncio.to_thread(files.history, gone, NOW - timedelta(days=1), NOW, 10)


async def test_a_bucket_that_does_not_exist_is_told(emulator: Emulator) -> None:
    host = emulator.address.removeprefix("http://")
    files = OfflineFiles(f"s3://no-such-bucket/p?endpoint_override={host}&scheme=http&region=us-east-1")
    rows = checked_rows(VIEW, [row(7, 2, spent=1.5)], NOW)
    with pytest.raises(Unavailable, match="no-such-bucket"):
        await asyncio.to_thread(files.write, VIEW, rows, batch())
