"""Approvals, runs and the switch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("plan_id", sa.String(64), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("approve", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.UniqueConstraint("plan_id", "digest", "actor"),
    )
    op.create_index("ix_approvals_plan_id", "approvals", ["plan_id"])
    op.create_index("ix_approvals_tenant", "approvals", ["tenant", "at"])
    op.create_table(
        "runs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("tenant", sa.String(64), nullable=True),
        sa.Column("thread_id", sa.String(64), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("model_calls", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("tool_calls", sa.Integer(), nullable=False),
        sa.Column("steps_done", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.Column("bounds", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    )
    op.create_index("ix_runs_tenant", "runs", ["tenant", "started_at"])
    op.create_index("ix_runs_thread_id", "runs", ["thread_id"])
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "switch",
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("stopped", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.add_column("events", sa.Column("run_id", sa.String(64), nullable=False, server_default=""))
    op.create_index("ix_events_run", "events", ["run_id", "id"])
    op.create_index("ix_effects_tenant", "effects", ["tenant", "at"])


def downgrade() -> None:
    """Remove the tables."""
    op.drop_index("ix_effects_tenant", "effects")
    op.drop_index("ix_events_run", "events")
    op.drop_column("events", "run_id")
    for name in ("switch", "runs", "approvals"):
        op.drop_table(name)
