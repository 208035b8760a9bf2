"""The ledger's table: append only."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, Identity, Index, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class EntryRow(Base):
    """One posting. A reservation posts +X to `reserved`; its settlement posts -X there and +Y to `spent`. Balances are sums."""

    __tablename__ = "ledger_entries"
    __table_args__ = (Index("uq_ledger_once", "reservation", "account", "action", unique=True),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(default=utcnow)
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    reservation: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(16))
    account: Mapped[str] = mapped_column(String(16))
    amount: Mapped[Decimal] = mapped_column(Numeric(20, 10))
    unit: Mapped[str] = mapped_column(String(24))
    quantity: Mapped[Decimal] = mapped_column(Numeric(20, 6))
    quantity_out: Mapped[Decimal] = mapped_column(Numeric(20, 6), default=Decimal(0))
    subject: Mapped[str] = mapped_column(String(128))
    plan_id: Mapped[str] = mapped_column(String(64), index=True)
    thread_id: Mapped[str] = mapped_column(String(64), index=True)
    agent: Mapped[str] = mapped_column(String(64))
    price_version: Mapped[str] = mapped_column(String(32))
    estimated: Mapped[bool] = mapped_column(default=False)
