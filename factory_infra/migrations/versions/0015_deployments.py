"""Roll-outs of endpoints, their traffic, their scaling, and requests that teams asked to have kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and where an endpoint's servers are."""
    op.add_column("endpoints", sa.Column("pool", sa.String(length=64), server_default="", nullable=False))
    op.add_column("endpoints", sa.Column("asleep", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "rollouts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("model_name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("old_model_name", sa.String(length=63), nullable=False),
        sa.Column("old_version", sa.Integer(), nullable=False),
        sa.Column("old_job_id", sa.String(length=128), nullable=False),
        sa.Column("plan", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.String(length=128), nullable=False),
        sa.Column("thread_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("moves", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("tidied", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("step_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_rollouts_endpoint"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_rollouts_endpoint", "rollouts", ["tenant", "name", "created_at"], unique=False)
    op.create_index("ix_rollouts_untidy", "rollouts", ["id"], unique=False, postgresql_where=sa.text("NOT tidied"))
    op.create_index("uq_rollouts_open", "rollouts", ["tenant", "name"], unique=True, postgresql_where=sa.text("ended_at IS NULL"))
    op.create_table(
        "rollout_moves",
        sa.Column("rollout_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_rollout_moves_rollout"),
        sa.PrimaryKeyConstraint("rollout_id", "number"),
    )
    op.create_table(
        "endpoint_counts",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("window_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("side", sa.String(length=16), nullable=False),
        sa.Column("rollout_id", sa.String(length=32), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("busy_ms", sa.Double(), nullable=False),
        sa.Column("compared", sa.Integer(), nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("labelled", sa.Integer(), nullable=False),
        sa.Column("right", sa.Integer(), nullable=False),
        sa.Column("latencies", sa.ARRAY(sa.Integer()), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "name", "window_at", "side", "rollout_id", "step"),
    )
    op.create_index("ix_endpoint_counts_rollout", "endpoint_counts", ["rollout_id", "step"], unique=False)
    op.create_index("ix_endpoint_counts_window", "endpoint_counts", ["window_at"], unique=False)
    op.create_table(
        "endpoint_replicas",
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("model_name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("leaving_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_endpoint_replicas_endpoint"),
        sa.PrimaryKeyConstraint("job_id"),
    )
    op.create_index("ix_endpoint_replicas_endpoint", "endpoint_replicas", ["tenant", "name"], unique=False)
    op.create_table(
        "endpoint_scaling",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("servers_max", sa.Integer(), nullable=False),
        sa.Column("parallel_target", sa.Double(), nullable=False),
        sa.Column("idle_seconds", sa.Double(), nullable=True),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_endpoint_scaling_endpoint"),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "request_consents",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["tenant", "name"], ["endpoints.tenant", "endpoints.name"], name="fk_request_consents_endpoint"),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_table(
        "request_log",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("model_name", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_request_log_endpoint", "request_log", ["tenant", "name", "at"], unique=False)
    op.create_index(op.f("ix_request_log_expires_at"), "request_log", ["expires_at"], unique=False)


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("request_log")
    op.drop_table("request_consents")
    op.drop_table("endpoint_scaling")
    op.drop_table("endpoint_replicas")
    op.drop_table("endpoint_counts")
    op.drop_table("rollout_moves")
    op.drop_table("rollouts")
    op.drop_column("endpoints", "asleep")
    op.drop_column("endpoints", "pool")
