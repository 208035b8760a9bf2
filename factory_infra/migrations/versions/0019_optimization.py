"""Optimization: what stood where, how busy it was, decisions about findings, forecasts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = ("capacity_forecasts", "finding_decisions", "slot_activity", "pool_capacity")


def words(name: str, length: int) -> sa.Column:
    """A bounded text that is always there."""
    return sa.Column(name, sa.String(length=length), nullable=False)


def moment(name: str, *, nullable: bool = False) -> sa.Column:
    """A moment with its zone."""
    return sa.Column(name, MOMENT, nullable=nullable)


def document(name: str) -> sa.Column:
    """A column of JSON."""
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "pool_capacity",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        *(words("pool", 64), words("slot_kind", 8), words("accelerator", 64), words("price_class", 16)),
        *(document("slots"), moment("since"), moment("seen_until")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_pool_capacity_pool", "pool_capacity", ["pool", "seen_until"])
    op.create_table(
        "slot_activity",
        *(words("pool", 64), sa.Column("slot", sa.Integer(), nullable=False), moment("hour"), sa.Column("looks", sa.Integer(), nullable=False)),
        *(sa.Column("busy_percent_sum", sa.Float(), nullable=False), sa.Column("busy_percent_max", sa.Float(), nullable=False)),
        sa.PrimaryKeyConstraint("pool", "slot", "hour"),
    )
    op.create_table(
        "finding_decisions",
        *(words("id", 64), words("tenant", 64), words("kind", 32), words("subject", 200), words("decision", 16)),
        *(words("plan_id", 64), sa.Column("attempts", sa.Integer(), nullable=False), words("reason", 400)),
        *(words("decided_by", 160), moment("decided_at"), moment("until", nullable=True)),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_finding_decisions_tenant", "finding_decisions", ["tenant"])
    op.create_table(
        "capacity_forecasts",
        *(words("pool", 64), words("question", 64), moment("made_at"), document("report")),
        sa.PrimaryKeyConstraint("pool", "question"),
    )


def downgrade() -> None:
    """Take the tables away."""
    for table in TABLES:
        op.drop_table(table)
