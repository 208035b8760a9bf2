"""Leases that wait for their slots, and jobs that wait for such a lease."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. A lease of before wanted what it has."""
    added = (
        sa.Column("queue", sa.String(length=200), nullable=False, server_default=""),
        sa.Column("slots_wanted", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("wanted", JSONB(), nullable=False, server_default="{}"),
        sa.Column("waiting", JSONB(), nullable=False, server_default="{}"),
    )
    for column in added:
        op.add_column("leases", column)
    op.execute("UPDATE leases SET slots_wanted = jsonb_array_length(slots)")
    for column in added:
        op.alter_column("leases", column.name, server_default=None)
    op.add_column("leases", sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("leases", sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("jobs", sa.Column("held", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.alter_column("jobs", "held", server_default=None)


def downgrade() -> None:
    """Remove the columns. Leases that wait are ended: before, there was no word for them."""
    op.execute("UPDATE leases SET state = 'refused', ended_at = granted_at WHERE state = 'queued'")
    op.drop_column("jobs", "held")
    for name in ("give_up_at", "asked_at", "waiting", "wanted", "slots_wanted", "queue"):
        op.drop_column("leases", name)
