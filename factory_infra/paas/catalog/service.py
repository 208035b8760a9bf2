"""The catalog: what a team can find, kept in PostgreSQL; the index of meanings follows it."""

import re
from collections.abc import Sequence
from typing import Literal, cast

from sqlalchemy import ColumnElement, Select, delete, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.paas.catalog.models import SHARED, CatalogEntry, LexicalHit, StaleEntry
from factory_infra.paas.catalog.tables import CatalogRow

LIMIT_MAX = 200
QUERY_WORDS_MAX = 40

Kind = Literal["dataset", "model", "endpoint"]


class Catalog:
    """Reads and writes entries. Every read names the tenants it is for; what is shared is seen by all of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, entry: CatalogEntry) -> None:
        """Insert or replace an entry. Idempotent: an equal entry changes nothing. Raises Conflict if another tenant has the id."""
        content = entry.model_dump(exclude={"id"})
        values = {**content, "updated_at": utcnow(), "removed_at": None}
        statement = insert(CatalogRow).values(id=entry.id, indexed_at=None, **values)
        changed = or_(CatalogRow.removed_at.is_not(None), *(getattr(CatalogRow, name) != value for name, value in content.items()))
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=values, where=(CatalogRow.tenant == entry.tenant) & changed)
        async with self._database.transaction() as session:
            await session.execute(statement)
            tenant = await session.scalar(select(CatalogRow.tenant).where(CatalogRow.id == entry.id))
        if tenant != entry.tenant:
            raise Conflict(f"The catalog id '{entry.id}' is taken.", remedy="Use an id that begins with the team's name.")

    async def remove(self, entry_id: str) -> None:
        """Take an entry out at once; an absent one is not an error. The index forgets it at its next sync."""
        moment = utcnow()
        statement = update(CatalogRow).where(CatalogRow.id == entry_id, CatalogRow.removed_at.is_(None))
        async with self._database.transaction() as session:
            await session.execute(statement.values(removed_at=moment, updated_at=moment))

    async def get(self, entry_id: str, tenants: Sequence[str]) -> CatalogEntry:
        """Return an entry that these tenants may see. Raises NotFound, also for another tenant's entry."""
        found = await self.get_many([entry_id], tenants)
        if not found:
            raise NotFound(f"The catalog has no entry '{entry_id}'.", remedy="List the catalog to see what there is.")
        return found[0]

    async def get_many(self, entry_ids: Sequence[str], tenants: Sequence[str]) -> list[CatalogEntry]:
        """Return those of the entries that these tenants may see, in the order asked for."""
        async with self._database.transaction() as session:
            rows = await session.scalars(_visible(tenants).where(CatalogRow.id.in_(entry_ids)))
            by_id = {row.id: _entry(row) for row in rows}
        return [by_id[entry_id] for entry_id in entry_ids if entry_id in by_id]

    async def match(self, tenants: Sequence[str], query: str, kind: Kind | None = None, limit: int = 20) -> list[LexicalHit]:
        """Return what shares words with the query, those first whose whole name is in it; no model of meaning is asked."""
        words = re.findall(r"[^\W_]+", query.lower())[:QUERY_WORDS_MAX]
        if not words:
            return []
        exact, text = _holds_name(words), _searchable()
        asked = func.to_tsquery("english", " | ".join(words))
        shared_words: ColumnElement[bool] = text.op("@@")(asked)
        statement = _visible(tenants, kind).add_columns(exact.label("exact")).where(or_(exact, shared_words))
        statement = statement.order_by(exact.desc(), func.ts_rank(text, asked).desc(), CatalogRow.id).limit(limit)
        async with self._database.transaction() as session:
            rows = await session.execute(statement)
            return [LexicalHit(entry=_entry(row[0]), exact=row[1]) for row in rows]

    async def stale(self, limit: int = 100) -> list[StaleEntry]:
        """Return entries that the index has not seen in their present form, oldest change first; removed ones are among them."""
        behind = or_(CatalogRow.indexed_at.is_(None), CatalogRow.indexed_at < CatalogRow.updated_at)
        async with self._database.transaction() as session:
            rows = await session.scalars(select(CatalogRow).where(behind).order_by(CatalogRow.updated_at).limit(limit))
            return [StaleEntry(entry=_entry(row), updated_at=row.updated_at, removed=row.removed_at is not None) for row in rows]

    async def indexed(self, entries: Sequence[StaleEntry]) -> None:
        """Note that the index has seen these forms; one that changed again meanwhile stays stale. Removed ones are now erased."""
        async with self._database.transaction() as session:
            for stale in entries:
                same = (CatalogRow.id == stale.entry.id) & (CatalogRow.updated_at == stale.updated_at)
                erase = delete(CatalogRow).where(same)
                await session.execute(erase if stale.removed else update(CatalogRow).where(same).values(indexed_at=stale.updated_at))

    async def list(self, tenants: Sequence[str], kind: Kind | None = None, limit: int = 50, offset: int = 0) -> list[CatalogEntry]:
        """Return a page of what these tenants may see, by kind and name. `limit` is 1 to 200. Raises InvalidInput."""
        if not 1 <= limit <= LIMIT_MAX or offset < 0:
            raise InvalidInput(f"A page is 1 to {LIMIT_MAX} entries from 0 on.", remedy="Give a limit and an offset in these bounds.")
        statement = _visible(tenants, kind).order_by(CatalogRow.kind, CatalogRow.name, CatalogRow.id)
        async with self._database.transaction() as session:
            rows = await session.scalars(statement.limit(limit).offset(offset))
            return [_entry(row) for row in rows]


def _visible(tenants: Sequence[str], kind: Kind | None = None) -> Select[CatalogRow]:
    statement = select(CatalogRow).where(CatalogRow.removed_at.is_(None), CatalogRow.tenant.in_([*tenants, SHARED]))
    return statement if kind is None else statement.where(CatalogRow.kind == kind)


def _holds_name(words: Sequence[str]) -> ColumnElement[bool]:
    """Whether an entry's whole name is among the words. Both are laid out alike, a blank around each word, however the name is joined."""
    name = func.concat(" ", func.trim(func.regexp_replace(func.lower(CatalogRow.name), r"(\W|_)+", " ", "g")), " ")
    return func.strpos(f" {' '.join(words)} ", name) > 0


def _searchable() -> ColumnElement[str]:
    """The words of an entry for PostgreSQL's text search; those of the name weigh most."""
    name = func.to_tsvector("english", func.regexp_replace(CatalogRow.name, r"(\W|_)+", " ", "g"))
    rest = func.to_tsvector("english", func.concat(CatalogRow.description, " ", CatalogRow.facts["aliases"].astext))
    return func.setweight(name, literal_column("'A'")).op("||")(rest)


def _entry(row: CatalogRow) -> CatalogEntry:
    return CatalogEntry(
        id=row.id, kind=cast(Kind, row.kind), tenant=row.tenant, name=row.name, description=row.description, facts=row.facts, url=row.url
    )
