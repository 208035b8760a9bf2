"""The kept sums: each event of the log is added once, in whatever order it comes, and any window is read from few rows."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.paas.kpis.facts import Counterfactual, Measured, Sum, Window, add
from factory_infra.paas.kpis.reading import question
from factory_infra.paas.kpis.rules import COUNTERFACTUAL, DELAYED, DISTRIBUTIONS, KINDS, LEVELS, RULES, UNREADABLE
from factory_infra.paas.kpis.statements import keep
from factory_infra.paas.kpis.tables import ReadRow
from factory_infra.records.tables import EventRow

BATCH = 20_000
LOCK = "kpis/read"
ALL_SERIES = frozenset({rule.series for rule in RULES} | {UNREADABLE})


class Progress(NamedTuple):
    """How far the log was read."""

    events: int
    """Read now."""
    whole: bool
    """Whether all of it was read once: until then the sums are not the log's."""
    at: datetime


class Place(NamedTuple):
    """A place in the log: events up to it were read."""

    tx: int
    id: int


class Aggregates:
    """Sums over the log, in PostgreSQL. Any process may add to them: one does at a time, and each event counts once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def advance(self, limit: int = BATCH, *, wait: bool = True) -> Progress:
        """Read the log's next events, at most so many. Events of transactions that are not over wait: none is missed, none counts twice.

        Args:
            limit: so many events at most.
            wait: for a process that reads the log now; without, what that reads is its own.
        """
        async with self._database.transaction(lock=LOCK if wait else None, whole=True) as session:
            if not wait and not await session.scalar(_TRY, {"name": LOCK}):
                return Progress(0, False, utcnow())
            row = await self._row(session)
            found = (await session.execute(_NEXT, {"tx": row.tx, "id": row.event_id, "limit": limit})).one()
            read, row.at = int(found.events), utcnow()
            if read:
                bounds = {"tx_from": row.tx, "id_from": row.event_id, "tx_to": found.tx, "id_to": found.id}
                await session.execute(_KEEP, bounds)
                row.tx, row.event_id, row.events = found.tx, found.id, row.events + read
            row.whole = row.whole or read < limit
            return Progress(read, row.whole, row.at)

    async def catch_up(self, batches: int, limit: int = BATCH) -> Progress:
        """Advance until there is nothing more, by one batch at least and so many at most."""
        done = 0
        progress = await self.advance(limit)
        done = progress.events
        for _ in range(batches - 1):
            if progress.events < limit:
                break
            progress = await self.advance(limit)
            done += progress.events
        return Progress(done, progress.whole, progress.at)

    async def rebuild(self) -> None:
        """Forget the sums; what follows reads the log from its beginning."""
        async with self._database.transaction(lock=LOCK, whole=True) as session:
            row = await self._row(session)
            await session.execute(text("TRUNCATE kpi_sums"))
            row.tx, row.event_id, row.events, row.whole, row.rules = 0, 0, 0, False, RULES_DIGEST

    async def _row(self, session: AsyncSession) -> ReadRow:
        """How far the log was read. By other rules, or in another server's numbering of transactions, it is begun anew."""
        row = await session.get(ReadRow, 1)
        if row is None:
            row = ReadRow(id=1, tx=0, event_id=0, rules=RULES_DIGEST, events=0, whole=False, at=utcnow())
            session.add(row)
            await session.flush()
        newest = int(await session.scalar(text("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")) or 0)
        if row.rules != RULES_DIGEST or row.tx > newest:
            await session.execute(text("TRUNCATE kpi_sums"))
            row.tx, row.event_id, row.events, row.whole, row.rules = 0, 0, 0, False, RULES_DIGEST
        return row

    async def measure(self, over: Window, series: Collection[str] = ALL_SERIES) -> tuple[Measured, Progress]:
        """Read a window, at one moment of the sums; all series, or some."""
        async with self._database.transaction(whole=True) as session:
            await session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            row = await session.get(ReadRow, 1)
            if row is None:
                return Measured(over, {}), Progress(0, False, utcnow())
            place = Place(row.tx, row.event_id)
            sums: dict[tuple[str, str], Sum] = {}
            values: dict[str, dict[int, int]] = {}
            for delay, names in delays(series).items():
                await self._read(session, over.earlier(delay), names, place, (sums, values))
            fixed = await counterfactuals(session, over.until, place)
            return Measured(over, sums, values, fixed), Progress(row.events, row.whole, row.at)

    async def _read(
        self,
        session: AsyncSession,
        over: Window,
        series: Collection[str],
        place: Place,
        found: tuple[dict[tuple[str, str], Sum], dict[str, dict[int, int]]],
    ) -> None:
        sums, values = found
        asked, words = question(over, frozenset(series))
        for name, dim, value, before, n, area in await session.execute(text(words), asked | {"tx_to": place.tx, "id_to": place.id}):
            if name in DISTRIBUTIONS:
                values.setdefault(name, {})[value] = int(n)
                continue
            one = Sum(int(n))
            if name in LEVELS:
                one = Sum(int(n), int(before) * over.microseconds + int(area), int(before) + int(n))
            sums[name, dim] = add((sums.get((name, dim), Sum()), one))


def delays(series: Collection[str]) -> dict[int, list[str]]:
    """Series by how much earlier their window lies."""
    found: dict[int, list[str]] = {}
    for name in sorted(series):
        found.setdefault(DELAYED.get(name, 0), []).append(name)
    return found


async def counterfactuals(session: AsyncSession, until: datetime, place: Place) -> tuple[Counterfactual, ...]:
    """Those that were fixed before a moment, oldest first."""
    query = select(EventRow).where(EventRow.kind == COUNTERFACTUAL, EventRow.at < until).order_by(EventRow.at, EventRow.id)
    found = []
    for row in await session.scalars(query):
        document = row.payload.get("document")
        if (row.tx, row.id) <= place and isinstance(document, dict):
            found.append(Counterfactual(str(row.payload.get("digest")), row.at, document))
    return tuple(found)


_TRY = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
_KEEP = text(keep())
RULES_DIGEST = hashlib.sha256(f"{keep()}{KINDS}".encode()).hexdigest()
"""Of all that decides what the sums are."""
_NEXT = text(
    "WITH found AS (SELECT tx, id FROM events WHERE (tx, id) > (CAST(:tx AS bigint), CAST(:id AS bigint)) "
    "AND tx < pg_snapshot_xmin(pg_current_snapshot())::text::bigint ORDER BY tx, id LIMIT :limit) "
    "SELECT count(*) AS events, (SELECT tx FROM found ORDER BY tx DESC, id DESC LIMIT 1) AS tx, "
    "(SELECT id FROM found ORDER BY tx DESC, id DESC LIMIT 1) AS id FROM found"
)
