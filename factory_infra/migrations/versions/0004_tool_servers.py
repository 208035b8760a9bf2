"""Tool servers of others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "tool_servers",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        sa.Column("url", sa.String(length=400), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("described", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("approved_digest", sa.String(length=64), nullable=False),
        sa.Column("pinned", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("effects", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("added_by", sa.String(length=128), nullable=False),
        sa.Column("approved_by", sa.String(length=128), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_tool_servers_tenant"), "tool_servers", ["tenant"], unique=False)


def downgrade() -> None:
    """Remove the table."""
    op.drop_index(op.f("ix_tool_servers_tenant"), table_name="tool_servers")
    op.drop_table("tool_servers")
