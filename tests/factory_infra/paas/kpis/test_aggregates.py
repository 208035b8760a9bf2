"""The kept sums are the log's, whatever comes when, over any window; each protection is also shown switched off."""

import asyncio
import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from factory_infra.database import Database
from factory_infra.paas.kpis import aggregates
from factory_infra.paas.kpis.aggregates import ALL_SERIES, Aggregates
from factory_infra.paas.kpis.facts import LogEvent, Measured, Sum, Window, measured
from factory_infra.paas.kpis.rules import DELAYED, DISTRIBUTIONS, LEVELS
from factory_infra.paas.kpis.statements import shown
from tests.factory_infra.paas.kpis.logs import BEGIN, drawn, write

pytestmark = pytest.mark.stack


def windows(seed: int) -> list[Window]:
    """Long and short ones, even and uneven, some that end before the log does or begin before it."""
    draw = random.Random(seed)  # noqa: S311 - a test's own windows
    hour = BEGIN.replace(minute=0, second=0, microsecond=0)
    found = [
        Window(hour - timedelta(days=30), hour + timedelta(days=30)),
        Window(hour + timedelta(hours=1), hour + timedelta(hours=2)),
        Window(hour + timedelta(minutes=70), hour + timedelta(minutes=71)),
        Window(hour + timedelta(minutes=50), hour + timedelta(minutes=130)),
        Window(hour + timedelta(minutes=50), hour + timedelta(hours=2)),
        Window((hour + timedelta(days=1)).replace(hour=0), (hour + timedelta(days=3)).replace(hour=0)),
    ]
    for _ in range(6):
        since = BEGIN + timedelta(seconds=draw.uniform(-86_400, 4 * 86_400))
        found.append(Window(since, since + timedelta(seconds=draw.choice([5, 900, 7200, 90_000, 300_000]) * draw.uniform(0.5, 1.5))))
    return found


def alike(one: Measured, other: Measured) -> None:
    """The same sums; what is nothing may be absent."""
    for each in {*one.sums, *other.sums}:
        assert one.sums.get(each, Sum()) == other.sums.get(each, Sum()), (each, one.window)
    assert {name: dict(each) for name, each in one.values.items()} == {name: dict(each) for name, each in other.values.items()}, one.window


async def agrees(database: Database, events: list[LogEvent], seed: int = 1) -> None:
    """The kept sums are those of the pure function."""
    for over in windows(seed):
        alike((await Aggregates(database).measure(over))[0], measured(events, over))


async def dump(database: Database) -> list[tuple[object, ...]]:
    async with database.transaction() as session:
        query = "SELECT level, series, bucket, dim, value, n, off FROM kpi_sums WHERE n <> 0 OR off <> 0 ORDER BY 1, 2, 3, 4, 5"
        return [tuple(row) for row in await session.execute(text(query))]


@pytest.mark.parametrize("seed", [1, 2])
async def test_what_comes_in_any_order_and_late_is_added_once(database: Database, seed: int) -> None:
    events, kept, at = drawn(seed), Aggregates(database), 0
    draw = random.Random(seed)  # noqa: S311 - a test's own pieces
    while at < len(events):
        piece = draw.choice([1, 40, 300])
        await write(database, events[at : at + piece])
        await kept.catch_up(batches=draw.choice([0, 1, 50]), limit=draw.choice([7, 60, 1000]))
        at += piece
    await kept.catch_up(batches=100)
    await agrees(database, events, seed)
    before = await dump(database)
    await kept.rebuild()
    assert not await dump(database)
    progress = await kept.catch_up(batches=1000, limit=333)
    assert progress.whole and progress.events == len(events)
    assert await dump(database) == before


async def test_two_that_read_the_log_at_once_add_nothing_twice(database: Database) -> None:
    events = drawn(3)
    await write(database, events)
    await asyncio.gather(*(Aggregates(database).catch_up(batches=60, limit=50) for _ in range(3)))
    await agrees(database, events)


async def test_the_shown_query_gives_the_same(database: Database) -> None:
    events = drawn(4)
    await write(database, events)
    for over in windows(4)[:5]:
        pure = measured(events, over)
        async with database.transaction() as session:
            connection = await session.connection()
            rows = (await connection.exec_driver_sql(shown(ALL_SERIES - {"unreadable"}, *over))).all()
        found = {
            (row.series, row.dim): Sum(int(row.n), *((int(row.area), int(row.level)) if row.series in LEVELS else ()))
            for row in rows
            if row.value is None
        }
        for name in {*found, *pure.sums}:
            assert found.get(name, Sum()) == pure.sums.get(name, Sum()), (name, over)
        spread = {(row.series, row.value): int(row.n) for row in rows if row.value is not None and row.n}
        assert spread == {(name, value): n for name, counts in pure.values.items() for value, n in counts.items()}


async def test_an_event_of_a_transaction_that_ends_late_is_not_missed(database: Database) -> None:
    events, kept = drawn(5, size=6), Aggregates(database)
    async with database.transaction() as slow:
        await slow.execute(text("INSERT INTO kpi_pools (pool, kind, slots, changes) VALUES ('slow', 'cpu', 1, 0)"))  # it has its number now
        await write(database, events[1:])
        assert (await kept.advance()).events == 0  # what came after it waits for it
        first = events[0]
        await slow.execute(
            text(
                "INSERT INTO events (key, tenant, thread_id, plan_id, kind, payload, at) VALUES (:key, :tenant, '', '', :kind, '{}', :at)"
            ),
            {"key": first.key, "tenant": first.tenant, "kind": first.kind, "at": first.at},
        )
    await kept.catch_up(batches=10)
    await agrees(database, [first._replace(payload={}), *events[1:]])


async def test_other_rules_make_the_sums_anew(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    events, kept = drawn(6, size=6), Aggregates(database)
    await write(database, events)
    await kept.catch_up(batches=10)
    monkeypatch.setattr(aggregates, "RULES_DIGEST", "f" * 64)
    progress = await kept.advance(limit=5)
    assert (progress.events, progress.whole) == (5, False)
    await kept.catch_up(batches=100)
    await agrees(database, events)


class TestControls:
    """What is switched off must be missed."""

    async def test_without_its_place_an_event_counts_twice(self, database: Database) -> None:
        events, kept = drawn(7, size=6), Aggregates(database)
        await write(database, events)
        await kept.catch_up(batches=10)
        async with database.transaction() as session:
            await session.execute(text("UPDATE kpi_read SET tx = 0, event_id = 0"))
        await kept.catch_up(batches=10)
        with pytest.raises(AssertionError):
            await agrees(database, events)

    async def test_without_the_edges_an_uneven_window_is_wrong(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        events = drawn(8)
        await write(database, events)
        await Aggregates(database).catch_up(batches=10)
        monkeypatch.setattr("factory_infra.paas.kpis.reading.of_edges", lambda *told, **named: OFF)
        with pytest.raises(AssertionError):
            await agrees(database, events)

    async def test_a_sum_that_was_tampered_with_is_seen(self, database: Database) -> None:
        events = drawn(9)
        await write(database, events)
        await Aggregates(database).catch_up(batches=10)
        async with database.transaction() as session:
            await session.execute(text("UPDATE kpi_sums SET n = n + 1 WHERE series = 'slots.leased' AND level = 1"))
        with pytest.raises(AssertionError):
            await agrees(database, events)


OFF = "edges AS (SELECT ''::text AS series, ''::text AS dim, now() AS at, 0::bigint AS value, 0::numeric AS n WHERE false)"


def test_the_delay_and_the_distributions_are_of_series_that_there_are() -> None:
    assert {*DELAYED, *DISTRIBUTIONS} <= ALL_SERIES
