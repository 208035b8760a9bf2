"""The feature store: definitions with versions, writes that count once, readings, and training sets without knowledge of the future."""

import builtins
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, JsonValue

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.features.interface import FeatureHistory, FeatureStore, Forgetting, Materialisation, Sources
from factory_infra.paas.features.models import READ_MAX, Batch, Entity, FeatureRow, FeatureView, OnlineRow, StoredView, TrainingSet, Value
from factory_infra.paas.features.rows import checked_rows, entity_of
from factory_infra.paas.features.views import ViewBook

FORGOTTEN_AT_ONCE = 100
FORGOTTEN_MAX = 100_000
StoreOf = Callable[[str], FeatureStore]


class Shelf(Protocol):
    """Where views are listed for others to find, and what training sets were joined from is noted."""

    async def defined(self, view: StoredView) -> None:
        """A version is in use."""
        ...

    async def retired(self, tenant: str, name: str) -> None:
        """No version of a view is in use any more."""
        ...

    async def joined(self, made: TrainingSet) -> None:
        """A training set was made."""
        ...


class Written(BaseModel):
    """What a write left."""

    view: str
    version: int
    batch_id: str
    rows: int
    online: bool


class Features:
    """The noun's service. A tenant's views are its own: another's are not found.

    Args:
        database: definitions, writes, newest values.
        provider: the store that new views are kept in, as its name.
        store_of: the store of a name.
    """

    def __init__(self, database: Database, provider: str, store_of: StoreOf) -> None:
        self.views = ViewBook(database)
        self._provider = provider
        self._store_of = store_of
        self.shelf: Shelf | None = None

    async def define(self, tenant: str, view: FeatureView, by: str) -> StoredView:
        """Keep a definition: an equal one is the version that is there, another one the next. Raises InvalidInput, what the store does."""
        kept = await self.views.define(tenant, view, self._provider, by)
        await self.store(kept).apply(kept)
        if self.shelf is not None:
            await self.shelf.defined(kept)
        return kept

    async def get(self, tenant: str, name: str, version: int | None = None) -> StoredView:
        """Return a version, the newest one in use without a number. Raises NotFound."""
        return await self.views.get(tenant, name, version)

    async def retire(self, tenant: str, name: str, version: int) -> StoredView:
        """Take a version out of use and its values out of readings; its history stays. Idempotent. Raises NotFound."""
        view = await self.views.retire(tenant, name, version)
        await self.store(view).remove(view)
        await self._relist(tenant, name)
        return view

    async def _relist(self, tenant: str, name: str) -> None:
        """Have others find the newest version that is in use, or none."""
        if self.shelf is None:
            return
        try:
            newest = await self.views.get(tenant, name)
        except NotFound:
            await self.shelf.retired(tenant, name)
        else:
            await self.shelf.defined(newest)

    async def forget(self, tenant: str) -> None:
        """Take every view of a team out of use, and remove its values and files: the team was closed. Idempotent."""
        while page := await self.views.list(tenant, limit=FORGOTTEN_AT_ONCE):
            for view in page:
                await self.retire(tenant, view.name, view.version)
        names = {view.provider for view in await self.views.list(tenant, every=True, limit=FORGOTTEN_MAX)}
        for store in map(self._store_of, sorted(names)):
            if isinstance(store, Forgetting):
                await store.forget(tenant)

    async def write(
        self, view: StoredView, rows: Sequence[Mapping[str, JsonValue]], key: str, *, online: bool = True, now: datetime | None = None
    ) -> Written:
        """Write rows, all or none; the same key and rows again write nothing.

        Args:
            view: the version to write to.
            rows: keys, the timestamp and features, by column.
            key: the idempotency key.
            online: whether readings see them at once; a backfill leaves that to `materialise`.
            now: the present moment, for tests.

        Raises InvalidInput `rows_invalid`, which names the first row and column that is wrong, and Conflict `key_reused` or
        `feature_view_retired`.
        """
        in_use(view)
        moment = now or utcnow()
        checked = checked_rows(view, rows, moment)
        digest = digest_of(view, checked)
        known = await self.views.batch(view.tenant, key, digest)
        if known is None:
            whole = hashlib.sha256(f"{view.tenant}/{key}".encode()).hexdigest()[:40]
            moments = [row.event_at for row in checked]
            batch = Batch(
                id=f"batch-{whole}",
                tenant=view.tenant,
                view=view.name,
                version=view.version,
                rows=len(checked),
                first_event_at=min(moments),
                last_event_at=max(moments),
                written_at=moment,
                digest=digest,
                online=online,
            )
            known = await self.views.keep(key, await self.store(view).write(view, checked, batch))
        return Written(view=known.view, version=known.version, batch_id=known.id, rows=known.rows, online=known.online)

    async def read(self, view: StoredView, entities: Sequence[Mapping[str, JsonValue]], now: datetime | None = None) -> list[OnlineRow]:
        """Return the newest that is known of each entity, in the order asked for: what a training set of this moment would hold.

        Raises InvalidInput for more than 1,000 entities and for keys that are not the view's.
        """
        asked = entities_of(view, entities)
        rows = await self.store(view).read(view, asked)
        return [online_row(view, entity, row, now or utcnow()) for entity, row in zip(asked, rows, strict=True)]

    async def history(self, view: StoredView, start: datetime, end: datetime, rows_max: int) -> builtins.list[FeatureRow]:
        """Return the rows of (start, end], the newest so many, oldest first. Raises InvalidInput where the store keeps none."""
        store = self.store(view)
        if not isinstance(store, FeatureHistory):
            raise lacks(view, "a history that can be read here")
        return await store.history(await self.views.sources(view), start, end, rows_max)

    async def materialise(self, view: StoredView, end: datetime | None = None) -> int:
        """Bring what was written as a backfill, or was lost, into readings. Returns how many entities there are."""
        in_use(view)
        store = self.store(view)
        if not isinstance(store, Materialisation):
            raise lacks(view, "a history to fill readings from")
        until = end or utcnow()
        entities = await store.materialise(await self.views.sources(view), until)
        await self.views.shown(view, until)
        return entities

    def store(self, view: StoredView) -> FeatureStore:
        """The store that keeps a view."""
        return self._store_of(view.provider)

    async def sources(self, view: StoredView) -> Sources:
        """The view with every write that counts."""
        return await self.views.sources(view)


def in_use(view: StoredView) -> None:
    """Raise Conflict for a version that was retired."""
    if view.retired_at is not None:
        raise Conflict(
            f"Feature view {view.title} is retired.", remedy="Use a version in use, or define the view again.", code="feature_view_retired"
        )


def lacks(view: StoredView, what: str) -> InvalidInput:
    """Say that a view's store has not an ability."""
    return InvalidInput(
        f"The store {view.provider} of feature view {view.title} has not {what}.",
        remedy="Define the view with the store feast_local.",
        code="feature_store_lacks",
    )


def digest_of(view: StoredView, rows: Sequence[FeatureRow]) -> str:
    """SHA-256 of rows as they are to be written, and where."""
    told = [[view.name, view.version], *([list(row.entity), row.event_at.isoformat(), row.values] for row in rows)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def entities_of(view: StoredView, entities: Sequence[Mapping[str, JsonValue]]) -> list[Entity]:
    """Whom a question is about. Raises InvalidInput."""
    if not 1 <= len(entities) <= READ_MAX:
        raise InvalidInput(f"A reading is of 1 to {READ_MAX} entities, not {len(entities)}.", remedy="Read in parts.", code="rows_invalid")
    names = {key.name for key in view.keys}
    for number, entity in enumerate(entities, 1):
        strangers = sorted(set(entity) - names)
        if strangers:
            raise InvalidInput(
                f"Row {number}: {strangers[0]} is no key of {view.title}.", remedy=f"Name {', '.join(sorted(names))}.", code="rows_invalid"
            )
    return [entity_of(view.keys, entity, number) for number, entity in enumerate(entities, 1)]


def online_row(view: StoredView, entity: Entity, row: FeatureRow | None, now: datetime) -> OnlineRow:
    """A row as a reading tells it: what is too old, or of a clock ahead of ours, is not believed."""
    keys = {key.name: value for key, value in zip(view.keys, entity, strict=True)}
    if row is None or row.event_at > now:
        return OnlineRow(keys=keys, state="absent", values=nothing_of(view))
    if view.ttl_seconds is not None and (now - row.event_at).total_seconds() > view.ttl_seconds:
        return OnlineRow(keys=keys, state="expired", event_at=row.event_at, values=nothing_of(view))
    # Values of a store were checked when they were written: to check each again takes longer than to read it.
    return OnlineRow.model_construct(keys=keys, state="found", event_at=row.event_at, values=row.values)


def nothing_of(view: StoredView) -> dict[str, Value]:
    """A row of which nothing is known."""
    return {each.name: None for each in view.features}
