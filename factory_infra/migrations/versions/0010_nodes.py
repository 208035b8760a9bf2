"""Nodes, their health and their failures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "nodes",
        sa.Column("pool", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("health", sa.String(length=16), nullable=False),
        sa.Column("health_since", moment, nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("machine_id", sa.String(length=120), nullable=False),
        sa.Column("cluster_id", sa.String(length=120), nullable=False),
        sa.Column("beside", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("replaced_by", sa.String(length=128), nullable=False),
        sa.Column("first_seen_at", moment, nullable=False),
        sa.Column("heartbeat_at", moment, nullable=True),
        sa.PrimaryKeyConstraint("pool", "name"),
    )
    op.create_index("ix_nodes_health", "nodes", ["health"])
    op.create_index("ix_nodes_heartbeat_at", "nodes", ["heartbeat_at"])
    op.create_table(
        "node_events",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("recovered", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("accelerator", sa.Integer(), nullable=True),
        sa.Column("uuid", sa.String(length=120), nullable=False),
        sa.Column("words", sa.String(length=400), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("received_at", moment, nullable=False),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_node_events_node", "node_events", ["pool", "node", "received_at"])
    op.create_table(
        "node_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("was", sa.String(length=16), nullable=False),
        sa.Column("now", sa.String(length=16), nullable=False),
        sa.Column("trigger", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("actor", sa.String(length=128), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_node_moves_node", "node_moves", ["pool", "node", "id"])
    op.create_table(
        "node_incidents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=40), nullable=False),
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=400), nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("closed_at", moment, nullable=True),
        sa.Column("plan_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["pool", "node"], ["nodes.pool", "nodes.name"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_node_incidents_open", "node_incidents", ["pool", "node"], unique=True, postgresql_where=sa.text("closed_at IS NULL"))
    op.create_index("ix_node_incidents_node", "node_incidents", ["pool", "node", "opened_at"])


def downgrade() -> None:
    """Remove the tables."""
    for name in ("node_incidents", "node_moves", "node_events", "nodes"):
        op.drop_table(name)
