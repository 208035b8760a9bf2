"""The ledger: once per name, hard under concurrency, equal to the inventory. Each protection is also shown switched off."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from psycopg import AsyncConnection
from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import BudgetExceeded, InvalidInput, NotFound
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest, LeaseState
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.tenants.service import Tenants
from factory_infra.saas.metering import service
from factory_infra.saas.metering.checks import check_books
from factory_infra.saas.metering.models import Attribution, Breakdown, Charge, Entry, EntryFilter, Limit
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.service import Metering
from factory_infra.saas.metering.tables import BlockRow, EntryRow
from factory_infra.saas.metering.uses import EPOCH, add, used

pytestmark = pytest.mark.stack

BUDGET = Decimal(10)
BOOK = PriceBook.model_validate(
    {
        "version": "test",
        "currency": "USD",
        "slot_hour": {"cpu": 3600},
        "million_tokens": {"default": {"in": "1000000", "out": "2000000"}},
    }
)
"""A token in costs 1, a token out 2, a slot-second 1."""


class FixedPool:
    """A pool of so many CPU slots."""

    def __init__(self, slots: int) -> None:
        self._pool = Pool(name="local", slots=[Slot(index=index, kind="cpu", name="core", memory_gib=1) for index in range(slots)])

    async def pool(self, name: str = "") -> Pool:
        """The pool."""
        return self._pool


class Unlocked(Database):
    """The control: a database whose named locks are switched off."""

    @asynccontextmanager
    async def transaction(self, lock: str | None = None, *, whole: bool = False) -> AsyncIterator[AsyncSession]:
        """A transaction that waits for nobody."""
        async with super().transaction(whole=whole) as session:
            yield session


async def careless_take(session: AsyncSession, limit: Limit, start: datetime, amount: Decimal) -> bool:
    """The control: look first, then think, then write, in place of one conditional statement."""
    enough = await used(session, limit.id, start) + amount <= limit.cap
    await asyncio.sleep(0.02)
    if enough:
        await add(session, limit.id, start, amount)
    return enough


@pytest.fixture
async def leases(database: Database) -> Leases:
    service = Leases(database, FixedPool(200))
    tenants = Tenants(database, b"p" * 32)
    await tenants.create("vision", quota_slots=200, budget=BUDGET)
    await tenants.create("language", quota_slots=4, budget=BUDGET)
    return service


@pytest.fixture
def metering(database: Database, leases: Leases) -> Metering:
    return Metering(database, BOOK, leases)


def tokens(into: int, out: int = 0) -> Charge:
    return Charge(unit="tokens", subject="some-model", quantity=Decimal(into), quantity_out=Decimal(out))


def team(name: str = "vision", *, plan: str = "", thread: str = "") -> Attribution:
    return Attribution(tenant=name, plan_id=plan, thread_id=thread, agent="trainer")


async def reserve_at_once(metering: Metering, count: int) -> Decimal:
    """Reserve 1 so many times side by side, check that only the budget refused, and return what is reserved."""
    outcomes = await asyncio.gather(*(metering.reserve(f"r{index}", tokens(1), team()) for index in range(count)), return_exceptions=True)
    assert all(isinstance(each, BudgetExceeded | Decimal) for each in outcomes), outcomes
    return (await metering.cost(tenant="vision")).reserved


class TestReserve:
    async def test_the_same_name_reserves_once(self, metering: Metering) -> None:
        assert [await metering.reserve("r", tokens(4), team()) for _ in range(3)] == [Decimal(4)] * 3
        assert (await metering.cost(tenant="vision")).reserved == 4

    async def test_the_same_name_side_by_side_reserves_once(self, metering: Metering) -> None:
        await asyncio.gather(*(metering.reserve("r", tokens(4), team()) for _ in range(10)))
        assert (await metering.cost(tenant="vision")).reserved == 4

    async def test_up_to_the_budget_and_not_beyond(self, metering: Metering) -> None:
        await metering.reserve("all", tokens(10), team())
        with pytest.raises(BudgetExceeded) as raised:
            await metering.reserve("more", Charge(unit="slot_seconds", subject="cpu", quantity=Decimal("0.000001")), team())
        assert raised.value.remedy
        assert await metering.open_reservations() == ["all"]

    async def test_each_team_has_its_own_budget(self, metering: Metering) -> None:
        await metering.reserve("all", tokens(10), team())
        assert await metering.reserve("theirs", tokens(10), team("language")) == 10

    async def test_an_unknown_team_is_refused(self, metering: Metering) -> None:
        with pytest.raises(NotFound) as raised:
            await metering.reserve("r", tokens(1), team("nobody"))
        assert raised.value.error_code == "team_unknown"

    async def test_the_budget_is_hard_under_concurrency(self, database: Database, leases: Leases) -> None:
        assert await reserve_at_once(Metering(database, BOOK, leases), 30) == BUDGET

    async def test_control_with_a_look_before_the_statement_the_budget_breaks(
        self, monkeypatch: pytest.MonkeyPatch, metering: Metering
    ) -> None:
        monkeypatch.setattr(service, "take", careless_take)
        assert await reserve_at_once(metering, 30) > BUDGET


class TestReturned:
    """Money that a process has drawn and does not need is asked back before a reservation is refused."""

    @pytest.fixture
    async def drawn(self, metering: Metering, database: Database) -> None:
        async with database.transaction() as session:
            await add(session, "budget/vision", EPOCH, BUDGET)
            session.add(BlockRow(process_id="p", limit_id="budget/vision", window_start=EPOCH, drawn=BUDGET, charged=Decimal(0)))

    @pytest.mark.usefixtures("drawn")
    async def test_it_is_asked_for(self, metering: Metering, database: Database, database_url: str) -> None:
        async with await AsyncConnection.connect(database_url, autocommit=True) as process:
            await process.execute("LISTEN ledger_blocks")
            waiting = asyncio.create_task(metering.reserve("r", tokens(10), team()))
            async for asked in process.notifies(timeout=5, stop_after=1):
                assert asked.payload == "ask ledger budget/vision"
                async with database.transaction() as session:
                    await session.execute(delete(BlockRow))
                    await add(session, "budget/vision", EPOCH, -BUDGET)
            assert await waiting == 10
        assert (await check_books(database)).equal

    @pytest.mark.usefixtures("drawn")
    async def test_control_when_nobody_gives_back_it_is_refused_soon(self, metering: Metering) -> None:
        async with asyncio.timeout(5):
            with pytest.raises(BudgetExceeded):
                await metering.reserve("r", tokens(10), team())


class TestSettle:
    async def test_charges_what_was_used_and_frees_the_rest(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(4, 2), team())
        assert await metering.settle("r", tokens(3, 1)) == 5
        cost = await metering.cost(tenant="vision")
        assert [cost.spent, cost.reserved] == [Decimal(5), Decimal(0)]
        assert [(line.quantity, line.quantity_out, line.amount) for line in cost.lines] == [(Decimal(3), Decimal(1), Decimal(5))]

    async def test_the_first_settlement_counts(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(4), team())
        assert await metering.settle("r", tokens(3)) == 3
        assert await metering.settle("r", tokens(1)) == 3
        assert (await metering.cost(tenant="vision")).spent == 3

    async def test_side_by_side_it_is_charged_once(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(4), team())
        assert await asyncio.gather(*(metering.settle("r", tokens(3)) for _ in range(10))) == [Decimal(3)] * 10
        assert (await metering.cost(tenant="vision")).spent == 3

    async def test_control_without_the_lock_only_the_index_is_left(self, database_url: str, metering: Metering, leases: Leases) -> None:
        await metering.reserve("r", tokens(4), team())
        unlocked = Unlocked(database_url)
        careless = Metering(unlocked, BOOK, leases)
        outcomes = await asyncio.gather(*(careless.settle("r", tokens(3)) for _ in range(10)), return_exceptions=True)
        assert any(isinstance(each, IntegrityError) for each in outcomes)
        await unlocked.close()

    async def test_what_was_not_reserved_cannot_be_charged(self, metering: Metering) -> None:
        with pytest.raises(NotFound):
            await metering.settle("r", tokens(1))

    async def test_spent_money_stays_spent(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(8), team())
        await metering.settle("r", tokens(8))
        with pytest.raises(BudgetExceeded):
            await metering.reserve("more", tokens(3), team())


class TestRelease:
    async def test_frees_all_of_it(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(10), team())
        await metering.release("r")
        await metering.release("r")
        cost = await metering.cost(tenant="vision")
        assert [cost.spent, cost.reserved] == [Decimal(0), Decimal(0)]
        assert await metering.reserve("next", tokens(10), team()) == 10

    async def test_of_nothing_is_no_error(self, metering: Metering) -> None:
        await metering.release("never")
        assert await metering.entries() == []

    async def test_leaves_a_settlement_alone(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(2), team())
        await metering.settle("r", tokens(2))
        await metering.release("r")
        assert (await metering.cost(tenant="vision")).spent == 2


class TestCost:
    async def test_by_plan_thread_and_team(self, metering: Metering) -> None:
        for name, whose in (("a", team(plan="p1", thread="t")), ("b", team(plan="p2", thread="t")), ("c", team("language", plan="p3"))):
            await metering.reserve(name, tokens(2), whose)
            await metering.settle(name, tokens(1))
        assert (await metering.cost(plan_id="p1")).spent == 1
        assert (await metering.cost(thread_id="t")).spent == 2
        assert (await metering.cost(tenant="language")).spent == 1
        assert (await metering.cost()).spent == 3
        assert (await metering.cost(tenant="language", plan_id="p1")).spent == 0

    async def test_every_posting_says_whose_and_at_what_price(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(2), team(plan="p", thread="t"))
        await metering.settle("r", tokens(1).model_copy(update={"estimated": True}))
        entries = await metering.entries("vision")
        assert {(each.tenant, each.plan_id, each.thread_id, each.agent, each.price_version) for each in entries} == {
            ("vision", "p", "t", "trainer", "test")
        }
        assert [(each.action, each.debit, each.credit, each.amount) for each in reversed(entries)] == [
            ("reserve", "available", "reserved", Decimal(2)),
            ("settle", "reserved", "spent", Decimal(1)),
            ("release", "reserved", "available", Decimal(1)),
        ]
        assert entries[0].estimated

    async def test_postings_are_paged_newest_first(self, metering: Metering) -> None:
        for index in range(3):
            await metering.reserve(f"r{index}", tokens(1), team())
        assert [each.reservation for each in await metering.entries("vision", limit=2)] == ["r2", "r1"]
        assert [each.reservation for each in await metering.entries("vision", limit=2, offset=2)] == ["r0"]
        assert await metering.entries("language") == []

    async def test_a_prefix_is_no_pattern(self, metering: Metering) -> None:
        await metering.reserve("lease/a", tokens(1), team())
        assert await metering.open_reservations("lease_") == []
        assert await metering.open_reservations("lease/") == ["lease/a"]


class TestReading:
    """Whole teams are answered from the sums by day: the same as the entries say."""

    async def spread(self, metering: Metering, monkeypatch: pytest.MonkeyPatch) -> datetime:
        """Calls of two projects and three keys over four days; returns a moment within the second day."""
        start = datetime(2026, 10, 1, 12, tzinfo=UTC)
        for number in range(12):
            monkeypatch.setattr(service, "utcnow", lambda number=number: start + timedelta(hours=6 * number))
            whose = team().model_copy(update={"project": f"p{number % 2}", "key_id": f"k{number % 3}", "plan_id": "plan"})
            await metering.reserve(f"r{number}", fraction(number), whose)
            await metering.settle(f"r{number}", fraction(number))
        return start + timedelta(hours=31)

    @pytest.mark.parametrize("by", ["day", "agent", "model", "project", "key"])
    async def test_usage_since_any_moment_is_exact(self, metering: Metering, monkeypatch: pytest.MonkeyPatch, by: Breakdown) -> None:
        since = await self.spread(metering, monkeypatch)
        rows = [each for each in await metering.entries("vision", limit=500) if each.action == "settle" and each.at >= since]
        rows = [each for each in rows if by != "model" or each.unit == "tokens"]
        expected: dict[str, Decimal] = {}
        for row in rows:
            name = {"day": str(row.at.astimezone(UTC).date()), "model": row.subject, "key": row.key_id}.get(by) or str(getattr(row, by))
            expected[name] = expected.get(name, Decimal(0)) + row.amount
        lines = await metering.usage("vision", since, by)
        assert {line.name: line.amount for line in lines} == expected != {}
        assert sum(line.tokens + line.slot_seconds for line in lines) == sum(row.quantity for row in rows)
        assert [line.name for line in lines] == sorted(expected, key=lambda name: name if by == "day" else (-expected[name], name))

    async def test_a_teams_cost_is_that_of_its_entries(self, metering: Metering, monkeypatch: pytest.MonkeyPatch) -> None:
        await self.spread(metering, monkeypatch)
        await metering.reserve("open", fraction(5), team(plan="plan"))
        of_team, of_plan, of_all = [await metering.cost(**only) for only in ({"tenant": "vision"}, {"plan_id": "plan"}, {})]
        assert (of_team.spent, of_team.reserved) == (of_plan.spent, of_plan.reserved) == (of_all.spent, of_all.reserved)
        assert sorted(of_team.lines, key=str) == sorted(of_plan.lines, key=str)
        assert of_team.reserved == Decimal("0.005")

    async def test_entries_are_narrowed_and_paged_by_id(self, metering: Metering, monkeypatch: pytest.MonkeyPatch) -> None:
        since = await self.spread(metering, monkeypatch)
        every = await metering.entries("vision", limit=500)
        until = since + timedelta(hours=18)
        wanted = [each for each in every if each.key_id == "k1" and since <= each.at < until]
        assert await metering.entries("vision", only=EntryFilter(key_id="k1", since=since, until=until)) == wanted != []
        pages: list[Entry] = []
        while page := await metering.entries("vision", limit=5, only=EntryFilter(before=pages[-1].id if pages else None)):
            pages += page
        assert pages == every


class TestPriceVersions:
    async def test_what_was_reserved_by_a_version_is_settled_by_it(self, metering: Metering) -> None:
        await metering.reserve("r", tokens(4), team())
        price = BOOK.now.million_tokens["default"].model_copy(update={"into": Decimal(9_000_000)})
        dearer = BOOK.now.model_copy(update={"version": "dearer", "since": date(2026, 1, 1), "million_tokens": {"default": price}})
        metering.prices = PriceBook(versions=[BOOK.now, dearer])
        assert metering.prices.version == "dearer"
        assert await metering.settle("r", tokens(3)) == 3
        with pytest.raises(BudgetExceeded):
            await metering.reserve("more", tokens(1), team())


class TestCorrect:
    @pytest.fixture
    async def settled(self, metering: Metering) -> Metering:
        await metering.reserve("r", tokens(6), team(plan="p"))
        await metering.settle("r", tokens(4))
        return metering

    async def test_charges_more_and_gives_back(self, settled: Metering, database: Database) -> None:
        more = await settled.correct("r", Decimal(3), "counted anew", "ann")
        less = await settled.correct("r", Decimal("-5.5"), "a gift", "ann")
        assert [(each.action, each.debit, each.credit, each.amount, each.reason) for each in (more, less)] == [
            ("correct/1", "available", "spent", Decimal(3), "ann: counted anew"),
            ("correct/2", "spent", "available", Decimal("5.5"), "ann: a gift"),
        ]
        assert (await settled.cost(tenant="vision")).spent == (await settled.cost(plan_id="p")).spent == Decimal("1.5")
        assert await settled.settle("r", tokens(4)) == 4
        assert (await check_books(database)).equal
        assert await settled.reserve("rest", tokens(8), team()) == 8
        with pytest.raises(BudgetExceeded):
            await settled.reserve("beyond", tokens(1), team())

    async def test_side_by_side_each_counts(self, settled: Metering) -> None:
        await asyncio.gather(*(settled.correct("r", Decimal(1), f"reason {number}", "ann") for number in range(5)))
        assert (await settled.cost(tenant="vision")).spent == 9

    @pytest.mark.parametrize(("amount", "reason"), [("-4.000001", "too much"), ("0", "none"), ("0.0000000000001", "small"), ("1", " ")])
    async def test_more_than_was_charged_or_no_reason_is_refused(self, settled: Metering, amount: str, reason: str) -> None:
        with pytest.raises(InvalidInput):
            await settled.correct("r", Decimal(amount), reason, "ann")
        assert (await settled.cost(tenant="vision")).spent == 4

    async def test_what_was_not_settled_cannot_be_corrected(self, metering: Metering) -> None:
        await metering.reserve("open", tokens(1), team())
        for name in ("open", "nowhere"):
            with pytest.raises(NotFound):
                await metering.correct(name, Decimal(1), "why", "ann")


async def test_many_calls_side_by_side_leave_equal_books(metering: Metering, database: Database) -> None:
    async def call(number: int) -> None:
        await metering.reserve(f"r{number}", fraction(number), team("vision" if number % 2 else "language"))
        await (metering.release(f"r{number}") if number % 5 == 0 else metering.settle(f"r{number}", fraction(number * 2 % 7)))

    await asyncio.gather(*(call(number) for number in range(40)))
    await metering.reserve("open", fraction(3), team())
    assert (await check_books(database)).equal


def fraction(number: int) -> Charge:
    """A charge of little money with many digits."""
    return Charge(unit="slot_seconds" if number % 4 == 3 else "tokens", subject="cpu", quantity=Decimal(number) / Decimal(1000))


class TestReconcile:
    async def lease(self, leases: Leases, key: str = "k", slots: int = 1) -> str:
        return (await leases.acquire(LeaseRequest(tenant="vision", slots=slots, seconds=2, key=key))).id

    async def overdue(self, database: Database, seconds: float = 100.0) -> None:
        """Let every lease have begun and ended so long ago."""
        now = utcnow()
        ended = now - timedelta(seconds=seconds)
        async with database.transaction() as session:
            await session.execute(update(LeaseRow).values(granted_at=ended - timedelta(seconds=2), expires_at=ended))

    async def test_a_reserved_lease_is_equal(self, metering: Metering, leases: Leases) -> None:
        lease = await self.lease(leases)
        await metering.reserve_lease(lease, "cpu", 2, team())
        assert (await metering.reconcile()).equal

    async def test_a_lease_without_reservation_is_told(self, metering: Metering, leases: Leases) -> None:
        lease = await self.lease(leases)
        found = await metering.reconcile()
        assert found.leases_without_reservation == [lease]
        assert not found.equal

    async def test_a_reservation_without_lease_is_told(self, metering: Metering) -> None:
        await metering.reserve_lease("lease-nowhere", "cpu", 2, team())
        found = await metering.reconcile()
        assert found.reservations_without_lease == ["lease-nowhere"]
        assert not found.equal

    async def test_a_lease_whose_term_ran_out_is_settled_late(self, metering: Metering, leases: Leases, database: Database) -> None:
        lease = await self.lease(leases)
        await metering.reserve_lease(lease, "cpu", 2, team())
        await self.overdue(database)
        found = await metering.reconcile()
        assert found.settled_late == [lease]
        assert found.equal
        assert (await metering.reconcile()).settled_late == []
        assert (await metering.cost(tenant="vision")).spent == 2

    async def test_a_lease_released_after_its_term_costs_its_term(self, metering: Metering, leases: Leases, database: Database) -> None:
        lease = await self.lease(leases)
        reserved = await metering.reserve_lease(lease, "cpu", 2, team())
        await self.overdue(database)
        ended = await leases.release("vision", lease)
        assert ended.state is LeaseState.EXPIRED
        assert await metering.settle_lease(ended) == reserved

    async def test_many_leases_are_all_compared(self, metering: Metering, leases: Leases, database: Database) -> None:
        names = [await self.lease(leases, f"k{index}") for index in range(110)]
        async with database.transaction() as session:
            for name in names:
                session.add(EntryRow(**reservation(name)))
        found = await metering.reconcile()
        assert found.equal, found


def reservation(lease: str) -> dict[str, object]:
    """The columns of a lease's reservation that costs nothing."""
    charge = {"unit": "slot_seconds", "subject": "cpu", "quantity": Decimal(0), "amount": Decimal(0), "price_version": "test"}
    fixed = {"reservation": f"lease/{lease}", "action": "reserve", "debit": "available", "credit": "reserved"}
    return {**charge, **team().model_dump(), **fixed}
