"""Says on entries of the catalog what they cost, by the ledger: a model to make, a pipeline to run."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import NamedTuple

from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.paas.catalog.lineage import node
from factory_infra.paas.catalog.models import Badge, Viewer
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.catalog.tables import CatalogRow
from factory_infra.paas.optimization.interface import Ledger
from factory_infra.paas.training.pipelines.models import RunState
from factory_infra.paas.training.pipelines.tables import RunRow

DAYS = 30
NAME = "cost"
EVERYBODY = Viewer(teams=None)
Charged = Mapping[tuple[str, str], Decimal]
"""What was charged for a team's plan."""


class LastDays(NamedTuple):
    """Days of UTC: `since` is in it, `until` is not."""

    since: date
    until: date


class CostBadges:
    """Writes the badge `cost`. What was charged for no plan says nothing of one thing, and an entry whose plan cost nothing gets none.

    Args:
        database: where runs and entries lie.
        catalog: whose entries.
        ledger: who holds the books.
    """

    def __init__(self, database: Database, catalog: Catalog, ledger: Ledger) -> None:
        self._database = database
        self._catalog = catalog
        self._ledger = ledger

    async def look(self, now: datetime | None = None) -> int:
        """Bring the badges up to the ledger's last 30 days; return how many entries changed. Idempotent."""
        today = (now or utcnow()).date()
        days = LastDays(today - timedelta(days=DAYS - 1), today + timedelta(days=1))
        found = await self._ledger.allocated(days, ("team", "plan"))
        charged: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for line in found.lines:
            if line.team and line.plan:
                charged[line.team, line.plan] += line.amount
        badges = {**await self._models(charged), **await self._pipelines(charged, now or utcnow())}
        return sum([await self._catalog.judge(entry_id, badge) for entry_id, badge in sorted(badges.items())])

    async def _models(self, charged: Charged) -> dict[str, Badge]:
        """What the plan or the run was charged that made a version."""
        plan = CatalogRow.facts["plan_id"].astext
        query = select(CatalogRow.id, CatalogRow.tenant, plan.label("plan")).where(
            CatalogRow.kind == "model", CatalogRow.removed_at.is_(None), plan.in_({plan for _, plan in charged})
        )
        async with self._database.reading(whole=True) as connection:
            rows = (await connection.execute(query)).all()
        return {
            row.id: self._badge(amount, "to make", f"charged for {row.plan}")
            for row in rows
            if (amount := charged.get((row.tenant, row.plan)))
        }

    async def _pipelines(self, charged: Charged, now: datetime) -> dict[str, Badge]:
        """What a run that came to its end is charged: half of them are charged less."""
        query = select(RunRow.id, RunRow.tenant, RunRow.pipeline).where(
            RunRow.state == RunState.DONE.value, RunRow.ended_at > now - timedelta(days=DAYS)
        )
        async with self._database.reading(whole=True) as connection:
            rows = (await connection.execute(query)).all()
        amounts: dict[str, list[Decimal]] = defaultdict(list)
        for row in rows:
            amounts[node("pipeline", row.tenant, row.pipeline)].append(charged.get((row.tenant, row.id), Decimal(0)))
        return {
            entry_id: self._badge(middle, "a run", f"median of {len(found)} runs that were done in the last {DAYS} days")
            for entry_id, found in amounts.items()
            if (middle := median(found))
        }

    def _badge(self, amount: Decimal, what: str, basis: str) -> Badge:
        return Badge(name=NAME, value=f"{rounded(amount)} {self._ledger.currency} {what}", basis=basis[:200])


def rounded(amount: Decimal) -> str:
    """An amount at a glance: to the hundredth, or two digits of what is smaller."""
    return f"{amount:.2f}" if amount >= Decimal("0.1") else f"{amount:.2g}" if amount >= Decimal("0.0001") else "< 0.0001"
