"""Invoices: what a team spent over some days, by project, key, model and day, exact to the ledger."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Self

from pydantic import BaseModel, Field
from sqlalchemy import func, select

from factory_infra.database import Database
from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Breakdown, Exact
from factory_infra.saas.metering.tables import DailyRow

BY_DEFAULT: tuple[Breakdown, ...] = ("project", "key", "model", "day")
COLUMNS = {"project": DailyRow.project, "key": DailyRow.key_id, "agent": DailyRow.agent, "model": DailyRow.subject, "day": DailyRow.day}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would carry out, were it to begin a cell."""


@dataclass(frozen=True, slots=True)
class Period:
    """Days of UTC: `since` is in it, `until` is not."""

    since: date
    until: date

    def __post_init__(self) -> None:
        """Refuse one without a day."""
        if self.until <= self.since:
            raise InvalidInput(f"No day lies from {self.since} until before {self.until}.", remedy="Let it end after it begins.")

    @classmethod
    def month(cls, words: str) -> Self:
        """A month, written as 2026-11. Raises InvalidInput."""
        try:
            first = date.fromisoformat(f"{words}-01")
        except ValueError as error:
            raise InvalidInput(f"'{words}' is no month.", remedy="Write it as 2026-11.") from error
        return cls(first, (first + timedelta(days=31)).replace(day=1))


class InvoiceLine(BaseModel):
    """What was spent under one project, key, model and day, or under those of them that were asked for."""

    project: str | None = None
    key: str | None = None
    agent: str | None = None
    model: str | None = Field(default=None, description="A model, or the kind of slot.")
    day: date | None = None
    unit: str
    calls: int
    quantity: Exact
    quantity_out: Exact
    quantity_cached: Exact
    quantity_reasoning: Exact
    amount: Exact


class Invoice(BaseModel):
    """A team's spending over a period, line by line and in all."""

    tenant: str
    since: date
    until: date = Field(description="The first day that is no longer in it.")
    currency: str
    by: list[Breakdown]
    lines: list[InvoiceLine]
    total: Exact


class Invoices:
    """Invoices out of the sums by day."""

    def __init__(self, database: Database, currency: str = "USD") -> None:
        """`currency` is the price book's."""
        self._database = database
        self._currency = currency

    async def invoice(self, tenant: str, period: Period, by: Sequence[Breakdown] = BY_DEFAULT) -> Invoice:
        """Return what a team spent over a period, in the order of what it is broken down by. A team that spent nothing has no lines."""
        fields = list(dict.fromkeys(by))
        columns: list[Any] = [*(COLUMNS[field] for field in fields), DailyRow.unit]
        sums = (DailyRow.calls, DailyRow.quantity, DailyRow.quantity_out, DailyRow.quantity_cached, DailyRow.quantity_reasoning)
        query = select(*columns, *(func.sum(each) for each in sums), func.sum(DailyRow.amount))
        query = query.where(DailyRow.tenant == tenant, DailyRow.day >= period.since, DailyRow.day < period.until)
        async with self._database.transaction() as session:
            rows = (await session.execute(query.group_by(*columns).order_by(*columns))).all()
        names = (*fields, "unit", *(each.key for each in sums), "amount")
        lines = [InvoiceLine.model_validate(dict(zip(names, row, strict=True))) for row in rows]
        return Invoice(
            tenant=tenant,
            since=period.since,
            until=period.until,
            currency=self._currency,
            by=fields,
            lines=lines,
            total=sum((line.amount for line in lines), Decimal(0)),
        )

    @staticmethod
    def csv(invoice: Invoice) -> str:
        """Write an invoice as CSV: one row a line, amounts in full, and the currency on each. The column `amount` adds up to the total.

        No cell is one that a spreadsheet takes for a formula.
        """
        sums = ("unit", "calls", "quantity", "quantity_out", "quantity_cached", "quantity_reasoning", "amount", "currency")
        names = ("tenant", *invoice.by, *sums)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        for line in invoice.lines:
            values = line.model_dump() | {"tenant": invoice.tenant, "currency": invoice.currency}
            writer.writerow([_cell(values[name]) for name in names])
        return out.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    words = str(value)
    return f"'{words}" if isinstance(value, str) and words.startswith(FORMULA) else words
