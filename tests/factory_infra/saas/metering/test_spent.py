"""What was charged, taken apart in any way, is what the ledger says: to the last digit, whatever the books hold."""

import itertools
import random
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from factory_infra.database import Database
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.focus import csv_lines, row_of, rows
from factory_infra.paas.optimization.focus_check import check
from factory_infra.paas.optimization.models import DIMENSIONS, Dimension
from factory_infra.paas.tenants.structure_tables import OrganisationRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.saas.metering.invoices import Invoices, Period
from factory_infra.saas.metering.meters import Booked, metered
from factory_infra.saas.metering.models import Attribution, Charge, Transfer
from factory_infra.saas.metering.posting import Reservation, correcting, post, reserving, settling
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.spent import SpentBook
from factory_infra.saas.metering.tables import EntryRow
from tests.factory_infra.saas.metering.books import START, at_random

ZERO = Decimal(0)
NOTHING = (
    "organisation",
    "team_title",
    "project",
    "key",
    "agent",
    "plan",
    "pool",
    "resource",
    "resource_kind",
    "price_version",
    "corrects",
)
BOOK = PriceBook.load()
PERIODS = (Period.month("2026-10"), Period.month("2026-11"), Period(date(2026, 10, 30), date(2026, 11, 2)))
TEAMS = ("vision", "language")
SLOTS, MODELS = ("cpu", "gpu", "gpu:H100:spot"), ("scripted", "qwen2.5-coder-0.5b", "unknown")


def priced_at_random(chance: random.Random, count: int) -> list[Transfer]:
    """Charges by the prices of the book: leases and calls, some used beyond what was reserved, some corrected in a later month."""
    found: list[Transfer] = []
    for number in range(count):
        lease = chance.random() < 0.4
        whose = Attribution(tenant=chance.choice(TEAMS), project=chance.choice(("", "maps")), plan_id=chance.choice(("", "p1", "p2")))
        name = f"lease/lease-{number}" if lease else f"call-{uuid.UUID(int=chance.getrandbits(128))}/1"
        charge = Charge(
            unit="slot_seconds" if lease else "tokens",
            subject=chance.choice(("cpu", "gpu", "gpu:H100:spot"))
            if lease
            else chance.choice(("scripted", "qwen2.5-coder-0.5b", "unknown")),
            quantity=Decimal(chance.randrange(1, 10**9)) / (10**3 if lease else 1),
            quantity_out=ZERO if lease else Decimal(chance.randrange(10**6)),
            quantity_cached=ZERO if lease else Decimal(chance.randrange(100)),
        )
        amount = BOOK.price(charge)
        held = Reservation(name, (amount * chance.choice((1, 2, Decimal("0.5")))).quantize(Decimal("1e-12")), whose, BOOK.version)
        at = START + timedelta(seconds=chance.randrange(6 * 24 * 3600))
        found += [reserving(held, charge, at), *settling(held, charge, amount, at + timedelta(hours=1), "done")]
        if chance.random() < 0.3:
            found.append(correcting(held, charge, -amount / 3, at + timedelta(days=chance.choice((0, 30))), (1, "ann: a refund")))
    return found


async def filled(database: Database, transfers: list[Transfer]) -> SpentBook:
    async with database.transaction() as session:
        await post(session, transfers)
    return SpentBook(database, BOOK)


async def emptied(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("TRUNCATE ledger_entries, ledger_daily"))


async def of_entries(database: Database, period: Period, team: str | None) -> Decimal:
    """What was spent, counted entry by entry in Python: the code under test has no part in it."""
    begin, end = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (period.since, period.until))
    async with database.transaction() as session:
        found = list(await session.scalars(select(EntryRow)))
    mine = [row for row in found if begin <= row.at < end and team in (None, row.tenant)]
    return sum(((row.credit == "spent") - (row.debit == "spent")) * row.amount for row in mine) or ZERO


@pytest.mark.stack
class TestExact:
    async def test_every_breakdown_of_every_team_equals_the_ledger(self, database: Database) -> None:
        book = await filled(database, [*at_random(random.Random(5), 150), *priced_at_random(random.Random(6), 150)])  # noqa: S311
        breakdowns: list[tuple[Dimension, ...]] = [(), *((each,) for each in DIMENSIONS), DIMENSIONS, ("team", "pool", "model")]
        for period, team in itertools.product(PERIODS, (None, *TEAMS)):
            ought = await of_entries(database, period, team)
            assert sum(charge.amount for charge in await book.charges(period, team)) == ought
            for by in breakdowns:
                told = await book.allocated(period, by, team)
                assert told.exact
                assert told.total == sum((line.amount for line in told.lines), ZERO) == ought
        one = await book.allocated(PERIODS[0], ("team",), "vision")
        assert one.total == (await Invoices(database).invoice("vision", PERIODS[0])).total != 0

    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(seed=st.integers(0, 2**32), by=st.lists(st.sampled_from(DIMENSIONS), unique=True, max_size=4))
    async def test_whatever_the_books_hold(self, database: Database, seed: int, by: list[Dimension]) -> None:
        chance = random.Random(seed)  # noqa: S311 - chance, not a secret
        await emptied(database)
        book = await filled(database, [*at_random(chance, chance.randrange(20)), *priced_at_random(chance, chance.randrange(20))])
        period = chance.choice(PERIODS)
        told, charges = await book.allocated(period, by), await book.charges(period)
        ought = await of_entries(database, period, None)
        assert told.exact and told.total == ought == sum((charge.amount for charge in charges), ZERO)
        report = check(*as_words(list(csv_lines(rows(charges, "USD")))))
        assert report.conforms, report.first
        assert report.rows == len(charges) and Decimal(report.billed_cost) == ought

    async def test_a_sum_by_day_that_was_tampered_with_is_seen(self, database: Database) -> None:
        book = await filled(database, priced_at_random(random.Random(1), 20))  # noqa: S311
        assert (await book.allocated(PERIODS[0], ("team",))).exact
        async with database.transaction() as session:
            await session.execute(text("UPDATE ledger_daily SET amount = amount + 0.000000000001"))
        assert not (await book.allocated(PERIODS[0], ("team",))).exact


@pytest.mark.stack
class TestWhere:
    async def test_a_lease_has_its_pool_and_a_team_its_organisation(self, database: Database) -> None:
        whose = Attribution(tenant="vision")
        charge = Charge(unit="slot_seconds", subject="gpu", quantity=Decimal(3600))
        names = ("lease/lease-1", "lease/lease-1/renewal", "call-1/1")
        held = [Reservation(name, Decimal(3), whose, BOOK.version, backend="" if "lease" in name else "here") for name in names]
        book = await filled(database, [each for one in held for each in settling(one, charge, Decimal("2.5"), START)])
        when = {"granted_at": START, "expires_at": START, "ended_at": START}
        told = {"purpose": "", "plan_id": "", "state": "released", "tenant": "vision", "slot_kind": "gpu", "slots": [0]}
        async with database.transaction() as session:
            session.add(OrganisationRow(name="acme"))
            await session.flush()
            session.add(TenantRow(name="vision", budget=Decimal(1), organisation="acme", title="=SUM(A1)"))
            session.add(LeaseRow(id="lease-1", key="k", pool="h100", **told, **when))
        found = await book.allocated(PERIODS[0], ("organisation", "pool"))
        assert [(line.organisation, line.pool, line.amount) for line in found.lines] == [
            ("acme", "", Decimal("2.5")),
            ("acme", "h100", Decimal(5)),
        ]
        charges = await book.charges(PERIODS[0])
        assert {(each.resource_kind, each.resource) for each in charges} == {("lease", "lease-1"), ("backend", "here")}
        report = check(*as_words(list(csv_lines(rows(charges, "USD")))))
        assert report.conforms, report.first
        assert "'=SUM(A1)" in "".join(csv_lines(rows(charges, "USD")))

    async def test_a_correction_of_another_month_is_told_from_one_of_its_own(self, database: Database) -> None:
        whose, charge = Attribution(tenant="vision"), Charge(unit="tokens", subject="scripted", quantity=Decimal(10**6))
        held = Reservation("call-1/1", Decimal("0.02"), whose, BOOK.version)
        later = START + timedelta(days=10)
        book = await filled(
            database,
            [
                *settling(held, charge, Decimal("0.02"), START),
                correcting(held, charge, Decimal("-0.005"), START, (1, "a")),
                correcting(held, charge, Decimal("-0.005"), later, (2, "b")),
            ],
        )
        october, november = [await book.charges(period) for period in PERIODS[:2]]
        assert [(each.meter, each.corrects, each.amount) for each in october] == [
            ("input", "", Decimal("0.02")),
            ("correction", "same period", Decimal("-0.005")),
        ]
        assert [(each.corrects, each.amount) for each in november] == [("earlier period", Decimal("-0.005"))]
        told = [row_of(each, "USD") for each in (*october, *november)]
        assert [(row["ChargeCategory"], row["ChargeClass"]) for row in told] == [
            ("Usage", None),
            ("Adjustment", None),
            ("Usage", "Correction"),
        ]

    async def test_what_no_price_explains_has_the_mean_of_its_own(self, database: Database) -> None:
        book = await filled(database, priced_at_random(random.Random(2), 30))  # noqa: S311
        plain = await book.charges(Period.month("2026-10"))
        assert {each.basis for each in plain if not each.corrects} == {"list"}
        async with database.transaction() as session:
            await session.execute(update(EntryRow).values(price_version="gone"))
        blended = await book.charges(Period.month("2026-10"))
        assert {each.meter for each in blended if not each.corrects} == {"blended"}
        assert sum(each.amount for each in plain) == sum(each.amount for each in blended)


def as_words(lines: list[str]) -> tuple[list[str], list[dict[str, str | None]]]:
    """CSV read back."""
    import csv  # noqa: PLC0415 - only here

    reader = csv.DictReader(lines)
    return list(reader.fieldnames or []), [{name: value or None for name, value in row.items()} for row in reader]


def test_an_answer_out_of_a_cache_is_no_charge() -> None:
    words: dict[str, Any] = dict.fromkeys(NOTHING, "")
    sums: dict[str, Any] = dict.fromkeys(("quantity", "quantity_out", "quantity_cached", "amount"), ZERO)
    told: dict[str, Any] = {"day": date(2026, 11, 1), "team": "v", "subject": "scripted", "unit": "tokens", "charges": 1, "entries": 1}
    assert metered(Booked(**told, **words, **sums), BOOK) == []
