"""Prompts and answers that a team asked to have kept."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "model_retention",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("set_by", sa.String(length=128), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "model_transcripts",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=24), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_model_transcripts_tenant_at", "model_transcripts", ["tenant", "at"], unique=False)
    op.create_index(op.f("ix_model_transcripts_expires_at"), "model_transcripts", ["expires_at"], unique=False)


def downgrade() -> None:
    """Remove the tables, and with them what was kept."""
    op.drop_index(op.f("ix_model_transcripts_expires_at"), table_name="model_transcripts")
    op.drop_index("ix_model_transcripts_tenant_at", table_name="model_transcripts")
    op.drop_table("model_transcripts")
    op.drop_table("model_retention")
