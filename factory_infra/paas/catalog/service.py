"""The catalog: what a team can find, kept in PostgreSQL; the index of meanings follows it."""

import builtins
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import JsonValue
from sqlalchemy import Row, Select, and_, bindparam, case, delete, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import TSVECTOR, insert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound
from factory_infra.notices import tell
from factory_infra.paas.catalog.matching import Matching, all_of, holds
from factory_infra.paas.catalog.models import BADGES_MAX, NO_FILTERS, SHARED, Badge, CatalogEntry, Filters, LexicalHit, StaleEntry, Viewer
from factory_infra.paas.catalog.tables import AccessRow, CatalogRow, DocumentRow
from factory_infra.paas.catalog.visibility import GRANTED, usable, visible
from factory_infra.paas.catalog.words import Stems, fields, labels, name_key, vector, wanted_labels
from factory_infra.paas.tenants.tables import TenantRow

LIMIT_MAX = 500
CHANNEL = "lineshaft_catalog"
"""Where each change is told; who keeps the index listens."""
FIELDS = set(CatalogEntry.model_fields)
INNER: dict[str, JsonValue] = {"facts": {}, "url": "", "blueprint": None}
"""What nobody sees of an entry who was not granted it."""


_ALONE = text("SELECT pg_try_advisory_xact_lock(hashtextextended('catalog-index', 0))")
_TENANT = select(CatalogRow.tenant).where(CatalogRow.id == bindparam("entry_id"))


class Catalog:
    """Reads and writes entries. Every read names the viewer it is for; what is shared is seen by all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stems = Stems()
        self._matching = Matching(database, self._stems)

    async def put(self, entry: CatalogEntry, *, body: str | None = None, keep: bool = False, session: AsyncSession | None = None) -> None:
        """Insert or replace an entry; words find it as soon as this is committed. Idempotent: an equal entry changes nothing.

        Args:
            entry: what is listed.
            body: of a document, its words; None leaves those that are there.
            keep: leave who sees and may use it as its owners set it: for what the platform lists anew by itself.
            session: a transaction of the caller's, in which it happens.

        Raises Conflict if another tenant has the id.
        """
        taken = Conflict(f"The catalog id '{entry.id}' is taken.", remedy="Use an id that begins with the team's name.")
        try:
            async with self._within(session) as own:
                tenant = await own.scalar(_TENANT, {"entry_id": entry.id})
                if tenant not in (None, entry.tenant):
                    raise taken
                if body is not None:
                    await _keep_text(own, entry, body)
                await self._write(own, await _as_set(own, entry) if keep else entry, body)
                if await own.scalar(_TENANT, {"entry_id": entry.id}) != entry.tenant:
                    raise taken
        except ProgrammingError as error:  # a row that the team's own transaction cannot see
            raise taken from error

    async def _write(self, session: AsyncSession, entry: CatalogEntry, body: str | None) -> None:
        if body is None and entry.kind == "document":
            body = await session.scalar(select(DocumentRow.text).where(DocumentRow.entry_id == entry.id))
        weighed = fields(entry, body or "")
        await self._stems.learn(session, [word for words in weighed.values() for word in words])
        content = entry.model_dump(mode="json", exclude={"id"})
        words = literal(vector(weighed, self._stems, labels(entry))).cast(TSVECTOR)
        values = {**content, "name_key": name_key(entry.name), "words": words, "updated_at": func.clock_timestamp(), "removed_at": None}
        changed = or_(
            CatalogRow.removed_at.is_not(None),
            CatalogRow.words.is_distinct_from(words),
            *(getattr(CatalogRow, name).is_distinct_from(value) for name, value in content.items()),
        )
        statement = insert(CatalogRow).values(id=entry.id, indexed_at=None, indexed_in=[], **values)
        statement = statement.on_conflict_do_update(index_elements=["id"], set_=values, where=(CatalogRow.tenant == entry.tenant) & changed)
        if await session.scalar(statement.returning(CatalogRow.id)) is not None:
            await tell(session, CHANNEL, entry.tenant)

    async def judge(self, entry_id: str, badge: Badge) -> bool:
        """Put a badge on an entry in place of the one of its name; return whether that changed anything. One that is gone stays so."""
        async with self._database.transaction(whole=True) as session:
            row = await session.get(CatalogRow, entry_id, with_for_update=True)
            if row is None or row.removed_at is not None:
                return False
            entry = CatalogEntry.model_validate({name: getattr(row, name) for name in FIELDS})
            others = [each for each in entry.badges if each.name != badge.name]
            if badge in entry.badges or len(others) >= BADGES_MAX:
                return False
            await self._write(session, entry.model_copy(update={"badges": [*others, badge]}), None)
        return True

    async def remove(self, entry_id: str, *, tenant: str | None = None, session: AsyncSession | None = None) -> bool:
        """Take an entry out at once; an absent one is not an error. The index forgets it at its next sync. Returns whether it was there."""
        statement = update(CatalogRow).where(CatalogRow.id == entry_id, CatalogRow.removed_at.is_(None))
        if tenant is not None:
            statement = statement.where(CatalogRow.tenant == tenant)
        moment = func.clock_timestamp()
        async with self._within(session) as own:
            gone = await own.scalar(statement.values(removed_at=moment, updated_at=moment).returning(CatalogRow.tenant))
            if gone is not None:
                await own.execute(delete(DocumentRow).where(DocumentRow.entry_id == entry_id))
                await tell(own, CHANNEL, gone)
        return gone is not None

    async def reword(self) -> int:
        """Give words to entries that an older version listed without; returns how many there were. Idempotent."""
        bare = select(CatalogRow).where(CatalogRow.name_key == "", CatalogRow.removed_at.is_(None), func.length(CatalogRow.words) == 0)
        async with self._database.transaction(whole=True) as session:
            rows = list(await session.scalars(bare))
        for row in rows:
            await self.put(CatalogEntry.model_validate({name: getattr(row, name) for name in FIELDS}))
        return len(rows)

    async def forget(self, tenant: str) -> None:
        """Remove what a closed team kept here: its entries and the texts of its documents. Idempotent; its lineage stays as a record."""
        gone = update(CatalogRow).where(CatalogRow.tenant == tenant, CatalogRow.removed_at.is_(None))
        moment = func.clock_timestamp()
        async with self._database.transaction(whole=True) as session:
            await session.execute(gone.values(removed_at=moment, updated_at=moment))
            await session.execute(delete(DocumentRow).where(DocumentRow.tenant == tenant))
            await tell(session, CHANNEL, tenant)

    async def ids(self, kind: str, tenant: str) -> set[str]:
        """Every entry of a kind that a team has listed: for who compares it with what there is."""
        statement = select(CatalogRow.id).where(CatalogRow.kind == kind, CatalogRow.tenant == tenant, CatalogRow.removed_at.is_(None))
        async with self._database.transaction() as session:
            return set(await session.scalars(statement))

    async def touch(self, session: AsyncSession, entry_id: str) -> None:
        """Have the index look at an entry again: who may see it has changed. In the transaction that changed it."""
        await session.execute(update(CatalogRow).where(CatalogRow.id == entry_id).values(updated_at=func.clock_timestamp()))
        await tell(session, CHANNEL, "")

    async def get(self, entry_id: str, viewer: Viewer) -> CatalogEntry:
        """Return an entry that this viewer may see. Raises NotFound, also for another team's entry."""
        found = await self.get_many([entry_id], viewer)
        if not found:
            raise NotFound(
                f"The catalog has no entry '{entry_id}'.", code="entry_unknown", remedy="Search the catalog to see what there is."
            )
        return found[0]

    async def get_many(self, entry_ids: Sequence[str], viewer: Viewer, filters: Filters = NO_FILTERS) -> builtins.list[CatalogEntry]:
        """Return those of the entries that this viewer may see, in the order asked for."""
        statement = _entries(viewer).where(CatalogRow.id.in_(entry_ids))
        if filters.anything:
            statement = statement.where(holds(all_of(wanted_labels(filters))))
        async with self._database.reading() as connection:
            by_id = {entry.id: entry for entry in map(_entry, await connection.execute(statement))}
        return [by_id[entry_id] for entry_id in entry_ids if entry_id in by_id]

    async def text(self, entry_id: str, viewer: Viewer) -> str:
        """Return a document's words. Raises NotFound, Forbidden `access_needed`."""
        entry = await self.get(entry_id, viewer)
        if not await self.may_use(entry.id, viewer):
            raise Forbidden(f"'{entry.id}' must be granted first.", code="access_needed", remedy="Ask for it: POST /v1/access-requests.")
        async with self._database.reading() as connection:
            found = await connection.scalar(select(DocumentRow.text).where(DocumentRow.entry_id == entry.id))
        if found is None:
            raise NotFound(f"'{entry.id}' has no text.", code="document_unknown", remedy="Read the entry itself.")
        return found

    async def may_use(self, entry_id: str, viewer: Viewer) -> bool:
        """Whether a viewer may look into an entry and use it: its own team's, an open one that it sees, or one that it was granted."""
        statement = select(CatalogRow.id).where(CatalogRow.id == entry_id, visible(viewer), usable(viewer))
        async with self._database.reading() as connection:
            return (await connection.execute(statement)).first() is not None

    async def match(self, viewer: Viewer, query: str, filters: Filters = NO_FILTERS, limit: int = 20) -> builtins.list[LexicalHit]:
        """Return what shares words with the query, first of all whose whole name is in it; no model of meaning is asked.

        The candidates are bounded by the code over all rows: PostgreSQL's policies keep its index of words from a team's transaction.
        They are ids only; what is told of them is read by `get_many`, which passes both walls.
        """
        return await self._matching.hits(viewer, query, filters, limit)

    def share(self, filters: Filters) -> float:
        """Which share of all entries fits exact conditions, about and at most; 0 where that is not known."""
        return self._matching.share(filters)

    async def few(self, viewer: Viewer, filters: Filters, most: int) -> builtins.list[str] | None:
        """Ids of all that a viewer sees under filters; None where they are more than `most`."""
        found = await self._ids(_seen(viewer, filters).limit(most + 1))
        return found if len(found) <= most else None

    async def list(self, viewer: Viewer, filters: Filters = NO_FILTERS, limit: int = 50, offset: int = 0) -> builtins.list[CatalogEntry]:
        """Return a page of what a viewer may see, by kind and name. `limit` is 1 to 500. Raises InvalidInput."""
        if not 1 <= limit <= LIMIT_MAX or offset < 0:
            raise InvalidInput(f"A page is 1 to {LIMIT_MAX} entries from 0 on.", remedy="Give a limit and an offset in these bounds.")
        order = (CatalogRow.kind, CatalogRow.name, CatalogRow.id)
        return await self.get_many(await self._ids(_seen(viewer, filters).order_by(*order).limit(limit).offset(offset)), viewer)

    async def _ids(self, statement: Select[str]) -> builtins.list[str]:
        """Ids of what the code's condition lets through; PostgreSQL's own wall keeps its index of words from a team's transaction."""
        async with self._database.reading(whole=True) as connection:
            return [*(await connection.execute(statement)).scalars()]

    async def stale(self, limit: int = 100) -> builtins.list[StaleEntry]:
        """Return entries that the index has not seen in their present form, oldest change first; removed ones are among them."""
        behind = or_(CatalogRow.indexed_at.is_(None), CatalogRow.indexed_at < CatalogRow.updated_at)
        grants = (
            select(func.array_agg(AccessRow.tenant.distinct()))
            .where(AccessRow.entry_id == CatalogRow.id, AccessRow.state == GRANTED)
            .correlate(CatalogRow)
            .scalar_subquery()
        )
        texts = select(DocumentRow.text).where(DocumentRow.entry_id == CatalogRow.id).correlate(CatalogRow).scalar_subquery()
        statement = (
            select(CatalogRow, grants, texts).where(behind).order_by(CatalogRow.removed_at.is_(None), CatalogRow.updated_at).limit(limit)
        )
        async with self._database.transaction() as session:
            return [_stale(row, granted or [], body or "") for row, granted, body in await session.execute(statement)]

    async def indexed(self, entries: Sequence[StaleEntry]) -> None:
        """Note that the index has seen these forms; one that changed again meanwhile stays stale. Removed ones are now erased."""
        async with self._database.transaction() as session:
            for stale in entries:
                row = CatalogRow.id == stale.entry.id
                same = and_(row, CatalogRow.updated_at == stale.updated_at)
                if stale.removed:
                    await session.execute(delete(CatalogRow).where(same, CatalogRow.removed_at.is_not(None)))
                    continue
                seen = case((same, stale.updated_at), else_=CatalogRow.indexed_at)
                await session.execute(update(CatalogRow).where(row).values(indexed_in=stale.audiences, indexed_at=seen))

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[bool]:
        """Whether nobody else brings the index up to the catalog; nobody begins to while this is held."""
        async with self._database.transaction(whole=True) as session:
            yield bool(await session.scalar(_ALONE))

    async def groups(self, teams: Sequence[str] | None) -> tuple[builtins.list[str], builtins.list[str]]:
        """Teams that are open, of these or of all, and their organisations."""
        statement = select(TenantRow.name, TenantRow.organisation).where(TenantRow.closed_at.is_(None))
        if teams is not None:
            statement = statement.where(TenantRow.name.in_(teams))
        async with self._database.reading(whole=True) as connection:
            rows = (await connection.execute(statement)).all()
        return [*(teams if teams is not None else [row.name for row in rows])], sorted(
            {row.organisation for row in rows if row.organisation}
        )

    @asynccontextmanager
    async def _within(self, session: AsyncSession | None) -> AsyncIterator[AsyncSession]:
        if session is not None:
            yield session
        else:
            async with self._database.transaction() as own:
                yield own


def _seen(viewer: Viewer, filters: Filters) -> Select[str]:
    """Ids of what a viewer sees, with exact conditions, by the index of words."""
    statement = select(CatalogRow.id).where(visible(viewer))
    return statement.where(holds(all_of(wanted_labels(filters)))) if filters.anything else statement


def _entries(viewer: Viewer) -> Select[tuple[object, ...]]:
    columns = [getattr(CatalogRow, name) for name in CatalogEntry.model_fields]
    return select(*columns, usable(viewer).label("usable")).where(visible(viewer))


def _entry(row: Row[tuple[object, ...]]) -> CatalogEntry:
    told = dict(row._mapping)
    return CatalogEntry.model_validate({**told, **({} if told.pop("usable") else INNER)})


def _stale(row: CatalogRow, granted: list[str], body: str) -> StaleEntry:
    entry = CatalogEntry.model_validate({name: getattr(row, name) for name in FIELDS})
    removed = row.removed_at is not None
    audiences = [] if removed else audiences_of(entry, row.organisation, granted)
    return StaleEntry(entry=entry, updated_at=row.updated_at, removed=removed, audiences=audiences, indexed_in=row.indexed_in, text=body)


def audiences_of(entry: CatalogEntry, organisation: str | None, granted: Sequence[str]) -> list[str]:
    """The parts of the index that an entry belongs into: each is searched by those only who may see what is in it."""
    if entry.tenant == SHARED or entry.visibility == "shared":
        return [SHARED]
    group = [organisation_audience(organisation)] if organisation and entry.visibility == "organisation" else []
    return [*dict.fromkeys([entry.tenant, *group, *granted])]


def organisation_audience(organisation: str) -> str:
    """The part of the index that an organisation's teams share; no team can have this name."""
    return f"@{organisation}"


async def _as_set(session: AsyncSession, entry: CatalogEntry) -> CatalogEntry:
    row = (await session.execute(select(CatalogRow.visibility, CatalogRow.access).where(CatalogRow.id == entry.id))).first()
    return entry if row is None else entry.model_copy(update={"visibility": row.visibility, "access": row.access})


async def _keep_text(session: AsyncSession, entry: CatalogEntry, body: str) -> None:
    digest = hashlib.sha256(body.encode()).hexdigest()
    kept = {"text": body, "digest": digest, "written_at": utcnow()}
    statement = insert(DocumentRow).values(entry_id=entry.id, tenant=entry.tenant, **kept)
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["entry_id"], set_=kept, where=and_(DocumentRow.tenant == entry.tenant, DocumentRow.digest != digest)
        )
    )
