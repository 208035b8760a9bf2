"""The one door to PostgreSQL: engine, sessions, advisory locks."""

import json
import re
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import cast

from psycopg import Error as PsycopgError
from pydantic import JsonValue
from sqlalchemy import AdaptedConnection, Connection, DateTime, Dialect, event, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction
from sqlalchemy.pool import ConnectionPoolEntry

from factory_infra.errors import InvalidInput
from factory_infra.second_wall import EVERYTHING, NOBODY, TEAM_ROLE, TEAM_SETTING, view


class Base(DeclarativeBase):
    """Every table's base: JSON columns are JSONB, moments carry their zone."""

    type_annotation_map = {dict[str, JsonValue]: JSONB, list[int]: JSONB, list[str]: JSONB, datetime: DateTime(timezone=True)}


def utcnow() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


def driver_url(url: str) -> str:
    """Name the psycopg driver in a plain `postgresql://` address."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in {"postgres", "postgresql"} else url


# Both last until the transaction ends. The statement is one, so that a team's transaction costs one round trip more.
_NARROW = text(f"SELECT set_config('{TEAM_SETTING}', :team, true), set_config('role', '{TEAM_ROLE}', true)")
_WIDEN = text("SELECT set_config('role', 'none', true)")
LAID_DOWN = "laid_down"
LONG_SECONDS = 30.0
ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def storable_json(value: JsonValue) -> str:
    """Serialise for a JSON column. PostgreSQL stores every character but NUL, which words from outside may hold: it is replaced."""
    dumped = json.dumps(value)
    return ESCAPED_NUL.sub(r"\1\\ufffd", dumped) if "\\u0000" in dumped else dumped


class _Narrowed(Session):
    """A session whose connection is narrowed to its view as soon as it has begun."""


@event.listens_for(_Narrowed, "after_begin")
def _narrow(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Before the first statement and after the choice of an isolation level, which must come before any."""
    whose = session.info.get("view", NOBODY)
    if whose == EVERYTHING:
        return
    if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
        raise InvalidInput("Only a transaction can be narrowed to a team.", remedy="Ask within one, or for everything.")
    connection.execute(_NARROW, {"team": whose})


def _laid_down(_connection: object, record: ConnectionPoolEntry) -> None:
    """Note when a connection came back to the pool."""
    record.info[LAID_DOWN] = time.monotonic()


def _taken_up(dialect: Dialect, connection: AdaptedConnection, record: ConnectionPoolEntry, _fairy: object) -> None:
    """Have the pool replace a connection whose server is gone, without a round trip for each whose is not: its socket says so by itself.

    One that lay for long is asked: what lies between may have dropped it in silence.
    """
    if LAID_DOWN not in record.info:
        return
    waiting = select.poll()
    try:
        waiting.register(connection.driver_connection.fileno(), select.POLLIN)
        if waiting.poll(0):  # nothing was asked, and something came: its end
            raise DisconnectionError("the server has ended it")
        if time.monotonic() > record.info[LAID_DOWN] + LONG_SECONDS:
            dialect.do_ping(cast(DBAPIConnection, connection))
    except PsycopgError as error:
        raise DisconnectionError("it does not answer") from error


@asynccontextmanager
async def widened(session: AsyncSession) -> AsyncIterator[None]:
    """See everything within a transaction that is narrowed to a team; what waits to be written is written, narrowed, before."""
    whose = session.info.get("view", NOBODY)
    if whose == EVERYTHING:
        yield
        return
    await session.flush()
    await session.execute(_WIDEN)
    yield
    await session.flush()
    await session.execute(_NARROW, {"team": whose})


class Database:
    """A pool of connections to one PostgreSQL database; connects at the first use, never at construction."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.engine: AsyncEngine = create_async_engine(
            driver_url(url),
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=10,
            pool_recycle=600,
            json_serializer=storable_json,
        )
        event.listen(self.engine.sync_engine, "checkin", _laid_down)
        event.listen(self.engine.sync_engine, "checkout", partial(_taken_up, self.engine.sync_engine.dialect))
        self._plain = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False, sync_session_class=_Narrowed)

    @asynccontextmanager
    async def transaction(self, lock: str | None = None, *, whole: bool = False) -> AsyncIterator[AsyncSession]:
        """One transaction: committed on leaving, rolled back on an error. A team's sees that team's rows only: see `second_wall`.

        Args:
            lock: a name; transactions with the same name run one after another, across all processes.
            whole: see every team's rows, whoever asks: for what counts over all of them. What the caller is told, the code then bounds.
        """
        async with self._sessions.begin() as session:
            session.info["view"] = EVERYTHING if whole else view()
            if lock is not None:
                await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": lock})
            yield session

    @asynccontextmanager
    async def reading(self, *, whole: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements that only read: without a transaction around each, which spares round trips.

        A team's, unless it is `whole`, is a transaction all the same: what narrows its view lasts as long as one.
        """
        if whole or view() == EVERYTHING:
            async with self._plain.connect() as connection:
                yield connection
        else:
            async with self.engine.begin() as connection:
                await connection.execute(_NARROW, {"team": view()})
                yield connection

    async def ping(self) -> None:
        """Raise unless the server answers."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()
