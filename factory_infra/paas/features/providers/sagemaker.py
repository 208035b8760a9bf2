"""Features in SageMaker Feature Store: its online store answers readings, our parts in the pool's bucket are the history."""

import asyncio
import hashlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from factory_infra.errors import InvalidInput, LineshaftError, NotFound, Unavailable
from factory_infra.foundation.pools.aws import Answer, AwsAccess, tags
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.paas.features.interface import Joined, Sources, Wanted
from factory_infra.paas.features.models import EVENT, Batch, Entity, Feature, FeatureRow, StoredView, Value
from factory_infra.paas.features.offline import ENTITY, OfflineFiles, part_of
from factory_infra.paas.features.online import newest_of
from factory_infra.paas.features.providers.feast_process import FeastProcess
from factory_infra.paas.features.rows import EARLIEST, entity_text, stored_value
from factory_infra.paas.features.wire import Order, Setup
from factory_infra.settings import Settings

RUNTIME = "sagemaker-featurestore-runtime"
READ_AT_ONCE_MAX = 100
"""Records of one BatchGetRecord."""
CALLS_AT_ONCE = 8
ACTIVE_SECONDS_MAX = 300.0
LOOK_SECONDS = 0.5
PREFIX = "features"
ROWS_ALL = 10_000_000


class SageMakerFeatures:
    """A feature group for each version of a view. It has the online store only: the history is ours, so that joins know what was written.

    Args:
        pool: the account, its bucket, and the role that the service takes on (`job_role_arn`).
        settings: where parts are kept on this machine while they are joined.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._pool = pool
        self._access = AwsAccess(pool, settings)
        self._folder = settings.home / "features" / ".fetched" / pool.name
        self._files = OfflineFiles(str(self._folder))
        url = settings.database_url.get_secret_value() if settings.database_url else ""
        scratch = str(settings.home / "features" / ".laid-out")
        self._feast = FeastProcess(Setup(database_url=url, features_url=str(self._folder), scratch=scratch))

    async def close(self) -> None:
        """End Feast's process and the clients."""
        await self._feast.close()
        await self._access.close()

    async def apply(self, view: StoredView) -> None:
        """Make the feature group and wait until it takes records. Raises InvalidInput where the pool names no bucket or role."""
        if not self._pool.bucket or not self._pool.job_role_arn:
            raise InvalidInput(
                f"Pool {self._pool.name} cannot keep features: it names no bucket or no job_role_arn.",
                remedy="Set both in the pools' file.",
            )
        features = [{"FeatureName": ENTITY, "FeatureType": "String"}, {"FeatureName": EVENT, "FeatureType": "Fractional"}]
        features += [{"FeatureName": each.name, "FeatureType": service_type(each)} for each in view.features]
        wanted: dict[str, object] = {
            "FeatureGroupName": group_name(view),
            "RecordIdentifierFeatureName": ENTITY,
            "EventTimeFeatureName": EVENT,
            "FeatureDefinitions": features,
            "OnlineStoreConfig": {"EnableOnlineStore": True},
            "RoleArn": self._pool.job_role_arn,
            "Description": f"{view.title} of team {view.tenant}",
            "Tags": tags({"lineshaft:tenant": view.tenant, "lineshaft:installation": self._pool.installation}),
        }
        try:
            await self._access.change("sagemaker", "create_feature_group", **wanted)
        except LineshaftError:
            if await self._status(view) is None:  # one that is there is what a second asker wanted
                raise
        await self._active(view)

    async def _status(self, view: StoredView) -> str | None:
        try:
            told = await self._access.read("sagemaker", "describe_feature_group", FeatureGroupName=group_name(view))
        except NotFound:
            return None
        return str(told.get("FeatureGroupStatus"))

    async def _active(self, view: StoredView) -> None:
        deadline = time.monotonic() + ACTIVE_SECONDS_MAX
        while (status := await self._status(view)) != "Created":
            if status in {"CreateFailed", "DeleteFailed", None}:
                raise NotFound(f"The feature group of {view.title} is {status or 'gone'}.", remedy="Look at it in SageMaker's console.")
            if time.monotonic() > deadline:
                raise Unavailable(f"The feature group of {view.title} is still {status}.", remedy="Define the view again in a while.")
            await asyncio.sleep(LOOK_SECONDS)

    async def write(self, view: StoredView, rows: Sequence[FeatureRow], batch: Batch) -> Batch:
        """Put the part into the bucket, then the newest row of each entity into the service, which keeps the later event."""
        name, data = await asyncio.to_thread(part_of, view, rows, batch)
        await self._access.change("s3", "put_object", Bucket=self._pool.bucket, Key=f"{PREFIX}/{name}", Body=data)
        if batch.online:
            await self._put(view, newest_of(rows))
        return batch.model_copy(update={"part": name, "part_digest": hashlib.sha256(data).hexdigest()})

    async def _put(self, view: StoredView, rows: Sequence[FeatureRow]) -> None:
        room = asyncio.Semaphore(CALLS_AT_ONCE)

        async def one(row: FeatureRow) -> None:
            async with room:
                await self._access.change(RUNTIME, "put_record", FeatureGroupName=group_name(view), Record=record_of(view, row))

        async with asyncio.TaskGroup() as group:
            for row in rows:
                group.create_task(one(row))

    async def read(self, view: StoredView, entities: Sequence[Entity]) -> list[FeatureRow | None]:
        """Read the newest rows, a hundred a call."""
        texts = {entity_text(entity): entity for entity in entities}
        found: dict[str, FeatureRow] = {}
        names = list(texts)
        for start in range(0, len(names), READ_AT_ONCE_MAX):
            some = names[start : start + READ_AT_ONCE_MAX]
            asked = [{"FeatureGroupName": group_name(view), "RecordIdentifiersValueAsString": some}]
            told = await self._access.read(RUNTIME, "batch_get_record", Identifiers=asked)
            for each in cast("list[Answer]", told.get("Records", [])):
                text = str(each["RecordIdentifierValueAsString"])
                found[text] = row_of(view, texts[text], cast("list[dict[str, str]]", each["Record"]))
        return [found.get(entity_text(entity)) for entity in entities]

    async def remove(self, view: StoredView) -> None:
        """Delete the feature group; the parts stay in the bucket."""
        if await self._status(view) is not None:
            await self._access.change("sagemaker", "delete_feature_group", FeatureGroupName=group_name(view))

    async def history(self, sources: Sources, start: datetime, end: datetime, rows_max: int) -> list[FeatureRow]:
        """Fetch the parts and read them."""
        await self._fetch(sources)
        return await asyncio.to_thread(self._files.history, sources, start, end, rows_max)

    async def join(self, sources: Sequence[Sources], wanted: Wanted, target: Path) -> Joined:
        """Fetch the parts and have Feast join them."""
        for each in sources:
            await self._fetch(each)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        reply = await self._feast.ask(Order(kind="join", sources=list(sources), wanted=wanted, target=str(target)))
        return reply.joined or Joined(rows=0, digest="", complete=0.0)

    async def materialise(self, sources: Sources, end: datetime) -> int:
        """Put the newest row of each entity until `end`; the service keeps a later one that it has."""
        rows = newest_of(await self.history(sources, EARLIEST, end, ROWS_ALL))
        await self._put(sources.view, rows)
        return len(rows)

    async def _fetch(self, sources: Sources) -> None:
        """Bring the parts that are not here yet; their digests are compared when they are read."""
        client = await self._access.client("s3")
        for batch in sources.batches:
            if batch.part and not (self._folder / batch.part).exists():
                told = await self._access.call(client.get_object, Bucket=self._pool.bucket, Key=f"{PREFIX}/{batch.part}")
                data = await asyncio.to_thread(told["Body"].read)  # type: ignore[attr-defined]  # botocore tells no types
                await asyncio.to_thread(self._files.store, batch.part, data)


def group_name(view: StoredView) -> str:
    """The feature group of a version: readable, at most 64 characters, and no other version's."""
    whole = f"{view.tenant}/{view.title}"
    words = f"{view.tenant}-{view.name.replace('_', '-')}"[:44].rstrip("-")
    return f"{words}-v{view.version}-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"


def service_type(feature: Feature) -> str:
    """A kind as the service knows it; flags and vectors lie there as text."""
    return {"int": "Integral", "float": "Fractional"}.get(feature.kind, "String")


def record_of(view: StoredView, row: FeatureRow) -> list[dict[str, str]]:
    """A row as a record; what is not known is left out."""
    fields = [(ENTITY, entity_text(row.entity)), (EVENT, repr(row.event_at.timestamp()))]
    fields += [(each.name, told(row.values[each.name])) for each in view.features if row.values[each.name] is not None]
    return [{"FeatureName": name, "ValueAsString": value} for name, value in fields]


def told(value: Value) -> str:
    """A value as text that comes back to the last bit."""
    return value if isinstance(value, str) else json.dumps(value)


def row_of(view: StoredView, entity: Entity, record: Sequence[dict[str, str]]) -> FeatureRow:
    """A record as a row."""
    fields = {each["FeatureName"]: each["ValueAsString"] for each in record}
    values: dict[str, Value] = {}
    for each in view.features:
        text = fields.get(each.name)
        plain: JsonValue = None if text is None else text if each.kind == "text" else json.loads(text)
        values[each.name] = stored_value(each, plain)
    # A moment in seconds as the service keeps it is good to about a quarter of a microsecond, which is rounded away.
    moment = datetime.fromtimestamp(round(float(fields[EVENT]) * 1_000_000) / 1_000_000, UTC)
    return FeatureRow(entity=entity, event_at=moment, values=values)
