"""Pipelines: datasets' versions, pipelines' versions, runs, steps, cache, triggers; and studies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from factory_infra.migrations.study_tables import drop_studies, make_studies

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = (
    "pipeline_firings",
    "pipeline_triggers",
    "pipeline_cache",
    "pipeline_steps",
    "pipeline_runs",
    "pipeline_versions",
    "dataset_versions",
)


def words(name: str, length: int) -> sa.Column:
    """A bounded text that is always there."""
    return sa.Column(name, sa.String(length=length), nullable=False)


def number(name: str) -> sa.Column:
    """A whole number."""
    return sa.Column(name, sa.Integer(), nullable=False)


def flag(name: str) -> sa.Column:
    """Yes or no."""
    return sa.Column(name, sa.Boolean(), nullable=False)


def moment(name: str, *, nullable: bool = False) -> sa.Column:
    """A moment with its zone."""
    return sa.Column(name, MOMENT, nullable=nullable)


def document(name: str) -> sa.Column:
    """JSON that is searched and compared."""
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def kept(name: str) -> sa.Column:
    """JSON that comes back as it was written."""
    return sa.Column(name, sa.JSON(), nullable=False)


def upgrade() -> None:
    """Add the tables."""
    make_datasets()
    make_pipelines()
    make_triggers()
    make_studies()


def make_datasets() -> None:
    """Versions of datasets."""
    op.create_table(
        "dataset_versions",
        *(words("tenant", 63), words("name", 40), number("version"), words("digest", 64), words("format", 16), number("rows")),
        *(document("columns"), sa.Column("bytes", sa.BigInteger(), nullable=False), words("description", 400), words("file", 255)),
        *(document("blocks"), words("created_by", 128), moment("created_at")),
        sa.PrimaryKeyConstraint("tenant", "name", "version"),
    )
    op.create_index("ix_dataset_versions_created_at", "dataset_versions", ["created_at"])


def make_pipelines() -> None:
    """Versions, runs, steps, and what steps left."""
    op.create_table(
        "pipeline_versions",
        *(words("tenant", 63), words("name", 40), number("version"), words("digest", 64), kept("document")),
        *(sa.Column("text", sa.Text(), nullable=False), words("file", 200), document("lines"), document("approvals")),
        *(words("created_by", 128), moment("created_at"), moment("retired_at", nullable=True)),
        sa.PrimaryKeyConstraint("tenant", "name", "version"),
    )
    op.create_table(
        "pipeline_runs",
        *(words("id", 64), words("tenant", 63), words("key", 255), words("pipeline", 40), number("version"), words("digest", 64)),
        *(document("parameters"), words("state", 16), words("trigger", 16), words("trigger_id", 64), words("plan_id", 64)),
        *(flag("cache"), words("actor", 128), words("role", 16), words("thread_id", 64), words("code", 64), words("reason", 1000)),
        *(words("remedy", 500), kept("card"), moment("asked_at"), moment("started_at", nullable=True), moment("ended_at", nullable=True)),
        sa.ForeignKeyConstraint(
            ["tenant", "pipeline", "version"], ["pipeline_versions.tenant", "pipeline_versions.name", "pipeline_versions.version"]
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "key"),
    )
    op.create_index("ix_pipeline_runs_asked_at", "pipeline_runs", ["tenant", "asked_at"])
    op.create_index("ix_pipeline_runs_trigger", "pipeline_runs", ["trigger_id", "state"])
    op.create_index("ix_pipeline_runs_state", "pipeline_runs", ["state"])
    op.create_table(
        "pipeline_steps",
        *(words("run_id", 64), words("step", 40), words("tenant", 63), number("place"), words("kind", 16), words("state", 16)),
        *(number("attempt"), words("job_id", 128), words("lease_id", 64), words("cache_key", 64), words("cached_from", 64)),
        *(document("inputs"), document("outputs"), document("result"), kept("card"), words("code", 64), words("reason", 1000)),
        *(words("remedy", 500), moment("started_at", nullable=True), moment("ended_at", nullable=True)),
        sa.ForeignKeyConstraint(["run_id"], ["pipeline_runs.id"]),
        sa.PrimaryKeyConstraint("run_id", "step"),
    )
    op.create_index("ix_pipeline_steps_tenant", "pipeline_steps", ["tenant"])
    op.create_table(
        "pipeline_cache",
        *(words("tenant", 63), words("key", 64), document("outputs"), document("result"), words("run_id", 64)),
        *(moment("created_at"), moment("used_at")),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("ix_pipeline_cache_used_at", "pipeline_cache", ["used_at"])


def make_triggers() -> None:
    """What starts runs by itself, and each time that it did."""
    op.create_table(
        "pipeline_triggers",
        *(words("id", 64), words("tenant", 63), words("pipeline", 40), words("name", 40), words("kind", 16), document("definition")),
        *(flag("enabled"), number("generation"), number("revision"), number("scheduled"), number("cursor")),
        *(words("actor", 128), words("role", 16), moment("created_at")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "pipeline", "name"),
    )
    op.create_index("ix_pipeline_triggers_kind", "pipeline_triggers", ["kind", "enabled"])
    op.create_table(
        "pipeline_firings",
        *(words("trigger_id", 64), words("key", 128), words("tenant", 63), moment("at"), words("outcome", 16)),
        *(words("run_id", 64), words("reason", 500)),
        sa.ForeignKeyConstraint(["trigger_id"], ["pipeline_triggers.id"]),
        sa.PrimaryKeyConstraint("trigger_id", "key"),
    )
    op.create_index("ix_pipeline_firings_at", "pipeline_firings", ["trigger_id", "at"])


def downgrade() -> None:
    """Take the tables away."""
    drop_studies()
    for table in TABLES:
        op.drop_table(table)
