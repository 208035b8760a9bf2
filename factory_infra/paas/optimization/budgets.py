"""How far each team's budget is used up, when it ends at the present pace, and an event for each mark that is passed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import BaseModel, Field
from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.optimization.models import Money, Taken
from factory_infra.paas.optimization.service import Owner
from factory_infra.records.happenings import Happening, happened, subject_of
from factory_infra.records.tables import EventRow

MARKS = (50, 80, 90, 100)
"""Percent of a budget. Each is told once for each amount that a budget is set to."""
PACE_DAYS = 7
DAYS_MAX = 3650


class Budget(BaseModel):
    """A team's budget and what is taken of it."""

    team: str
    currency: str
    budget: Money
    taken: Money = Field(description="Spent, reserved, and drawn by processes to hand out.")
    spent: Money
    left: Money
    percent: float = Field(description="Taken of the budget.")
    mark: int = Field(description="The highest of 50, 80, 90 and 100 percent that is passed; 0 for none.")
    per_day: Money = Field(description="The mean of the last seven days, those without any spending counted.")
    ends_at: datetime | None = Field(description="At that pace; None where nothing was spent, or in over ten years.")


class Budgets:
    """Reads budgets, and tells of marks."""

    def __init__(self, database: Database, ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger

    async def list(self, owner: Owner) -> Sequence[Budget]:
        """Return a team's budget, or all, the most used first."""
        now = utcnow()
        found = [shown(row, self._ledger.currency, now) for row in await self._ledger.budgets(now - timedelta(days=PACE_DAYS), owner.team)]
        return sorted(found, key=lambda each: (-each.percent, each.team))

    async def alert(self) -> int:
        """Write an event for each mark that a team has passed; again writes nothing. Returns how many marks are passed."""
        passed = [reached(each, mark) for each in await self.list(Owner(None)) for mark in MARKS if mark <= each.mark]
        async with self._database.transaction(whole=True) as session:
            told = set(await session.scalars(select(EventRow.key).where(EventRow.key.in_([each.key for each in passed]))))
            for each in passed:
                if each.key not in told:
                    await happened(session, each)
        return len(passed)


def reached(budget: Budget, mark: int) -> Happening:
    """A mark that was passed: one for each amount that a budget is set to."""
    told = {"percent": mark, "budget": f"{budget.budget:f}", "taken": f"{budget.taken:f}", "currency": budget.currency}
    subject = subject_of("budget", budget.team, f"{budget.budget:f}", str(mark))
    return Happening(kind="budget.reached", subject=subject, tenant=budget.team, payload={**told})


def shown(row: Taken, currency: str, now: datetime) -> Budget:
    """A team's budget as it is told. A budget of nothing is used up."""
    percent = float(row.taken / row.budget * 100) if row.budget else 100.0
    left, pace = row.budget - row.taken, (row.lately / PACE_DAYS).quantize(Decimal("0.000000000001"))
    lasts = float(max(left, Decimal(0)) / pace) if pace > 0 else DAYS_MAX + 1.0
    return Budget(
        team=row.team,
        currency=currency,
        budget=row.budget,
        taken=row.taken,
        spent=row.spent,
        left=left,
        percent=round(percent, 3),
        mark=max((mark for mark in MARKS if percent >= mark), default=0),
        per_day=pace,
        ends_at=now + timedelta(days=lasts) if lasts <= DAYS_MAX else None,
    )
