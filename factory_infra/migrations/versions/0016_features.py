"""Features and drift."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
TABLES = ("drift_alerts", "drift_checks", "drift_monitors", "feature_sets", "feature_batches", "feature_values", "feature_views")


def document(name: str) -> sa.Column:
    """A column of JSON that is searched and compared."""
    return sa.Column(name, postgresql.JSONB(astext_type=sa.Text()), nullable=False)


def words(name: str, length: int) -> sa.Column:
    """A bounded text that is always there."""
    return sa.Column(name, sa.String(length=length), nullable=False)


def moment(name: str, *, nullable: bool = False) -> sa.Column:
    """A moment with its zone."""
    return sa.Column(name, MOMENT, nullable=nullable)


def number(name: str) -> sa.Column:
    """A whole number."""
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    """Add the tables."""
    make_features()
    make_drift()


def make_features() -> None:
    """Views, their values, their writes, training sets."""
    op.create_table(
        "feature_views",
        *(words("tenant", 63), words("name", 40), number("version"), document("definition"), words("digest", 64)),
        *(words("provider", 63), words("created_by", 128), moment("created_at"), moment("retired_at", nullable=True)),
        sa.PrimaryKeyConstraint("tenant", "name", "version"),
    )
    op.create_index("ix_feature_views_digest", "feature_views", ["tenant", "name", "digest"])
    op.create_table(
        "feature_values",
        *(words("tenant", 63), words("view", 40), number("version"), words("entity", 1024)),
        sa.Column("features", sa.JSON(), nullable=False),
        *(moment("event_at"), moment("written_at")),
        sa.PrimaryKeyConstraint("tenant", "view", "version", "entity"),
    )
    op.create_table(
        "feature_batches",
        *(words("tenant", 63), words("key", 255), words("id", 64), words("view", 40), number("version"), number("rows")),
        *(moment("first_event_at"), moment("last_event_at"), moment("written_at")),
        *(words("digest", 64), words("part", 255), words("part_digest", 64), sa.Column("online", sa.Boolean(), nullable=False)),
        sa.ForeignKeyConstraint(["tenant", "view", "version"], ["feature_views.tenant", "feature_views.name", "feature_views.version"]),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.create_index("ix_feature_batches_view", "feature_batches", ["tenant", "view", "version", "written_at"])
    op.create_table(
        "feature_sets",
        *(words("id", 64), words("tenant", 63), words("key", 255), words("digest", 64), number("rows"), document("features")),
        *(words("label", 128), document("views"), sa.Column("complete", sa.Float(), nullable=False), document("request")),
        *(words("path", 512), words("created_by", 128), moment("created_at")),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    op.create_index("ix_feature_sets_tenant_created_at", "feature_sets", ["tenant", "created_at"])


def make_drift() -> None:
    """What is watched, what was found, and what is open."""
    op.create_table(
        "drift_monitors",
        *(words("tenant", 63), words("name", 40), document("definition"), number("revision")),
        *(sa.Column("enabled", sa.Boolean(), nullable=False), moment("due_at"), moment("checked_at", nullable=True)),
        *(words("verdict", 16), words("created_by", 128), moment("updated_at")),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )
    op.create_index("ix_drift_monitors_due_at", "drift_monitors", ["due_at"])
    op.create_table(
        "drift_checks",
        *(words("id", 64), words("tenant", 63), words("monitor", 40), moment("at"), words("verdict", 16), document("report")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drift_checks_monitor", "drift_checks", ["tenant", "monitor", "at"])
    op.create_table(
        "drift_alerts",
        *(words("id", 64), words("tenant", 63), words("monitor", 40), words("check_id", 64), words("reason", 1000)),
        *(words("plan_id", 64), moment("opened_at"), moment("closed_at", nullable=True), words("closed_because", 400)),
        sa.PrimaryKeyConstraint("id"),
    )
    there = sa.text("closed_at IS NULL")
    op.create_index("ix_drift_alerts_open", "drift_alerts", ["tenant", "monitor"], unique=True, postgresql_where=there)
    op.create_index("ix_drift_alerts_tenant_opened_at", "drift_alerts", ["tenant", "opened_at"])


def downgrade() -> None:
    """Remove the tables."""
    for table in TABLES:
        op.drop_table(table)
