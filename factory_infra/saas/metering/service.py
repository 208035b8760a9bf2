"""The ledger: reserve before, settle after, exactly once each."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Date, case, cast, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from factory_infra.database import Database, utcnow
from factory_infra.errors import BudgetExceeded, NotFound
from factory_infra.iaas.leases.models import Lease
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.saas.metering.models import Attribution, Breakdown, Charge, Cost, CostLine, Entry, Reconciliation, UsageLine
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.tables import EntryRow

LEASE_PREFIX = "lease/"


class Metering:
    """Reservations and settlements, in PostgreSQL. A reservation's name is its idempotency key."""

    def __init__(self, database: Database, prices: PriceBook, leases: Leases) -> None:
        self._database = database
        self._leases = leases
        self.prices = prices

    async def reserve(self, name: str, charge: Charge, whose: Attribution) -> Decimal:
        """Set money aside for the worst case and return it; the same name again changes nothing.

        Raises BudgetExceeded when spent and reserved money would pass the team's budget: one lock per team makes it hard.
        """
        amount = self.prices.price(charge)
        async with self._database.transaction(lock=f"budget/{whose.tenant}") as session:
            known = await self._posting(session, name, "reserve")
            if known is not None:
                return known.amount
            row = await session.get(TenantRow, whose.tenant)
            if row is None:
                raise NotFound(f"There is no team '{whose.tenant}'.", code="team_unknown")
            used = await self._sum(session, whose.tenant)
            if used + amount > row.budget:
                raise BudgetExceeded(
                    f"Team {whose.tenant} has {row.budget - used:.4f} {self.prices.currency} left and {amount:.4f} would be reserved.",
                    remedy="Have an administrator raise the budget, or ask for less.",
                )
            session.add(self._entry(name, "reserve", "reserved", amount, charge, whose))
        return amount

    async def settle(self, name: str, charge: Charge) -> Decimal:
        """Charge what was used under a reservation and free the rest; the same name again changes nothing. Raises NotFound."""
        async with self._database.transaction(lock=f"reservation/{name}") as session:
            done = await self._posting(session, name, "settle", "spent")
            if done is not None:
                return done.amount
            reserved = await self._posting(session, name, "reserve")
            if reserved is None:
                raise NotFound(f"Nothing is reserved under '{name}'.")
            amount = self.prices.price(charge)
            whose = Attribution(tenant=reserved.tenant, plan_id=reserved.plan_id, thread_id=reserved.thread_id, agent=reserved.agent)
            session.add(self._entry(name, "settle", "reserved", -reserved.amount, charge, whose))
            session.add(self._entry(name, "settle", "spent", amount, charge, whose))
        return amount

    async def release(self, name: str) -> None:
        """Free a reservation under which nothing was used; without one, or settled already, nothing happens."""
        async with self._database.transaction() as session:
            reserved = await self._posting(session, name, "reserve")
        if reserved is not None:
            await self.settle(name, Charge(unit=reserved.unit, subject=reserved.subject, quantity=Decimal(0)))

    def _entry(self, name: str, action: str, account: str, amount: Decimal, charge: Charge, whose: Attribution) -> EntryRow:  # noqa: PLR0913
        return EntryRow(
            at=utcnow(),
            reservation=name,
            action=action,
            account=account,
            amount=amount,
            price_version=self.prices.version,
            **charge.model_dump(),
            **whose.model_dump(),
        )

    async def _posting(self, session: AsyncSession, name: str, action: str, account: str = "reserved") -> EntryRow | None:
        query = select(EntryRow).where(EntryRow.reservation == name, EntryRow.action == action, EntryRow.account == account)
        row: EntryRow | None = await session.scalar(query)
        return row

    async def _sum(self, session: AsyncSession, tenant: str) -> Decimal:
        total = await session.scalar(select(func.sum(EntryRow.amount)).where(EntryRow.tenant == tenant))
        return total or Decimal(0)

    async def cost(self, *, tenant: str | None = None, plan_id: str | None = None, thread_id: str | None = None) -> Cost:
        """Tell what was spent and is reserved, by subject; no filter means everything."""
        query = select(
            EntryRow.account,
            EntryRow.unit,
            EntryRow.subject,
            func.sum(EntryRow.quantity),
            func.sum(EntryRow.quantity_out),
            func.sum(EntryRow.amount),
        ).group_by(EntryRow.account, EntryRow.unit, EntryRow.subject)
        for column, value in ((EntryRow.tenant, tenant), (EntryRow.plan_id, plan_id), (EntryRow.thread_id, thread_id)):
            query = query.where(column == value) if value is not None else query
        async with self._database.transaction() as session:
            rows = (await session.execute(query)).all()
        lines = [
            CostLine(unit=unit, subject=subject, quantity=quantity, quantity_out=out, amount=amount)
            for account, unit, subject, quantity, out, amount in rows
            if account == "spent"
        ]
        return Cost(
            currency=self.prices.currency,
            spent=sum((line.amount for line in lines), Decimal(0)),
            reserved=sum((amount for account, *_, amount in rows if account == "reserved"), Decimal(0)),
            lines=lines,
        )

    async def usage(self, tenant: str, since: datetime, by: Breakdown) -> list[UsageLine]:
        """Tell what a team spent since a moment by day (oldest first), or by agent or model (dearest first). A slot's kind is no model."""
        name = breakdown(by)
        quantity = EntryRow.quantity + EntryRow.quantity_out
        total = func.sum(EntryRow.amount)
        slots = func.sum(case((EntryRow.unit == "slot_seconds", quantity), else_=Decimal(0)))
        tokens = func.sum(case((EntryRow.unit == "tokens", quantity), else_=Decimal(0)))
        query = select(name, total, slots, tokens).where(EntryRow.tenant == tenant, EntryRow.account == "spent", EntryRow.at >= since)
        query = query.where(EntryRow.unit == "tokens") if by == "model" else query
        query = query.group_by(name).order_by(name if by == "day" else total.desc(), name)
        async with self._database.transaction() as session:
            rows = (await session.execute(query)).all()
        return [UsageLine(name=str(key), amount=amount, slot_seconds=used, tokens=spoken) for key, amount, used, spoken in rows]

    async def entries(self, tenant: str | None = None, plan_id: str | None = None, limit: int = 100, offset: int = 0) -> Sequence[Entry]:
        """Return postings, newest first."""
        query = select(EntryRow).order_by(EntryRow.id.desc()).limit(min(limit, 500)).offset(offset)
        query = query.where(EntryRow.tenant == tenant) if tenant is not None else query
        query = query.where(EntryRow.plan_id == plan_id) if plan_id is not None else query
        async with self._database.transaction() as session:
            return [Entry.model_validate(row) for row in await session.scalars(query)]

    async def open_reservations(self, prefix: str = "") -> list[str]:
        """Return the names under which money is reserved and not yet settled."""
        settled = select(EntryRow.reservation).where(EntryRow.action == "settle")
        query = select(EntryRow.reservation).where(
            EntryRow.action == "reserve", EntryRow.reservation.not_in(settled), EntryRow.reservation.startswith(prefix, autoescape=True)
        )
        async with self._database.transaction() as session:
            return list(await session.scalars(query.order_by(EntryRow.reservation)))

    async def reserve_lease(self, lease_id: str, slot_kind: str, slot_seconds: int, whose: Attribution) -> Decimal:
        """Reserve the whole term of a lease that is about to be asked for."""
        charge = Charge(unit="slot_seconds", subject=slot_kind, quantity=Decimal(slot_seconds))
        return await self.reserve(LEASE_PREFIX + lease_id, charge, whose)

    async def settle_lease(self, lease: Lease) -> Decimal:
        """Charge an ended lease by its own record, from grant to end."""
        quantity = Decimal(str(round(lease.slot_seconds, 6)))
        return await self.settle(LEASE_PREFIX + lease.id, Charge(unit="slot_seconds", subject=lease.slot_kind, quantity=quantity))

    async def reconcile(self) -> Reconciliation:
        """Compare the inventory with the ledger; a lease that has ended unsettled (its term ran out) is settled here."""
        held = await self._leases.held()
        reserved = {name.removeprefix(LEASE_PREFIX) for name in await self.open_reservations(LEASE_PREFIX)}
        late = await self._leases.ended(reserved - held)
        for lease in late:
            await self.settle_lease(lease)
        settled = [lease.id for lease in late]
        return Reconciliation(
            leases_without_reservation=sorted(held - reserved),
            reservations_without_lease=sorted(reserved - held - set(settled)),
            settled_late=settled,
        )


def breakdown(by: Breakdown) -> ColumnElement[date] | InstrumentedAttribute[str]:
    """The column that a breakdown goes by; a day is one of UTC."""
    if by == "day":
        return cast(func.timezone("UTC", EntryRow.at), Date)
    return EntryRow.agent if by == "agent" else EntryRow.subject
