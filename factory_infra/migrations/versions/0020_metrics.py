"""Metrics: the log's order of commits, and the sums that are kept of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = ("kpi_shown", "kpi_alerts", "kpi_pools", "kpi_read", "kpi_sums")


def upgrade() -> None:
    """Number events by their transactions, add the tables, and tell the log what stands already."""
    op.add_column("events", sa.Column("tx", sa.BigInteger(), server_default=sa.text("((pg_current_xact_id())::text)::bigint"), nullable=False))
    op.create_index("ix_events_tx", "events", ["tx", "id"])
    op.create_index("ix_events_kind", "events", ["kind", "at"])
    op.create_table(
        "kpi_sums",
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("series", sa.String(length=40), nullable=False),
        sa.Column("bucket", MOMENT, nullable=False),
        sa.Column("dim", sa.String(length=200), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("n", sa.Numeric(40, 0), nullable=False),
        sa.Column("off", sa.Numeric(60, 0), nullable=False),
        sa.PrimaryKeyConstraint("level", "series", "bucket", "dim", "value"),
    )
    op.create_table(
        "kpi_read",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tx", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.BigInteger(), nullable=False),
        sa.Column("rules", sa.String(length=64), nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "kpi_pools",
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("pool"),
    )
    make_told()


def make_told() -> None:
    """What is told: alerts, and the newest figures."""
    op.create_table(
        "kpi_alerts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("objective", sa.String(length=80), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("burn", sa.Float(), nullable=False),
        sa.Column("raised_at", MOMENT, nullable=False),
        sa.Column("cleared_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("objective", "raised_at"):
        op.create_index(op.f(f"ix_kpi_alerts_{column}"), "kpi_alerts", [column], unique=False)
    op.create_table(
        "kpi_shown",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for noun in STANDING:
        op.execute(noun)


INTO = "INSERT INTO events (key, tenant, thread_id, plan_id, run_id, kind, payload, at) "
NODE = "'node-' || left(encode(sha256(convert_to(pool, 'UTF8') || '\\x00'::bytea || convert_to(name, 'UTF8')), 'hex'), 24)"
STANDING = (
    INTO + "SELECT 'team-' || name || '/made', name, '', '', '', 'team.made', jsonb_build_object('team', name), created_at FROM tenants",
    INTO + "SELECT 'team-' || name || '/closed', name, '', '', '', 'team.closed', jsonb_build_object('team', name), closed_at "
    "FROM tenants WHERE closed_at IS NOT NULL",
    INTO + "SELECT id || '/begun', tenant, '', '', '', 'lease.begun', jsonb_build_object('lease_id', id, 'pool', pool, 'kind', slot_kind, "
    "'slots', jsonb_array_length(slots), 'accelerator', accelerator, 'provision_ms', "
    "floor(extract(epoch FROM granted_at - coalesce(asked_at, granted_at)) * 1000)::bigint), granted_at "
    "FROM leases WHERE state NOT IN ('queued', 'granting', 'refused')",
    INTO + "SELECT id || '/ended', tenant, '', '', '', 'lease.ended', jsonb_build_object('lease_id', id, 'pool', pool, 'kind', slot_kind, "
    "'slots', jsonb_array_length(slots), 'state', state), ended_at "
    "FROM leases WHERE ended_at IS NOT NULL AND state NOT IN ('queued', 'granting', 'refused')",
    INTO + f"SELECT {NODE} || '/seen', NULL, '', '', '', 'node.seen', jsonb_build_object('pool', pool, 'node', name), first_seen_at FROM nodes",
    INTO + f"SELECT {NODE} || '/retired', NULL, '', '', '', 'node.retired', jsonb_build_object('pool', pool, 'node', name), health_since "
    "FROM nodes WHERE health = 'retired'",
    INTO + "SELECT id || '/failed', NULL, '', '', '', 'node.failed', jsonb_build_object('pool', pool, 'node', node, 'code', code), opened_at "
    "FROM node_incidents WHERE severity = 'failure'",
    INTO + "SELECT id || '/mended', NULL, '', '', '', 'node.mended', jsonb_build_object('pool', pool, 'node', node, 'code', code), closed_at "
    "FROM node_incidents WHERE severity = 'failure' AND closed_at IS NOT NULL",
    INTO + "SELECT id || '/audited', NULL, '', '', '', 'isolation.audited', jsonb_build_object('audit_id', id, 'pool', pool, 'holds', holds, "
    "'attempts', jsonb_array_length(report->'attempts'), 'refused', (SELECT count(*) FROM jsonb_array_elements(report->'attempts') each "
    "WHERE (each->>'refused')::boolean)), at FROM isolation_audits",
)
"""What stands when this is installed is told as if it had been told then: teams, leases, nodes, failures, audits."""


def downgrade() -> None:
    """Take the tables away, and what was told to no thread."""
    for table in TABLES:
        op.drop_table(table)
    op.execute("DELETE FROM events WHERE thread_id = ''")
    op.drop_index("ix_events_kind", table_name="events")
    op.drop_index("ix_events_tx", table_name="events")
    op.drop_column("events", "tx")
