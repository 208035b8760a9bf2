"""Double entry, and what is derived from it: sums by day, uses of limits, blocks of processes."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MONEY = sa.Numeric(24, 12)
QUANTITY = sa.Numeric(20, 6)
MOMENT = sa.DateTime(timezone=True)
ADDED = {
    "project": sa.String(64),
    "key_id": sa.String(24),
    "quantity_cached": QUANTITY,
    "quantity_reasoning": QUANTITY,
    "backend": sa.String(64),
    "step": sa.String(64),
    "outcome": sa.String(16),
    "reason": sa.String(400),
}
"""Columns of entries that older ones leave empty, or at zero."""

TO_TRANSFERS = (
    "UPDATE ledger_entries SET debit = 'available', credit = 'reserved' WHERE action = 'reserve'",
    # A settlement was two rows: minus what was reserved, and plus what was used. The first becomes what is left of one over the other,
    "UPDATE ledger_entries AS freed SET action = CASE WHEN used.amount > -freed.amount THEN 'surplus' ELSE 'release' END, "
    "debit = CASE WHEN used.amount > -freed.amount THEN 'available' ELSE 'reserved' END, "
    "credit = CASE WHEN used.amount > -freed.amount THEN 'spent' ELSE 'available' END, "
    "amount = abs(used.amount + freed.amount), quantity = 0, quantity_out = 0 "
    "FROM ledger_entries AS used WHERE freed.action = 'settle' AND freed.account = 'reserved' "
    "AND used.reservation = freed.reservation AND used.action = 'settle' AND used.account = 'spent'",
    "DELETE FROM ledger_entries WHERE action IN ('release', 'surplus') AND amount = 0",
    # and the second what both have in common.
    "UPDATE ledger_entries AS used SET debit = 'reserved', credit = 'spent', "
    "outcome = CASE WHEN used.quantity = 0 AND used.quantity_out = 0 THEN 'failed' ELSE 'done' END, "
    "amount = least(used.amount, held.amount) FROM ledger_entries AS held WHERE used.action = 'settle' "
    "AND held.reservation = used.reservation AND held.action = 'reserve'",
)
TO_POSTINGS = (
    "UPDATE ledger_entries SET account = CASE WHEN action = 'reserve' THEN 'reserved' ELSE 'spent' END",
    "UPDATE ledger_entries SET amount = -amount WHERE action LIKE 'correct%' AND debit = 'spent'",
    "UPDATE ledger_entries AS used SET amount = used.amount + more.amount FROM ledger_entries AS more "
    "WHERE used.action = 'settle' AND more.reservation = used.reservation AND more.action = 'surplus'",
    "DELETE FROM ledger_entries WHERE action IN ('release', 'surplus')",
    "INSERT INTO ledger_entries (at, tenant, reservation, action, account, debit, credit, amount, unit, quantity, quantity_out, subject, "
    "plan_id, thread_id, agent, price_version, estimated) "
    "SELECT used.at, used.tenant, used.reservation, 'settle', 'reserved', '', '', -held.amount, used.unit, used.quantity, "
    "used.quantity_out, used.subject, used.plan_id, used.thread_id, used.agent, used.price_version, used.estimated "
    "FROM ledger_entries AS used JOIN ledger_entries AS held ON held.reservation = used.reservation AND held.action = 'reserve' "
    "WHERE used.action = 'settle'",
)
FILL_DAILY = (
    "INSERT INTO ledger_daily SELECT (at AT TIME ZONE 'UTC')::date, tenant, project, key_id, agent, subject, backend, unit, "
    "count(*) FILTER (WHERE action = 'settle'), sum(quantity), sum(quantity_out), 0, 0, sum(amount) "
    "FROM ledger_entries WHERE credit = 'spent' GROUP BY 1, 2, 3, 4, 5, 6, 7, 8"
)
FILL_USES = (
    "INSERT INTO ledger_uses SELECT 'budget/' || tenant, to_timestamp(0), "
    "sum(CASE WHEN debit = 'available' THEN amount WHEN credit = 'available' THEN -amount ELSE 0 END) FROM ledger_entries GROUP BY tenant"
)
"""What has left `available` is spent or reserved."""


def upgrade() -> None:
    """Turn postings into transfers, add the tables, and derive what they hold."""
    _add_columns()
    for statement in TO_TRANSFERS:
        op.execute(statement)
    _change_shape()
    _add_derived()
    _add_limits()
    op.execute(FILL_DAILY)
    op.execute(FILL_USES)


def _add_columns() -> None:
    for name, kind in ADDED.items():
        empty = "" if isinstance(kind, sa.String) else "0"
        op.add_column("ledger_entries", sa.Column(name, kind, nullable=False, server_default=empty))
    for name in ("debit", "credit"):
        op.add_column("ledger_entries", sa.Column(name, sa.String(16), nullable=True))
    op.alter_column("ledger_entries", "amount", type_=MONEY)
    op.drop_index("uq_ledger_once", "ledger_entries")


def _change_shape() -> None:
    for name in ("debit", "credit"):
        op.alter_column("ledger_entries", name, nullable=False)
    op.drop_column("ledger_entries", "account")
    once = {"reservation": "text_pattern_ops"}  # so that a prefix of names is found without reading the whole ledger
    op.create_index("uq_ledger_once", "ledger_entries", ["reservation", "action"], unique=True, postgresql_ops=once)
    op.drop_index("ix_ledger_entries_tenant", "ledger_entries")
    op.create_index("ix_ledger_entries_tenant_at", "ledger_entries", ["tenant", "at"])


def _add_derived() -> None:
    op.create_table(
        "ledger_daily",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("key_id", sa.String(24), primary_key=True),
        sa.Column("agent", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(128), primary_key=True),
        sa.Column("backend", sa.String(64), primary_key=True),
        sa.Column("unit", sa.String(24), primary_key=True),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("quantity", QUANTITY, nullable=False),
        sa.Column("quantity_out", QUANTITY, nullable=False),
        sa.Column("quantity_cached", QUANTITY, nullable=False),
        sa.Column("quantity_reasoning", QUANTITY, nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        postgresql_with={"fillfactor": 70},  # rows are raised in place, many times
    )
    op.create_table(
        "ledger_uses",
        sa.Column("limit_id", sa.String(200), primary_key=True),
        sa.Column("window_start", MOMENT, primary_key=True),
        sa.Column("used", MONEY, nullable=False),
        postgresql_with={"fillfactor": 50},
    )


def _add_limits() -> None:
    op.create_table(
        "ledger_limits",
        sa.Column("id", sa.String(200), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("project", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(24), nullable=False),
        sa.Column("resource", sa.String(16), nullable=False),
        sa.Column("window", sa.String(16), nullable=False),
        sa.Column("cap", MONEY, nullable=False),
        sa.Column("set_by", sa.String(128), nullable=False),
        sa.Column("set_at", MOMENT, nullable=False),
    )
    op.create_index("ix_ledger_limits_tenant", "ledger_limits", ["tenant"])
    op.create_table(
        "ledger_blocks",
        sa.Column("process_id", sa.String(64), primary_key=True),
        sa.Column("limit_id", sa.String(200), primary_key=True),
        sa.Column("window_start", MOMENT, primary_key=True),
        sa.Column("drawn", MONEY, nullable=False),
        sa.Column("charged", MONEY, nullable=False),
        postgresql_with={"fillfactor": 50},
    )
    op.create_table(
        "ledger_processes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.Column("posted", sa.BigInteger(), nullable=False),
        postgresql_with={"fillfactor": 50},
    )


def downgrade() -> None:
    """Turn transfers back into postings, and remove the tables. Processes that meter must have ended before."""
    op.drop_index("uq_ledger_once", "ledger_entries")
    op.add_column("ledger_entries", sa.Column("account", sa.String(16), nullable=True))
    for statement in TO_POSTINGS:
        op.execute(statement)
    op.alter_column("ledger_entries", "account", nullable=False)
    op.alter_column("ledger_entries", "amount", type_=sa.Numeric(20, 10))
    for name in (*ADDED, "debit", "credit"):
        op.drop_column("ledger_entries", name)
    op.drop_index("ix_ledger_entries_tenant_at", "ledger_entries")
    op.create_index("ix_ledger_entries_tenant", "ledger_entries", ["tenant"])
    op.create_index("uq_ledger_once", "ledger_entries", ["reservation", "account", "action"], unique=True)
    for name in ("ledger_processes", "ledger_blocks", "ledger_uses", "ledger_limits", "ledger_daily"):
        op.drop_table(name)
