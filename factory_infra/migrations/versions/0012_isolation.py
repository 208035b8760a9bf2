"""Audits of the walls between tenants."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "isolation_audits",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("attacker", sa.String(length=64), nullable=False),
        sa.Column("victim", sa.String(length=64), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holds", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.String(length=128), nullable=False),
        sa.Column("report", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    for column in ("at", "attacker", "pool", "victim"):
        op.create_index(op.f(f"ix_isolation_audits_{column}"), "isolation_audits", [column], unique=False)


def downgrade() -> None:
    """Remove the tables."""
    for column in ("victim", "pool", "attacker", "at"):
        op.drop_index(op.f(f"ix_isolation_audits_{column}"), table_name="isolation_audits")
    op.drop_table("isolation_audits")
