"""The newest values in PostgreSQL: written so that the newest event wins whatever the order, read by one statement."""

import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import bindparam, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.paas.features.models import Entity, FeatureRow, FeatureView, StoredView, Value
from factory_infra.paas.features.rows import entity_text, stored_value
from factory_infra.paas.features.tables import ValueRow

ROWS_A_STATEMENT = 500
"""Each row takes seven parameters of a statement, which may have 65,535."""
_NEWEST = select(ValueRow.entity, ValueRow.features, ValueRow.event_at).where(
    ValueRow.tenant == bindparam("tenant"),
    ValueRow.view == bindparam("view"),
    ValueRow.version == bindparam("version"),
    ValueRow.entity.in_(bindparam("entities", expanding=True)),
)


class OnlineValues:
    """One row an entity and version of a view.

    Args:
        newest_wins: off only in the control test that proves what the condition protects: then a late event hides a newer one.
    """

    def __init__(self, database: Database, *, newest_wins: bool = True) -> None:
        self._database = database
        self._newest_wins = newest_wins

    async def put(self, view: StoredView, rows: Sequence[FeatureRow], written_at: datetime) -> None:
        """Keep each row unless a newer one of its entity is kept: later event, then later write. Any order, any number of times."""
        newest = newest_of(rows)
        async with self._database.transaction() as session:
            for start in range(0, len(newest), ROWS_A_STATEMENT):
                await self._upsert(session, view, newest[start : start + ROWS_A_STATEMENT], written_at)

    async def _upsert(self, session: AsyncSession, view: StoredView, rows: Sequence[FeatureRow], written_at: datetime) -> None:
        # Sorted, so that two writers of the same entities take the rows' locks in one order.
        values = [
            {
                "tenant": view.tenant,
                "view": view.name,
                "version": view.version,
                "entity": entity_text(row.entity),
                "features": row.values,
                "event_at": row.event_at,
                "written_at": written_at,
            }
            for row in sorted(rows, key=lambda row: entity_text(row.entity))
        ]
        statement = insert(ValueRow).values(values)
        new = statement.excluded
        older = tuple_(ValueRow.event_at, ValueRow.written_at) <= tuple_(new.event_at, new.written_at)
        changed = {"features": new.features, "event_at": new.event_at, "written_at": new.written_at}
        keys = [ValueRow.tenant, ValueRow.view, ValueRow.version, ValueRow.entity]
        await session.execute(
            statement.on_conflict_do_update(index_elements=keys, set_=changed, where=older if self._newest_wins else None)
        )

    async def get(self, view: StoredView, entities: Sequence[Entity]) -> list[FeatureRow | None]:
        """Return the newest row of each entity, in the order asked for."""
        asked = [entity_text(entity) for entity in entities]
        values = {"tenant": view.tenant, "view": view.name, "version": view.version, "entities": asked}
        async with self._database.reading() as connection:
            found = {row.entity: (row.features, row.event_at) for row in await connection.execute(_NEWEST, values)}
        return [
            FeatureRow(entity=entity, event_at=found[text][1], values=stored_values(view, found[text][0])) if text in found else None
            for entity, text in zip(entities, asked, strict=True)
        ]

    async def remove(self, view: StoredView) -> None:
        """Forget the values of a version."""
        gone = delete(ValueRow).where(ValueRow.tenant == view.tenant, ValueRow.view == view.name, ValueRow.version == view.version)
        async with self._database.transaction() as session:
            await session.execute(gone)


def newest_of(rows: Sequence[FeatureRow]) -> list[FeatureRow]:
    """The newest row of each entity; of two of one moment the later in the list."""
    newest: dict[Entity, FeatureRow] = {}
    for row in rows:
        known = newest.get(row.entity)
        if known is None or known.event_at <= row.event_at:
            newest[row.entity] = row
    return list(newest.values())


def stored_values(view: FeatureView, values: dict[str, JsonValue]) -> dict[str, Value]:
    """A row's values as they were written."""
    kept: dict[str, Value] = {}
    for each in view.features:
        value = values.get(each.name)
        # Most values are what they look like: only those that may be are looked at closely.
        kept[each.name] = value if isinstance(value, float | str) or value is None else stored_value(each, value)
    return kept


def entity_from(text: str) -> Entity:
    """The entity that a text names."""
    return tuple(json.loads(text))
