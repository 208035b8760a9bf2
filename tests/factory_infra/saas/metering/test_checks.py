"""The check of the books finds each kind of difference, and none where there is none."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import select, text

from factory_infra.database import Database, utcnow
from factory_infra.saas.metering.checks import BookCheck, check_books, forget_windows
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.saas.metering.posting import Reservation, post, reserving, settling
from factory_infra.saas.metering.tables import BlockRow, UseRow
from factory_infra.saas.metering.uses import EPOCH, add
from tests.factory_infra.saas.metering.books import at_random

pytestmark = pytest.mark.stack

CHARGE = Charge(unit="tokens", subject="small", quantity=Decimal(1))
BUDGET = "budget/vision"
LONG_AGO = utcnow() - timedelta(days=50)


@pytest.fixture
async def books(database: Database) -> Database:
    """A ledger with one direct caller's open call, one process that has drawn 10, charged 3 for one call and holds another."""
    direct = Reservation("model/1", Decimal(2), Attribution(tenant="vision"), "v")
    ended = Reservation("call/1", Decimal(5), Attribution(tenant="vision"), "v", "vllm")
    under_way = Reservation("call/2", Decimal(4), Attribution(tenant="vision"), "v", "vllm")
    async with database.transaction() as session:
        opened = [reserving(each, CHARGE, utcnow()) for each in (direct, ended, under_way)]
        await post(session, [*opened, *settling(ended, CHARGE, Decimal(3), utcnow())])
        session.add(BlockRow(process_id="p", limit_id=BUDGET, window_start=EPOCH, drawn=Decimal(10), charged=Decimal(3)))
        await add(session, BUDGET, EPOCH, Decimal(12))
    return database


async def changed(database: Database, words: str) -> BookCheck:
    async with database.transaction() as session:
        await session.execute(text(words))
    return await check_books(database)


async def test_books_that_agree_are_equal(books: Database) -> None:
    assert (await check_books(books)).equal


async def test_windows_that_are_long_over_are_forgotten_and_no_others(books: Database) -> None:
    async with books.transaction() as session:
        for name, days in (("old", 41), ("lately", 39)):
            await add(session, name, utcnow() - timedelta(days=days), Decimal(1))
        await add(session, "for-ever", EPOCH, Decimal(1))
        await add(session, "drawn", LONG_AGO, Decimal(1))
        session.add(BlockRow(process_id="p", limit_id="drawn", window_start=LONG_AGO, drawn=Decimal(1), charged=Decimal(0)))
    await forget_windows(books)
    async with books.transaction() as session:
        left = set(await session.scalars(select(UseRow.limit_id)))
    assert {"lately", "for-ever", "drawn"} <= left and "old" not in left
    assert (await check_books(books)).equal


async def test_an_empty_ledger_is_equal(database: Database) -> None:
    assert (await check_books(database)).equal


async def test_many_entries_agree_with_their_sums(database: Database) -> None:
    async with database.transaction() as session:
        transfers = at_random(random.Random(5), 200)  # noqa: S311 - chance, not a secret
        await post(session, transfers)
        for tenant in ("vision", "language"):
            theirs = [each for each in transfers if each.whose.tenant == tenant]
            spent = sum((each.amount * ((each.credit == "spent") - (each.debit == "spent")) for each in theirs), Decimal(0))
            await add(session, f"budget/{tenant}", EPOCH, spent)
    assert (await check_books(database)).equal


@pytest.mark.parametrize("what", ["amount", "calls", "quantity", "quantity_out", "quantity_cached", "quantity_reasoning"])
async def test_a_sum_by_day_that_is_off_is_named(books: Database, what: str) -> None:
    found = await changed(books, f"UPDATE ledger_daily SET {what} = {what} + 1")  # noqa: S608
    assert [each.name.partition("/")[2] for each in found.days] == ["vision////small/vllm/tokens"]
    assert not found.equal


async def test_a_sum_by_day_of_nothing_is_named(books: Database) -> None:
    assert len((await changed(books, "UPDATE ledger_daily SET agent = 'nobody'")).days) == 2


@pytest.mark.parametrize(("used", "told"), [("used - 0.000000000001", "11.999999999999"), ("used + 1", "13")])
async def test_a_budget_that_is_off_is_named(books: Database, used: str, told: str) -> None:
    (found,) = (await changed(books, f"UPDATE ledger_uses SET used = {used}")).budgets  # noqa: S608
    assert (found.name, found.told, found.ought) == (BUDGET, Decimal(told), Decimal(12))


async def test_a_budget_of_which_nothing_is_known_is_named(books: Database) -> None:
    (found,) = (await changed(books, "DELETE FROM ledger_uses")).budgets
    assert (found.told, found.ought) == (Decimal(0), Decimal(12))


async def test_a_limit_of_which_more_is_drawn_than_taken_is_named(books: Database) -> None:
    found = await changed(books, "INSERT INTO ledger_blocks VALUES ('p', 'limit-1', '2026-11-01', 5, 1)")
    assert [(each.name.partition("@")[0], each.told, each.ought) for each in found.limits] == [("limit-1", Decimal(0), Decimal(4))]
    found = await changed(books, "INSERT INTO ledger_uses VALUES ('limit-1', '2026-11-01', 4), ('limit-2', '2026-11-01', -1)")
    assert [each.name.partition("@")[0] for each in found.limits] == ["limit-2"]


async def test_a_settlement_that_leaves_something_reserved_is_named(books: Database) -> None:
    found = await changed(books, "DELETE FROM ledger_entries WHERE action = 'release'")
    assert [(each.name, each.told) for each in found.settled] == [("call/1", Decimal(2))]


async def test_a_call_that_is_open_for_long_is_named_and_a_lease_is_not(books: Database) -> None:
    lease = Reservation("lease/1", Decimal(0), Attribution(tenant="vision"), "v")
    long_ago = utcnow() - timedelta(hours=1)
    async with books.transaction() as session:
        await post(session, [reserving(lease, CHARGE.model_copy(update={"unit": "slot_seconds"}), long_ago)])
    assert (await check_books(books)).open_long == []
    assert (await check_books(books, open_seconds_max=-1.0)).open_long == ["model/1", "call/2"]
    later = "UPDATE ledger_entries SET at = at - interval '1 hour' WHERE reservation = 'call/2'"
    assert (await changed(books, later)).open_long == ["call/2"]
