"""The tables of studies and their trials, as migration 0018 makes them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

MOMENT = sa.DateTime(timezone=True)


def words(name: str, length: int) -> sa.Column[str]:
    """A bounded text that is always there."""
    return sa.Column(name, sa.String(length=length), nullable=False)


def document(name: str) -> sa.Column[object]:
    """A column of JSON that keeps its numbers and its order."""
    return sa.Column(name, sa.JSON(), nullable=False)


def make_studies() -> None:
    """Add the tables."""
    op.create_table(
        "studies",
        *(words("tenant", 63), words("id", 64), words("key", 255), words("name", 63)),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        *(words("state", 16), words("lease_id", 64), words("plan_id", 64), words("run_id", 64), words("run_url", 512)),
        sa.Column("best_number", sa.Integer(), nullable=True),
        sa.Column("best_value", sa.Float(), nullable=True),
        *(words("code", 64), words("reason", 1000), words("created_by", 128)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
        sa.UniqueConstraint("key", name="uq_studies_key"),
    )
    op.create_index("ix_studies_tenant_created_at", "studies", ["tenant", "created_at"])
    op.create_index("ix_studies_state", "studies", ["state"])
    op.create_index("ix_studies_lease_id", "studies", ["lease_id"])
    op.create_table(
        "study_trials",
        *(words("tenant", 63), words("study_id", 64), sa.Column("number", sa.Integer(), autoincrement=False, nullable=False)),
        *(words("state", 16), document("parameters"), sa.Column("value", sa.Float(), nullable=True)),
        *(document("reports"), document("rungs"), words("job_id", 128)),
        sa.Column("slots", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        *(words("run_id", 64), sa.Column("starts", sa.Integer(), nullable=False), words("code", 64), words("reason", 1000)),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "study_id", "number"),
        sa.ForeignKeyConstraint(["tenant", "study_id"], ["studies.tenant", "studies.id"], ondelete="CASCADE"),
    )


def drop_studies() -> None:
    """Take the tables away."""
    op.drop_table("study_trials")
    op.drop_table("studies")
