"""Invoices: exact to the ledger, however they are broken down; the CSV adds up and carries no formula."""

import csv
import io
import random
from datetime import date
from decimal import Decimal

import pytest
from sqlalchemy import Date, cast, func, select

from factory_infra.database import Database
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.invoices import Invoices, Period
from factory_infra.saas.metering.models import Breakdown
from factory_infra.saas.metering.posting import post
from factory_infra.saas.metering.reading import OF_SPENT, SPENT
from factory_infra.saas.metering.tables import EntryRow
from tests.factory_infra.saas.metering.books import at_random

OCTOBER = Period.month("2026-10")


async def fill(database: Database, calls: int = 300) -> None:
    async with database.transaction() as session:
        await post(session, at_random(random.Random(3), calls))  # noqa: S311 - chance, not a secret


async def of_entries(database: Database, tenant: str, period: Period) -> tuple[Decimal, Decimal, int]:
    """What the entries themselves say: money, tokens in and calls."""
    day = cast(func.timezone("UTC", EntryRow.at), Date)
    settled = EntryRow.action == "settle"
    query = select(func.sum(SPENT), func.sum(EntryRow.quantity), func.count().filter(settled)).where(OF_SPENT, EntryRow.tenant == tenant)
    async with database.transaction() as session:
        amount, tokens, calls = (await session.execute(query.where(day >= period.since, day < period.until))).one()
    return amount, tokens, calls


@pytest.mark.stack
class TestInvoice:
    @pytest.mark.parametrize("by", [("project", "key", "model", "day"), ("day",), ("agent", "model"), ()])
    async def test_every_breakdown_equals_the_ledger(self, database: Database, by: tuple[Breakdown, ...]) -> None:
        await fill(database)
        for period in (OCTOBER, Period.month("2026-11"), Period(date(2026, 10, 30), date(2026, 10, 31))):
            for tenant in ("vision", "language"):
                invoice = await Invoices(database).invoice(tenant, period, by)
                amount, tokens, calls = await of_entries(database, tenant, period)
                assert invoice.total == sum((line.amount for line in invoice.lines), Decimal(0)) == amount != 0
                assert (sum(line.quantity for line in invoice.lines), sum(line.calls for line in invoice.lines)) == (tokens, calls)

    async def test_lines_are_in_order_and_name_what_they_are_broken_down_by(self, database: Database) -> None:
        await fill(database)
        invoice = await Invoices(database, "EUR").invoice("vision", OCTOBER, ("model", "day"))
        named = [(line.model, line.day) for line in invoice.lines]
        assert named == sorted(named) and {model for model, _ in named} == {"small", "large"}
        assert {(line.project, line.key) for line in invoice.lines} == {(None, None)}
        assert (invoice.currency, invoice.since, invoice.until) == ("EUR", date(2026, 10, 1), date(2026, 11, 1))

    async def test_the_csv_adds_up_and_is_no_formula(self, database: Database) -> None:
        await fill(database)
        invoices = Invoices(database)
        invoice = await invoices.invoice("vision", OCTOBER)
        rows = list(csv.DictReader(io.StringIO(invoices.csv(invoice))))
        assert sum(Decimal(row["amount"]) for row in rows) == invoice.total
        assert len(rows) == len(invoice.lines)
        assert {row["project"] for row in rows} == {"", "maps", "'=cmd()"}
        assert {"E" in row["amount"] for row in rows} == {False}

    async def test_who_spent_nothing_has_an_empty_invoice(self, database: Database) -> None:
        invoice = await Invoices(database).invoice("nobody", OCTOBER)
        assert invoice.lines == []
        assert invoice.total == 0
        assert Invoices.csv(invoice).count("\n") == 1


class TestPeriod:
    def test_december_ends_with_the_year(self) -> None:
        assert Period.month("2026-12") == Period(date(2026, 12, 1), date(2027, 1, 1))

    @pytest.mark.parametrize("words", ["2026-13", "november", "2026", "", "2026-11-01"])
    def test_another_word_is_no_month(self, words: str) -> None:
        with pytest.raises(InvalidInput, match="no month"):
            Period.month(words)

    def test_a_period_without_a_day_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            Period(date(2026, 1, 2), date(2026, 1, 2))
