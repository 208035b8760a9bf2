"""The one door to PostgreSQL: engine, sessions, advisory locks."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import DateTime, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase


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


ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def storable_json(value: JsonValue) -> str:
    """Serialise for a JSON column. PostgreSQL stores every character but NUL, which words from outside may hold: it is replaced."""
    dumped = json.dumps(value)
    return ESCAPED_NUL.sub(r"\1\\ufffd", dumped) if "\\u0000" in dumped else dumped


class Database:
    """A pool of connections to one PostgreSQL database; connects at the first use, never at construction."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.engine: AsyncEngine = create_async_engine(
            driver_url(url),
            hide_parameters=True,
            pool_size=pool_size,
            max_overflow=10,
            pool_pre_ping=True,
            pool_recycle=600,
            json_serializer=storable_json,
        )
        self._plain = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self, lock: str | None = None) -> AsyncIterator[AsyncSession]:
        """One transaction: committed on leaving, rolled back on an error.

        Args:
            lock: a name; transactions with the same name run one after another, across all processes.
        """
        async with self._sessions.begin() as session:
            if lock is not None:
                await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": lock})
            yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single statements that only read: without a transaction around each, which spares round trips."""
        async with self._plain.connect() as connection:
            yield connection

    async def ping(self) -> None:
        """Raise unless the server answers."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give every connection back."""
        await self.engine.dispose()
