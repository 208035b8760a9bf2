"""A connection whose server ended it is replaced before anybody uses it, and that costs no round trip."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from factory_infra import database as module
from factory_infra.database import Database

pytestmark = pytest.mark.stack
SERVER_PID = text("SELECT pg_backend_pid()")


class Blind:
    """A look at sockets that sees nothing."""

    def register(self, _descriptor: int, _what: int) -> None:
        """Nothing."""

    def poll(self, _milliseconds: int) -> list[tuple[int, int]]:
        """Nothing."""
        return []


async def pid(database: Database) -> int:
    async with database.transaction() as session:
        return int(await session.scalar(SERVER_PID) or 0)


async def ended(database: Database, other: Database) -> int:
    """End the connection that the other one keeps, from the server's side."""
    theirs = await pid(other)
    async with database.transaction() as session:
        assert await session.scalar(select(func.pg_terminate_backend(theirs, 10_000)))  # waits until it is gone
    return theirs


@pytest_asyncio.fixture
async def other(database: Database) -> AsyncIterator[Database]:
    made = Database(database.engine.url.render_as_string(hide_password=False), pool_size=1)
    yield made
    await made.close()


async def test_one_that_the_server_ended_is_replaced(database: Database, other: Database) -> None:
    assert await ended(database, other) != await pid(other)


async def test_control_without_the_look_it_would_fail(database: Database, other: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await ended(database, other)
    monkeypatch.setattr("factory_infra.database.select.poll", Blind)
    with pytest.raises(OperationalError):
        await pid(other)


async def test_one_that_lay_for_long_is_asked(database: Database, other: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = await ended(database, other)
    monkeypatch.setattr("factory_infra.database.select.poll", Blind)  # something between let it go in silence
    monkeypatch.setattr(module, "LONG_SECONDS", 0.0)
    assert await pid(other) != theirs


async def test_one_that_is_well_is_kept(other: Database) -> None:
    assert await pid(other) == await pid(other)
