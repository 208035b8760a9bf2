"""Our views as Feast's definitions, and Feast's store of one team. Loaded by Feast's process alone."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.errors import FeatureViewNotFoundException
from feast.infra.registry.sql import SqlRegistryConfig
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Float64, Int64, String

from factory_infra.database import driver_url
from factory_infra.paas.features.models import EVENT, WRITTEN, Kind, StoredView
from factory_infra.paas.features.offline import ENTITY
from factory_infra.paas.features.programs.online_store import VIEW_TAG, ValuesOnlineStore
from factory_infra.paas.features.wire import feast_name, feast_project

SCHEMA = "feast"
"""Feast's registry has tables with names of ours, so it has a schema of its own."""
KEY_VERSION = 3
TYPES: dict[Kind, object] = {"int": Int64, "float": Float64, "text": String, "flag": Bool, "vector": Array(Float64)}
MICROSECOND = timedelta(microseconds=1)


class Stores:
    """Feast's store of each team, made when it is first asked for.

    Args:
        database_url: the registry's database.
        scratch: where views are laid out for Feast to read.
    """

    def __init__(self, database_url: str, scratch: Path) -> None:
        self._url = database_url
        self._scratch = scratch
        self._stores: dict[str, FeatureStore] = {}

    def of(self, tenant: str) -> FeatureStore:
        """A team's store, a project in the one registry."""
        if tenant not in self._stores:
            self._stores[tenant] = self._made(tenant)
        return self._stores[tenant]

    def _made(self, tenant: str) -> FeatureStore:
        """Make a store, and with the first one the registry's tables; one process at a time, for Feast does not see to that."""
        online = f"{ValuesOnlineStore.__module__}.{ValuesOnlineStore.__name__}"
        config = RepoConfig(
            project=feast_project(tenant),
            provider="local",
            registry=SqlRegistryConfig(path=registry_url(self._url), cache_ttl_seconds=60),
            online_store={"type": online, "database_url": self._url},
            offline_store={"type": "dask"},
            entity_key_serialization_version=KEY_VERSION,
        )
        with psycopg.connect(self._url.replace("postgresql+psycopg://", "postgresql://", 1), autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtextextended('feast registry', 0))")
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            store = FeatureStore(config=config)
            store.list_projects()
        return store

    def laid_out(self, view: StoredView) -> Path:
        """The file in which Feast finds a view's rows."""
        return self._scratch / view.tenant / f"{feast_name(view)}.parquet"

    def apply(self, view: StoredView) -> FeatureStore:
        """Make Feast know a version of a view, and return the team's store. What it knows already is left alone."""
        store = self.of(view.tenant)
        definition = view.model_dump_json(exclude={"retired_at"})
        try:
            known = store.get_feature_view(feast_name(view), allow_registry_cache=True).tags.get(VIEW_TAG)
        except FeatureViewNotFoundException:
            known = None
        if known != definition:
            store.apply(self._objects(view, definition))
            store.refresh_registry()
        return store

    def _objects(self, view: StoredView, definition: str) -> list[object]:
        keys = ", ".join(key.name for key in view.keys)
        entity = Entity(name=f"of_{feast_name(view)}", join_keys=[ENTITY], value_type=ValueType.STRING, description=f"JSON of: {keys}")
        source = FileSource(name=feast_name(view), path=str(self.laid_out(view)), timestamp_field=EVENT, created_timestamp_column=WRITTEN)
        fields = [Field(name=ENTITY, dtype=String), *(Field(name=each.name, dtype=TYPES[each.kind]) for each in view.features)]
        # A microsecond more, for moments are told apart below it: see `layout`.
        ttl = timedelta(seconds=view.ttl_seconds) + MICROSECOND if view.ttl_seconds else timedelta(0)
        features = FeatureView(
            name=feast_name(view),
            entities=[entity],
            ttl=ttl,
            schema=fields,
            source=source,
            online=True,
            description=view.description,
            tags={VIEW_TAG: definition},
        )
        return [entity, source, features]


def registry_url(database_url: str) -> str:
    """The database's address with the registry's schema as its first."""
    url = driver_url(database_url)
    return f"{url}{'&' if '?' in url else '?'}options={quote(f'-csearch_path={SCHEMA}')}"
