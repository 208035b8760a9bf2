"""Questions to the ledger: whole teams are answered from the sums by day, plans and conversations from their entries."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from operator import eq, ge, lt
from typing import Any

from sqlalchemy import ColumnElement, Date, Select, case, cast, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from factory_infra.saas.metering.models import Breakdown, Entry, EntryFilter
from factory_infra.saas.metering.tables import DailyRow, EntryRow, UseRow
from factory_infra.saas.metering.uses import BUDGET_PREFIX

ZERO = Decimal(0)
Question = Select[*tuple[Any, ...]]
Column = InstrumentedAttribute[str] | InstrumentedAttribute[date] | ColumnElement[date]

SPENT = case((EntryRow.credit == "spent", EntryRow.amount), (EntryRow.debit == "spent", -EntryRow.amount), else_=ZERO)
"""What an entry adds to what was spent."""
RESERVED = case((EntryRow.credit == "reserved", EntryRow.amount), (EntryRow.debit == "reserved", -EntryRow.amount), else_=ZERO)
"""What an entry adds to what is reserved."""
OF_SPENT = or_(EntryRow.credit == "spent", EntryRow.debit == "spent")


async def at_one_moment(session: AsyncSession) -> None:
    """Let all questions of a transaction see the same moment; to be called before the first of them."""
    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def cost_by_subject(tenant: str | None) -> Question:
    """What a team, or everybody, spent: unit, subject, quantity, quantity out and amount."""
    columns = (DailyRow.unit, DailyRow.subject)
    query = select(*columns, func.sum(DailyRow.quantity), func.sum(DailyRow.quantity_out), func.sum(DailyRow.amount)).group_by(*columns)
    return query if tenant is None else query.where(DailyRow.tenant == tenant)


def taken(tenant: str | None) -> Question:
    """How much of a team's budget, or of all budgets, is spent or set aside."""
    query = select(func.coalesce(func.sum(UseRow.used), ZERO))
    if tenant is None:
        return query.where(UseRow.limit_id.startswith(BUDGET_PREFIX, autoescape=True))
    return query.where(UseRow.limit_id == BUDGET_PREFIX + tenant)


def cost_of_entries(tenant: str | None, plan_id: str | None, thread_id: str | None) -> Question:
    """What a plan or a conversation spent and has reserved: as `cost_by_subject`, then what is reserved, and how many were settled."""
    settled = EntryRow.action == "settle"
    query = select(
        EntryRow.unit,
        EntryRow.subject,
        func.coalesce(func.sum(EntryRow.quantity).filter(settled), ZERO),
        func.coalesce(func.sum(EntryRow.quantity_out).filter(settled), ZERO),
        func.sum(SPENT),
        func.sum(RESERVED),
        func.count().filter(settled),
    ).group_by(EntryRow.unit, EntryRow.subject)
    for column, value in ((EntryRow.tenant, tenant), (EntryRow.plan_id, plan_id), (EntryRow.thread_id, thread_id)):
        query = query.where(column == value) if value is not None else query
    return query


def usage_since(tenant: str, since: datetime, by: Breakdown) -> Question:
    """What a team spent since a moment: name, amount, slot-seconds, tokens. Whole days come from the sums, the first from entries."""
    moment = since.astimezone(UTC)
    whole = moment.date() + timedelta(days=int(moment.time() > time.min))
    days, entries = _columns(by)
    parts = [_usage(DailyRow, days, DailyRow.amount).where(DailyRow.tenant == tenant, DailyRow.day >= whole)]
    if whole > moment.date():
        until = datetime.combine(whole, time.min, tzinfo=UTC)
        first = _usage(EntryRow, entries, SPENT)
        parts.append(first.where(OF_SPENT, EntryRow.tenant == tenant, EntryRow.at >= since, EntryRow.at < until))
    if by == "model":
        kinds = (DailyRow.unit, EntryRow.unit)
        parts = [part.where(kind != "slot_seconds") for part, kind in zip(parts, kinds, strict=False)]
    all_parts = union_all(*parts).subquery()
    name, total = all_parts.c.name, func.sum(all_parts.c.amount)
    query = select(name, total, func.sum(all_parts.c.slots), func.sum(all_parts.c.tokens)).group_by(name)
    return query.order_by(name if by == "day" else total.desc(), name)


def _usage(rows: type[DailyRow] | type[EntryRow], name: Column, amount: Any) -> Question:
    quantity = rows.quantity + rows.quantity_out
    return select(
        name.label("name"),
        func.sum(amount).label("amount"),
        func.sum(case((rows.unit == "slot_seconds", quantity), else_=ZERO)).label("slots"),
        func.sum(case((rows.unit == "tokens", quantity), else_=ZERO)).label("tokens"),
    ).group_by(name)


def _columns(by: Breakdown) -> tuple[Column, Column]:
    """The column that a breakdown goes by, in the sums and in entries; a day is one of UTC."""
    match by:
        case "day":
            return DailyRow.day, cast(func.timezone("UTC", EntryRow.at), Date)
        case "agent":
            return DailyRow.agent, EntryRow.agent
        case "project":
            return DailyRow.project, EntryRow.project
        case "key":
            return DailyRow.key_id, EntryRow.key_id
        case _:
            return DailyRow.subject, EntryRow.subject


def entries_of(tenant: str | None, plan_id: str | None, only: EntryFilter) -> Select[EntryRow]:
    """Entries, newest first."""
    query = select(EntryRow).order_by(EntryRow.id.desc())
    for compare, column, value in (
        (eq, EntryRow.tenant, tenant),
        (eq, EntryRow.plan_id, plan_id),
        (eq, EntryRow.key_id, only.key_id),
        (ge, EntryRow.at, only.since),
        (lt, EntryRow.at, only.until),
        (lt, EntryRow.id, only.before),
    ):
        query = query if value is None else query.where(compare(column, value))
    return query


def open_ones(prefix: str = "") -> Select[str]:
    """Names under which something is reserved and nothing settled."""
    settled = aliased(EntryRow)
    done = select(settled.id).where(settled.reservation == EntryRow.reservation, settled.action == "settle").exists()
    query = select(EntryRow.reservation).where(EntryRow.action == "reserve", ~done).order_by(EntryRow.reservation)
    return query.where(EntryRow.reservation.startswith(prefix, autoescape=True)) if prefix else query


def shown(row: EntryRow) -> Entry:
    """An entry as it is told."""
    return Entry.model_validate(row)
