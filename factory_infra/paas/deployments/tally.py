"""Counts of this process's requests, added to the database's twice a second: what a killed process had not written is not counted."""

import asyncio
import contextvars
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from sqlalchemy import ARRAY, Integer, Select, delete, func, literal_column, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.exc import SQLAlchemyError

from factory_infra.database import Database, utcnow
from factory_infra.paas.deployments.counts import Counts
from factory_infra.paas.deployments.traffic_tables import CountRow

WINDOW_SECONDS = 10
WRITE_SECONDS = 0.5
KEPT_DAYS = 7
SUMS = ("requests", "errors", "busy_ms", "compared", "agreed", "labelled", "right")
log = structlog.get_logger("tally")


class Side(NamedTuple):
    """Whose answers are counted: the live version's or the candidate's, within a step of a roll-out."""

    tenant: str
    name: str
    side: str
    rollout_id: str = ""
    step: int = 0


LIVE = "live"
CANDIDATE = "candidate"


class Tally:
    """Counts in memory, and writes what has come together."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[tuple[Side, datetime], Counts] = {}
        self._writer: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def of(self, side: Side) -> Counts:
        """The counts of a side in the present window: add to them at once, before anything else is awaited."""
        if self._writer is None or self._writer.done():
            # Of no caller's context: it writes for all of them.
            self._writer = asyncio.create_task(self._keep_writing(), context=contextvars.Context())
        key = (side, window_of(utcnow()))
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = Counts()
        return counts

    async def write(self) -> None:
        """Write what has come together. What cannot be written now is kept for the next time."""
        async with self._writing:
            taken, self._counts = self._counts, {}
            try:
                async with self._database.transaction() as session:
                    for side, at in sorted(taken):  # always in this order: no two processes wait for each other
                        await session.execute(adding(side, at, taken[side, at]))
            except SQLAlchemyError as error:
                log.warning("counts not written", error=type(error).__name__)
                for key, counts in taken.items():
                    self._counts[key] = merged(self._counts[key], counts) if key in self._counts else counts

    async def close(self) -> None:
        """Write the rest."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
            self._writer = None
            await self.write()

    async def _keep_writing(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            if self._counts:
                await self.write()


def window_of(at: datetime) -> datetime:
    """The beginning of a moment's window."""
    return at.replace(second=at.second - at.second % WINDOW_SECONDS, microsecond=0)


def merged(one: Counts, other: Counts) -> Counts:
    """The sum of both."""
    sums = {name: getattr(one, name) + getattr(other, name) for name in SUMS}
    return Counts(**sums, latencies=[first + second for first, second in zip(one.latencies, other.latencies, strict=True)])


def adding(side: Side, at: datetime, counts: Counts) -> Insert:
    """The statement that adds counts to a window."""
    values = {name: getattr(counts, name) for name in SUMS}
    statement = insert(CountRow).values(**side._asdict(), window_at=at, **values, latencies=counts.latencies)
    summed = {name: getattr(CountRow, name) + statement.excluded[name] for name in SUMS}
    pairs = "SELECT array_agg(a + b ORDER BY i) FROM unnest(endpoint_counts.latencies, excluded.latencies) WITH ORDINALITY AS t(a, b, i)"
    summed["latencies"] = literal_column(f"({pairs})", ARRAY(Integer))
    keys = [CountRow.tenant, CountRow.name, CountRow.window_at, CountRow.side, CountRow.rollout_id, CountRow.step]
    return statement.on_conflict_do_update(index_elements=keys, set_=summed)


async def counted(database: Database, side: Side) -> Counts:
    """All that was counted of a side within its step."""
    query = select(CountRow).where(CountRow.tenant == side.tenant, CountRow.name == side.name, CountRow.side == side.side)
    return await _summed(database, query.where(CountRow.rollout_id == side.rollout_id, CountRow.step == side.step))


async def recent(database: Database, tenant: str, name: str, seconds: float) -> Counts:
    """What was counted of the live version in windows that began within so many seconds, in and out of roll-outs."""
    since = window_of(utcnow() - timedelta(seconds=seconds))
    query = select(CountRow).where(CountRow.tenant == tenant, CountRow.name == name, CountRow.side == LIVE)
    return await _summed(database, query.where(CountRow.window_at >= since))


async def last_asked(database: Database, tenant: str, name: str) -> datetime | None:
    """The end of the last window in which somebody asked."""
    query = select(func.max(CountRow.window_at)).where(CountRow.tenant == tenant, CountRow.name == name, CountRow.requests > 0)
    async with database.transaction() as session:
        at: datetime | None = await session.scalar(query)
    return at + timedelta(seconds=WINDOW_SECONDS) if at is not None else None


async def forget_counts(database: Database) -> None:
    """Remove counts that are too old to matter. A job calls this."""
    async with database.transaction() as session:
        await session.execute(delete(CountRow).where(CountRow.window_at < utcnow() - timedelta(days=KEPT_DAYS)))


async def _summed(database: Database, query: Select[CountRow]) -> Counts:
    total = Counts()
    async with database.transaction() as session:
        for row in await session.scalars(query):
            total = merged(total, Counts(**{name: getattr(row, name) for name in SUMS}, latencies=list(row.latencies)))
    return total
