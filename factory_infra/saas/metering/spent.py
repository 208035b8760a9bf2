"""What the ledger charged, as those who share costs out ask for it: by any dimension, or charge by charge with its prices."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Date, and_, case, cast, func, literal, or_, select, text
from sqlalchemy.orm import aliased

from factory_infra.database import Database
from factory_infra.errors import InvalidInput, TooLarge
from factory_infra.foundation.clusters.tables import ClusterRow
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.models import Allocation, AllocationLine, Charge, Days, Dimension, Taken, midnight
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.saas.metering.meters import Booked, metered
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.reading import OF_SPENT, SPENT, at_one_moment
from factory_infra.saas.metering.service import LEASE_PREFIX, slot_subject
from factory_infra.saas.metering.tables import DailyRow, EntryRow, UseRow
from factory_infra.saas.metering.uses import BUDGET_PREFIX

CLUSTER_PREFIX = "cluster/"
CHARGES_MAX = 500_000
"""More rows than this are not made in one answer."""
EMPTY = ""
DAY = cast(func.timezone("UTC", EntryRow.at), Date)
NAMED = func.split_part(EntryRow.reservation, "/", 2)
IS_LEASE = EntryRow.reservation.startswith(LEASE_PREFIX)
IS_CLUSTER = EntryRow.reservation.startswith(CLUSTER_PREFIX)
POOL = func.coalesce(LeaseRow.pool, ClusterRow.pool, EMPTY)
ORGANISATION = func.coalesce(TenantRow.organisation, EMPTY)
COLUMNS: dict[Dimension, ColumnElement[Any]] = {
    "organisation": ORGANISATION,
    "team": EntryRow.tenant.expression,
    "project": EntryRow.project.expression,
    "plan": EntryRow.plan_id.expression,
    "model": EntryRow.subject.expression,
    "pool": POOL,
    "agent": EntryRow.agent.expression,
    "key": EntryRow.key_id.expression,
    "day": DAY,
}
CORRECTS = EntryRow.action.startswith("correct/")


class SpentBook:
    """Reads what was charged, for `paas/optimization`."""

    def __init__(self, database: Database, prices: PriceBook) -> None:
        self._database = database
        self._prices = prices

    @property
    def currency(self) -> str:
        """The price book's."""
        return self._prices.currency

    async def allocated(self, days: Days, by: Sequence[Dimension], team: str | None = None) -> Allocation:
        """See Ledger.allocated. The lines come from the entries, the total beside them from the sums by day."""
        wanted = list(dict.fromkeys(by))
        columns = [COLUMNS[each].label(each) for each in wanted]
        settled = func.count().filter(EntryRow.action == "settle")
        sums = (settled, func.sum(EntryRow.quantity), func.sum(EntryRow.quantity_out), func.sum(SPENT))
        query = placed(select(*columns, EntryRow.unit, *sums)).where(OF_SPENT, *within(days, team))
        # By position: an expression with a bound value is another one each time that it is written down.
        places = [text(str(number)) for number in range(1, len(wanted) + 2)]
        daily = select(func.coalesce(func.sum(DailyRow.amount), Decimal(0))).where(DailyRow.day >= days.since, DailyRow.day < days.until)
        async with self._database.transaction() as session:
            await at_one_moment(session)
            rows = (await session.execute(query.group_by(*places).order_by(*places))).all()
            ledger_total = Decimal(await session.scalar(daily if team is None else daily.where(DailyRow.tenant == team)) or 0)
        names = (*wanted, "unit", "charges", "quantity", "quantity_out", "amount")
        lines = [AllocationLine.model_validate(dict(zip(names, row, strict=True))) for row in rows]
        return Allocation(
            since=days.since,
            until=days.until,
            team=team,
            currency=self.currency,
            by=wanted,
            lines=lines,
            total=sum((line.amount for line in lines), Decimal(0)),
            ledger_total=ledger_total,
        )

    async def charges(self, days: Days, team: str | None = None) -> Sequence[Charge]:
        """See Ledger.charges. What one price of the book explains is told with it; what does not has the mean of its own."""
        query = charges_query().where(OF_SPENT, *within(days, team))
        async with self._database.transaction() as session:
            rows = (await session.execute(query.limit(CHARGES_MAX + 1))).all()
        if len(rows) > CHARGES_MAX:
            reason = f"These days hold more than {CHARGES_MAX} charges."
            raise TooLarge(reason, remedy="Ask for fewer days, or for one team.", code="export_too_large")
        return [charge for row in rows for charge in metered(Booked(**row._mapping), self._prices)]

    async def budgets(self, since: datetime, team: str | None = None) -> Sequence[Taken]:
        """See Ledger.budgets. Whole days: the pace needs no more."""
        spent = func.coalesce(func.sum(DailyRow.amount), Decimal(0))
        lately = func.coalesce(func.sum(DailyRow.amount).filter(DailyRow.day > since.date()), Decimal(0))
        sums = select(DailyRow.tenant, spent.label("spent"), lately.label("lately")).group_by(DailyRow.tenant).subquery()
        used = func.coalesce(UseRow.used, Decimal(0))
        query = (
            select(TenantRow.name, TenantRow.budget, used, func.coalesce(sums.c.spent, 0), func.coalesce(sums.c.lately, 0))
            .outerjoin(UseRow, UseRow.limit_id == BUDGET_PREFIX + TenantRow.name)
            .outerjoin(sums, sums.c.tenant == TenantRow.name)
            .where(TenantRow.closed_at.is_(None))
        )
        query = query if team is None else query.where(TenantRow.name == team)
        async with self._database.transaction() as session:
            return [Taken(*row) for row in await session.execute(query.order_by(TenantRow.name))]

    def hour_price(self, slot_kind: str, accelerator: str, price_class: str, at: datetime) -> Decimal | None:
        """See Ledger.hour_price."""
        try:
            return self._prices.at(at).hour(slot_subject(slot_kind, accelerator, price_class))
        except InvalidInput:
            return None


def placed(query: Any) -> Any:
    """A query over entries, with the lease or the cluster that each is for, and its team."""
    return (
        query.select_from(EntryRow)
        .outerjoin(LeaseRow, and_(IS_LEASE, LeaseRow.id == NAMED))
        .outerjoin(ClusterRow, and_(IS_CLUSTER, ClusterRow.id == NAMED))
        .outerjoin(TenantRow, TenantRow.name == EntryRow.tenant)
    )


def within(days: Days, team: str | None) -> list[ColumnElement[bool]]:
    """The entries of some days, of a team or of all."""
    found = [EntryRow.at >= midnight(days.since), EntryRow.at < midnight(days.until)]
    return found if team is None else [*found, EntryRow.tenant == team]


def charges_query() -> Any:
    """Charges by everything that an export tells apart."""
    settled = aliased(EntryRow)
    month = func.date_trunc("month", func.timezone("UTC", EntryRow.at))
    # What a correction corrects was settled in an earlier month, or in its own.
    before = (
        select(literal(1))
        .where(settled.reservation == EntryRow.reservation, settled.action == "settle", func.timezone("UTC", settled.at) < month)
        .exists()
    )
    corrects = case((and_(CORRECTS, before), "earlier period"), (CORRECTS, "same period"), else_="")
    resource = case((or_(IS_LEASE, IS_CLUSTER), NAMED), else_=EntryRow.backend)
    kind = case((IS_LEASE, "lease"), (IS_CLUSTER, "cluster"), (EntryRow.backend != EMPTY, "backend"), else_="")
    keys: dict[str, Any] = {
        "day": DAY,
        "organisation": ORGANISATION,
        "team": EntryRow.tenant,
        "team_title": func.coalesce(TenantRow.title, EMPTY),
        "project": EntryRow.project,
        "key": EntryRow.key_id,
        "agent": EntryRow.agent,
        "plan": EntryRow.plan_id,
        "subject": EntryRow.subject,
        "unit": EntryRow.unit,
        "pool": POOL,
        "resource": resource,
        "resource_kind": kind,
        "price_version": EntryRow.price_version,
        "corrects": corrects,
    }
    sums: dict[str, Any] = {
        "charges": func.count().filter(EntryRow.action == "settle"),
        "entries": func.count(),
        "quantity": func.sum(EntryRow.quantity),
        "quantity_out": func.sum(EntryRow.quantity_out),
        "quantity_cached": func.sum(EntryRow.quantity_cached),
        "amount": func.sum(SPENT),
    }
    labelled = select(*(each.label(name) for name, each in {**keys, **sums}.items()))
    places = [text(str(number)) for number in range(1, len(keys) + 1)]
    return placed(labelled).group_by(*places).order_by(*places)
