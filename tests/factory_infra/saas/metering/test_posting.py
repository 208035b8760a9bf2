"""Posting: a settlement balances, rows and sums by day go in together, by insert and by copy alike."""

import asyncio
import random
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from factory_infra.database import Database
from factory_infra.saas.metering.checks import check_books
from factory_infra.saas.metering.models import Attribution, Charge, Transfer, Usage
from factory_infra.saas.metering.posting import COPY_ROWS_MIN, Reservation, correcting, hit, post, reserving, row_of, settling
from factory_infra.saas.metering.tables import ENTRY_COLUMNS, DailyRow, EntryRow
from tests.factory_infra.saas.metering.books import at_random

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HELD = Reservation(name="call/1", amount=Decimal(4), whose=Attribution(tenant="vision", project="maps"), price_version="v", backend="vllm")
CHARGE = Charge(unit="tokens", subject="small", quantity=Decimal(7), quantity_out=Decimal(2), estimated=True)


def moves(transfers: list[Transfer]) -> list[tuple[str, str, str, Decimal, Decimal]]:
    return [(each.action, each.debit, each.credit, each.amount, each.charge.quantity) for each in transfers]


class TestTransfers:
    def test_what_was_used_of_less_is_charged_and_the_rest_released(self) -> None:
        assert moves(settling(HELD, CHARGE, Decimal(1), NOW)) == [
            ("settle", "reserved", "spent", Decimal(1), Decimal(7)),
            ("release", "reserved", "available", Decimal(3), Decimal(0)),
        ]

    def test_what_was_used_beyond_comes_from_what_is_available(self) -> None:
        assert moves(settling(HELD, CHARGE, Decimal(5), NOW)) == [
            ("settle", "reserved", "spent", Decimal(4), Decimal(7)),
            ("surplus", "available", "spent", Decimal(1), Decimal(0)),
        ]

    def test_exactly_what_was_reserved_is_one_transfer(self) -> None:
        assert moves(settling(HELD, CHARGE, Decimal(4), NOW)) == [("settle", "reserved", "spent", Decimal(4), Decimal(7))]

    def test_nothing_used_is_settled_all_the_same(self) -> None:
        assert [each.action for each in settling(HELD, CHARGE, Decimal(0), NOW, "failed")] == ["settle", "release"]

    def test_a_hit_of_the_cache_costs_nothing_and_says_what_it_saved(self) -> None:
        row = hit(HELD, "small", Usage(tokens_in=10, tokens_out=20), NOW)
        assert (row.action, row.outcome, row.reason) == ("settle", "cached", "saved 10/20")
        assert row.amount == row.charge.quantity == 0

    @pytest.mark.parametrize(("amount", "accounts"), [("2", ("available", "spent")), ("-2", ("spent", "available"))])
    def test_a_correction_goes_either_way(self, amount: str, accounts: tuple[str, str]) -> None:
        row = correcting(HELD, CHARGE, Decimal(amount), NOW, (3, "ann: wrong"))
        assert (row.debit, row.credit) == accounts
        assert (row.amount, row.action, row.charge.quantity) == (Decimal(2), "correct/3", Decimal(0))

    def test_a_row_has_the_ledgers_columns_in_their_order(self) -> None:
        assert tuple(row_of(reserving(HELD, CHARGE, NOW))) == ENTRY_COLUMNS

    def test_words_from_outside_are_cut_and_never_refused(self) -> None:
        whose = Attribution(tenant="vision", agent="a" * 99, step="nul\0")
        row = row_of(reserving(Reservation("r", Decimal(1), whose, "v"), CHARGE, NOW))
        assert (len(row["agent"]), row["step"]) == (64, "nul\ufffd")


@pytest.mark.stack
class TestPost:
    async def posted(self, database: Database, transfers: list[Transfer]) -> None:
        async with database.transaction() as session:
            await post(session, transfers)

    @pytest.mark.parametrize("size", [1, COPY_ROWS_MIN - 1, 400])
    async def test_rows_and_sums_by_day_are_equal_however_many_go_in_at_once(self, database: Database, size: int) -> None:
        transfers = at_random(random.Random(size), 40 if size == 1 else 300)  # noqa: S311 - chance, not a secret
        for start in range(0, len(transfers), size):
            await self.posted(database, transfers[start : start + size])
        found = await check_books(database)
        assert (found.days, found.settled) == ([], [])
        async with database.transaction() as session:
            rows = list(await session.scalars(select(EntryRow).order_by(EntryRow.id)))
        assert [{name: getattr(row, name) for name in ENTRY_COLUMNS} for row in rows] == [row_of(each) for each in transfers]

    async def test_side_by_side_in_any_order_nothing_is_lost_or_waits_for_ever(self, database: Database) -> None:
        transfers = at_random(random.Random(7), 120)  # noqa: S311
        batches = [transfers[start : start + 40] for start in range(0, len(transfers), 40)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(self.posted(database, batch[:: (-1) ** turn]) for turn, batch in enumerate(batches)))
        assert (await check_books(database)).days == []

    @pytest.mark.parametrize("count", [1, COPY_ROWS_MIN])
    async def test_twice_is_refused_as_a_whole(self, database: Database, count: int) -> None:
        transfers = [each for number in range(count) for each in settling(named(f"r{number}"), CHARGE, Decimal(4), NOW)]
        await self.posted(database, transfers)
        with pytest.raises(IntegrityError):
            await self.posted(database, [*settling(named("new"), CHARGE, Decimal(4), NOW), *transfers])
        async with database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(EntryRow)) == count
            assert await session.scalar(select(func.sum(DailyRow.calls))) == count

    async def test_control_a_row_without_its_sum_is_found(self, database: Database) -> None:
        async with database.transaction() as session:
            session.add(EntryRow(**row_of(settling(HELD, CHARGE, Decimal(4), NOW)[0])))
        (found,) = (await check_books(database)).days
        assert found.name == "2026-11-01/vision/maps///small/vllm/tokens"
        assert (found.told, found.ought) == (None, Decimal(4))


def named(name: str) -> Reservation:
    return Reservation(name, HELD.amount, HELD.whose, HELD.price_version, HELD.backend)
