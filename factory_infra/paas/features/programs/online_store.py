"""Feast's online store over our own table: what Feast materialises is read by one statement, behind the wall between teams.

Loaded by Feast's process alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from feast import Entity as FeastEntity
from feast import FeatureView as FeastView
from feast import ValueType
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value as Proto
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.type_map import python_values_to_proto_values
from pydantic import SecretStr

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput
from factory_infra.paas.features.models import Entity, FeatureRow, Kind, StoredView, Value
from factory_infra.paas.features.online import OnlineValues, entity_from

VIEW_TAG = "lineshaft.view"
TYPES: dict[Kind, ValueType] = {
    "int": ValueType.INT64,
    "float": ValueType.DOUBLE,
    "text": ValueType.STRING,
    "flag": ValueType.BOOL,
    "vector": ValueType.DOUBLE_LIST,
}
Written = tuple[EntityKey, dict[str, Proto], datetime, datetime | None]
Read = tuple[datetime | None, dict[str, Proto] | None]


class ValuesOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]  # its package tells no types
    """Where the values lie. It is held in memory only, never in Feast's registry."""

    database_url: SecretStr
    type: Literal["factory_infra.paas.features.programs.online_store.ValuesOnlineStore"] = (
        "factory_infra.paas.features.programs.online_store.ValuesOnlineStore"
    )


class ValuesOnlineStore(OnlineStore):  # type: ignore[misc]  # its package tells no types
    """What Feast asks of an online store. Each call has a connection of its own, for Feast may call from any thread."""

    def online_write_batch(
        self, config: RepoConfig, table: FeastView, data: Sequence[Written], progress: Callable[[int], Any] | None
    ) -> None:
        """Write rows; a newer one that is there stays."""
        view = view_of(table)
        by_moment: dict[datetime, list[FeatureRow]] = {}
        for key, values, event_at, written_at in data:
            plain = {name: plain_value(value) for name, value in values.items()}
            row = FeatureRow(entity=entity_of(key), event_at=aware(event_at), values=plain)
            by_moment.setdefault(aware(written_at or utcnow()), []).append(row)
        asyncio.run(_put(url_of(config), view, by_moment))
        if progress is not None:
            progress(len(data))

    def online_read(
        self, config: RepoConfig, table: FeastView, entity_keys: list[EntityKey], requested_features: list[str] | None = None
    ) -> list[Read]:
        """Read the newest row of each entity."""
        view = view_of(table)
        wanted = requested_features or [each.name for each in view.features]
        rows = asyncio.run(_get(url_of(config), view, [entity_of(key) for key in entity_keys]))
        return [(row.event_at, protos(view, row, wanted)) if row is not None else (None, None) for row in rows]

    def update(  # noqa: PLR0913 - Feast's own signature
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeastView],
        tables_to_keep: Sequence[FeastView],
        entities_to_delete: Sequence[FeastEntity],
        entities_to_keep: Sequence[FeastEntity],
        partial: bool,
    ) -> None:
        """Nothing: the table is there, and what is removed is removed by the service."""

    def teardown(self, config: RepoConfig, tables: Sequence[FeastView], entities: Sequence[FeastEntity]) -> None:
        """Nothing: see `update`."""


def url_of(config: RepoConfig) -> str:
    """The database's address."""
    secret: SecretStr = config.online_store.database_url
    return secret.get_secret_value()


async def _put(url: str, view: StoredView, by_moment: dict[datetime, list[FeatureRow]]) -> None:
    database = Database(url, pool_size=1)
    try:
        for written_at, rows in sorted(by_moment.items()):
            await OnlineValues(database).put(view, rows, written_at)
    finally:
        await database.close()


async def _get(url: str, view: StoredView, entities: list[Entity]) -> list[FeatureRow | None]:
    database = Database(url, pool_size=1)
    try:
        return await OnlineValues(database).get(view, entities)
    finally:
        await database.close()


def view_of(table: FeastView) -> StoredView:
    """Our definition of what Feast calls a feature view."""
    return StoredView.model_validate_json(table.tags[VIEW_TAG])


def entity_of(key: EntityKey) -> Entity:
    """Whom a key of Feast names: its one value is our own text of the entity."""
    return entity_from(key.entity_values[0].string_val)


def aware(moment: datetime) -> datetime:
    """Feast hands moments over in UTC, some without saying so."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def plain_value(value: Proto) -> Value:
    """A value as we keep it."""
    kind = value.WhichOneof("val")
    if kind is None or kind == "null_val":
        return None
    if kind == "double_list_val":
        return [float(each) for each in value.double_list_val.val]
    found: Value = getattr(value, kind)
    if not isinstance(found, int | float | str | bool):
        raise InvalidInput(f"Feast hands over a value of the kind {kind}.", remedy="Define the view with the kinds that there are.")
    return found


def protos(view: StoredView, row: FeatureRow, wanted: list[str]) -> dict[str, Proto]:
    """A row as Feast has it."""
    kinds = {each.name: each.kind for each in view.features}
    return {name: python_values_to_proto_values([row.values.get(name)], TYPES[kinds[name]])[0] for name in wanted}
