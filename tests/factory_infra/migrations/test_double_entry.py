"""The ledger of before, with rows in it, becomes one of double entry: every sum is kept, and it can be turned back."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text

from factory_infra.database import Database, driver_url
from factory_infra.migrations.run import FOLDER
from factory_infra.saas.metering.checks import check_books

pytestmark = pytest.mark.stack

OLD = (
    # reservation, action, account, amount, unit, quantity, quantity out, tenant, at
    ("less", "reserve", "reserved", "4", "tokens", 4, 0, "vision", "2026-10-31 23:00+00"),
    ("less", "settle", "reserved", "-4", "tokens", 3, 1, "vision", "2026-10-31 23:59+00"),
    ("less", "settle", "spent", "1.5", "tokens", 3, 1, "vision", "2026-10-31 23:59+00"),
    ("more", "reserve", "reserved", "4", "tokens", 4, 0, "vision", "2026-11-01 00:00+00"),
    ("more", "settle", "reserved", "-4", "tokens", 9, 9, "vision", "2026-11-01 00:01+00"),
    ("more", "settle", "spent", "5.0000000001", "tokens", 9, 9, "vision", "2026-11-01 00:01+00"),
    ("same", "reserve", "reserved", "2", "slot_seconds", 2, 0, "vision", "2026-11-01 00:00+00"),
    ("same", "settle", "reserved", "-2", "slot_seconds", 2, 0, "vision", "2026-11-01 00:01+00"),
    ("same", "settle", "spent", "2", "slot_seconds", 2, 0, "vision", "2026-11-01 00:01+00"),
    ("none", "reserve", "reserved", "3", "tokens", 4, 0, "language", "2026-11-01 00:00+00"),
    ("none", "settle", "reserved", "-3", "tokens", 0, 0, "language", "2026-11-01 00:01+00"),
    ("none", "settle", "spent", "0", "tokens", 0, 0, "language", "2026-11-01 00:01+00"),
    ("open", "reserve", "reserved", "7", "tokens", 4, 0, "language", "2026-11-01 00:00+00"),
)
INSERT = text(
    "INSERT INTO ledger_entries (at, tenant, reservation, action, account, amount, unit, quantity, quantity_out, subject, plan_id, "
    "thread_id, agent, price_version, estimated) "
    "VALUES (:at, :tenant, :reservation, :action, :account, :amount, :unit, :quantity, :out, 's', 'p', 't', 'a', 'v', false)"
)
NAMES = ("reservation", "action", "account", "amount", "unit", "quantity", "out", "tenant", "at")
ALL_OLD = text(
    "SELECT reservation, action, account, amount, unit, quantity, quantity_out, tenant, at FROM ledger_entries "
    "ORDER BY reservation, action, account, amount"
)


@pytest.fixture
def old_url(postgres_url: str) -> Iterator[str]:
    """The address of an empty database, as it was at the fourth version."""
    engine = create_engine(driver_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE before_double_entry TEMPLATE template0"))
    yield postgres_url.replace("/postgres?", "/before_double_entry?")
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE before_double_entry WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def old(old_url: str) -> Iterator[Connection]:
    engine = create_engine(driver_url(old_url))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def migrate(connection: Connection, version: str, *, back: bool = False) -> None:
    """Bring the database to a version."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    (command.downgrade if back else command.upgrade)(config, version)
    connection.commit()


def rows(connection: Connection, words: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in connection.execute(text(words))]


async def test_entries_become_transfers_and_sums_are_kept(old: Connection, old_url: str) -> None:
    migrate(old, "0004")
    old.execute(INSERT, [dict(zip(NAMES, row, strict=True)) for row in OLD])
    old.commit()
    before = old.execute(ALL_OLD).all()
    migrate(old, "0005")
    assert rows(old, "SELECT reservation, action, debit, credit, amount, quantity, outcome FROM ledger_entries ORDER BY 1, 2") == [
        ("less", "release", "reserved", "available", Decimal("2.5"), 0, ""),
        ("less", "reserve", "available", "reserved", 4, 4, ""),
        ("less", "settle", "reserved", "spent", Decimal("1.5"), 3, "done"),
        ("more", "reserve", "available", "reserved", 4, 4, ""),
        ("more", "settle", "reserved", "spent", 4, 9, "done"),
        ("more", "surplus", "available", "spent", Decimal("1.0000000001"), 0, ""),
        ("none", "release", "reserved", "available", 3, 0, ""),
        ("none", "reserve", "available", "reserved", 3, 4, ""),
        ("none", "settle", "reserved", "spent", 0, 0, "failed"),
        ("open", "reserve", "available", "reserved", 7, 4, ""),
        ("same", "reserve", "available", "reserved", 2, 2, ""),
        ("same", "settle", "reserved", "spent", 2, 2, "done"),
    ]
    assert rows(old, "SELECT limit_id, used FROM ledger_uses ORDER BY 1") == [
        ("budget/language", 7),
        ("budget/vision", Decimal("8.5000000001")),
    ]
    assert rows(old, "SELECT tenant, day::text, unit, calls, quantity, quantity_out, amount FROM ledger_daily ORDER BY 1, 2, 3") == [
        ("language", "2026-11-01", "tokens", 1, 0, 0, 0),
        ("vision", "2026-10-31", "tokens", 1, 3, 1, Decimal("1.5")),
        ("vision", "2026-11-01", "slot_seconds", 1, 2, 0, 2),
        ("vision", "2026-11-01", "tokens", 1, 9, 9, Decimal("5.0000000001")),
    ]
    old.commit()
    database = Database(old_url)
    found = await check_books(database)
    await database.close()
    assert found.open_long == ["open"]
    assert found.model_copy(update={"open_long": []}).equal
    migrate(old, "0004", back=True)
    assert old.execute(ALL_OLD).all() == before
    old.commit()
