"""Catalog: what is found by whom, documents, lineage, access."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
NEW = ("version", "owner", "tags", "badges", "visibility", "access", "blueprint", "organisation", "name_key", "words", "indexed_in")
INDEXES = ("words", "name_key", "kind_name", "stale")
FOLLOW = """
CREATE FUNCTION catalog_of_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.organisation := (SELECT organisation FROM tenants WHERE name = NEW.tenant);
    RETURN NEW;
END $$
"""
MOVE = """
CREATE FUNCTION catalog_follows_team() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.organisation IS DISTINCT FROM OLD.organisation THEN
        UPDATE catalog_entries SET organisation = NEW.organisation, updated_at = clock_timestamp() WHERE tenant = NEW.name;
        PERFORM pg_notify('lineshaft_catalog', NEW.name);
    END IF;
    IF NEW.closed_at IS NOT NULL AND OLD.closed_at IS NULL THEN
        UPDATE catalog_entries SET removed_at = clock_timestamp(), updated_at = clock_timestamp()
            WHERE tenant = NEW.name AND removed_at IS NULL;
        PERFORM pg_notify('lineshaft_catalog', NEW.name);
    END IF;
    RETURN NULL;
END $$
"""


def words(name: str, length: int | None = None, default: str | None = None, *, nullable: bool = False) -> sa.Column:
    """A text."""
    return sa.Column(name, sa.String(length=length), nullable=nullable, server_default=default)


def upgrade() -> None:
    """Add columns and tables; what is there is indexed anew."""
    widen_entries()
    make_tables()
    op.execute(FOLLOW)
    op.execute(
        "CREATE TRIGGER catalog_of_team BEFORE INSERT OR UPDATE OF tenant ON catalog_entries "
        "FOR EACH ROW EXECUTE FUNCTION catalog_of_team()"
    )
    op.execute(MOVE)
    op.execute(
        "CREATE TRIGGER catalog_follows_team AFTER UPDATE OF organisation, closed_at ON tenants "
        "FOR EACH ROW EXECUTE FUNCTION catalog_follows_team()"
    )
    op.execute("UPDATE catalog_entries SET organisation = tenants.organisation FROM tenants WHERE tenants.name = catalog_entries.tenant")
    op.execute("UPDATE catalog_entries SET indexed_at = NULL")


def widen_entries() -> None:
    """Who answers for an entry, how it is judged, who sees it, and the words that it is found by."""
    table = "catalog_entries"
    for column in (
        *(words("version", default=""), words("owner", default="")),
        *(sa.Column(name, postgresql.JSONB(), nullable=False, server_default="[]") for name in ("tags", "badges", "indexed_in")),
        *(words("visibility", 16, "team"), words("access", 16, "open")),
        *(sa.Column("blueprint", postgresql.JSONB(), nullable=True), words("organisation", 64, nullable=True)),
        *(words("name_key", default=""), sa.Column("words", postgresql.TSVECTOR(), nullable=False, server_default="")),
    ):
        op.add_column(table, column)
    op.create_index("catalog_entries_words", table, ["words"], postgresql_using="gin", postgresql_with={"fastupdate": "off"})
    op.create_index("catalog_entries_name_key", table, ["name_key"])
    op.create_index("catalog_entries_kind_name", table, ["kind", "name", "id"])
    behind = sa.text("indexed_at IS NULL OR indexed_at < updated_at")
    op.create_index("catalog_entries_stale", table, ["updated_at"], postgresql_where=behind)


def make_tables() -> None:
    """Documents, edges, requests."""
    op.create_table(
        "catalog_documents",
        *(words("entry_id"), words("tenant", 64), sa.Column("text", sa.Text(), nullable=False), words("digest", 64)),
        sa.Column("written_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("entry_id"),
    )
    op.create_index("ix_catalog_documents_tenant", "catalog_documents", ["tenant"])
    op.create_table(
        "lineage_edges",
        *(words("tenant", 64), words("source", 300), words("target", 300), words("how", 40)),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "source", "target"),
    )
    op.create_index("lineage_edges_target", "lineage_edges", ["tenant", "target"])
    op.create_table(
        "catalog_requests",
        *(words("id", 64), words("tenant", 64), words("owner_tenant", 64), words("entry_id", 300), words("entry_name", 200)),
        *(words("state", 16), words("reason", 1000), sa.Column("days", sa.Integer(), nullable=False), words("asked_by", 160)),
        *(sa.Column("asked_at", MOMENT, nullable=False), sa.Column("decide_by", MOMENT, nullable=False), words("decided_by", 160)),
        *(sa.Column("decided_at", MOMENT, nullable=True), words("decision", 1000), sa.Column("expires_at", MOMENT, nullable=True)),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("catalog_requests_tenant_at", "catalog_requests", ["tenant", "asked_at"])
    op.create_index("catalog_requests_owner_at", "catalog_requests", ["owner_tenant", "asked_at"])
    op.create_index("catalog_requests_entry", "catalog_requests", ["entry_id", "tenant"])


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP TRIGGER catalog_follows_team ON tenants")
    op.execute("DROP TRIGGER catalog_of_team ON catalog_entries")
    op.execute("DROP FUNCTION catalog_follows_team()")
    op.execute("DROP FUNCTION catalog_of_team()")
    for policy in ("lineshaft_own", "lineshaft_shown"):  # they name what goes; the next upgrade raises them anew
        op.execute(f"DROP POLICY IF EXISTS {policy} ON catalog_entries")
        op.execute(f"DROP POLICY IF EXISTS {policy} ON catalog_documents")
    for table in ("catalog_requests", "lineage_edges", "catalog_documents"):
        op.drop_table(table)
    for name in INDEXES:
        op.drop_index(f"catalog_entries_{name}", "catalog_entries")
    for name in NEW:
        op.drop_column("catalog_entries", name)
