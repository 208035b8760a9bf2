"""The ledger's tables. Entries are append only; everything else is derived from them or bounds them."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Identity, Index, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow

MONEY = Numeric(24, 12)
QUANTITY = Numeric(20, 6)
ENTRY_COLUMNS = (
    "at",
    "tenant",
    "project",
    "key_id",
    "reservation",
    "action",
    "debit",
    "credit",
    "amount",
    "unit",
    "quantity",
    "quantity_out",
    "quantity_cached",
    "quantity_reasoning",
    "subject",
    "backend",
    "plan_id",
    "thread_id",
    "agent",
    "step",
    "price_version",
    "outcome",
    "reason",
    "estimated",
)
"""All but the identity, in the order in which rows are copied in."""


class EntryRow(Base):
    """One transfer between two accounts of a team: `reserve` moves X from available to reserved, `settle` what was used from reserved
    to spent, `release` the rest back, `correct` either way between available and spent. Balances are sums."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        Index("uq_ledger_once", "reservation", "action", unique=True, postgresql_ops={"reservation": "text_pattern_ops"}),
        Index("ix_ledger_entries_tenant_at", "tenant", "at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    tenant: Mapped[str] = mapped_column(String(64))
    project: Mapped[str] = mapped_column(String(64), default="")
    key_id: Mapped[str] = mapped_column(String(24), default="")
    reservation: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(16))
    debit: Mapped[str] = mapped_column(String(16))
    credit: Mapped[str] = mapped_column(String(16))
    amount: Mapped[Decimal] = mapped_column(MONEY)
    unit: Mapped[str] = mapped_column(String(24))
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    quantity_out: Mapped[Decimal] = mapped_column(QUANTITY, default=Decimal(0))
    quantity_cached: Mapped[Decimal] = mapped_column(QUANTITY, default=Decimal(0))
    quantity_reasoning: Mapped[Decimal] = mapped_column(QUANTITY, default=Decimal(0))
    subject: Mapped[str] = mapped_column(String(128))
    backend: Mapped[str] = mapped_column(String(64), default="")
    plan_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    thread_id: Mapped[str] = mapped_column(String(64), default="", index=True)
    agent: Mapped[str] = mapped_column(String(64), default="")
    step: Mapped[str] = mapped_column(String(64), default="")
    price_version: Mapped[str] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(16), default="")
    reason: Mapped[str] = mapped_column(String(400), default="")
    estimated: Mapped[bool] = mapped_column(default=False)


class DailyRow(Base):
    """What was spent in one day (UTC) by team, project, key, agent, model and backend: raised by each posting, checked against entries."""

    __tablename__ = "ledger_daily"

    day: Mapped[date] = mapped_column(primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    project: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    agent: Mapped[str] = mapped_column(String(64), primary_key=True)
    subject: Mapped[str] = mapped_column(String(128), primary_key=True)
    backend: Mapped[str] = mapped_column(String(64), primary_key=True)
    unit: Mapped[str] = mapped_column(String(24), primary_key=True)
    calls: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[Decimal] = mapped_column(QUANTITY)
    quantity_out: Mapped[Decimal] = mapped_column(QUANTITY)
    quantity_cached: Mapped[Decimal] = mapped_column(QUANTITY)
    quantity_reasoning: Mapped[Decimal] = mapped_column(QUANTITY)
    amount: Mapped[Decimal] = mapped_column(MONEY)


class LimitRow(Base):
    """A cap that an administrator set. A team's money in all is not here: it is the team's own `budget`."""

    __tablename__ = "ledger_limits"

    id: Mapped[str] = mapped_column(String(200), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    project: Mapped[str] = mapped_column(String(64), default="")
    key_id: Mapped[str] = mapped_column(String(24), default="")
    resource: Mapped[str] = mapped_column(String(16))
    window: Mapped[str] = mapped_column(String(16))
    cap: Mapped[Decimal] = mapped_column(MONEY)
    set_by: Mapped[str] = mapped_column(String(128), default="")
    set_at: Mapped[datetime] = mapped_column(default=utcnow)


class UseRow(Base):
    """How much of a limit is taken in one window: charged by ended calls, held by open ones and by the blocks of living processes.

    It is raised by one conditional statement that never passes the cap, so it is hard across any number of processes.
    """

    __tablename__ = "ledger_uses"

    limit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    used: Mapped[Decimal] = mapped_column(MONEY)


class BlockRow(Base):
    """What one process has drawn of a limit's window to hand out without asking, and how much of that its posted calls have charged.

    When the process gives the block back, or is found dead and its journal is posted, `drawn - charged` returns to the limit.
    """

    __tablename__ = "ledger_blocks"

    process_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    limit_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    window_start: Mapped[datetime] = mapped_column(primary_key=True)
    drawn: Mapped[Decimal] = mapped_column(MONEY)
    charged: Mapped[Decimal] = mapped_column(MONEY)


class ProcessRow(Base):
    """One process that meters through a journal of its own; `posted` is how many of the journal's records are in the ledger."""

    __tablename__ = "ledger_processes"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(default=utcnow)
    seen_at: Mapped[datetime] = mapped_column(default=utcnow)
    posted: Mapped[int] = mapped_column(BigInteger, default=0)
