"""Organisations, projects, members, roles, the audit log and quotas by pool."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

REFUSE = (
    "CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit log is only ever added to' USING ERRCODE = 'insufficient_privilege'; END $$"
)
ROWS = "CREATE TRIGGER audit_log_rows BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()"
WHOLE = "CREATE TRIGGER audit_log_whole BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_log_refuse()"


def upgrade() -> None:
    """Add the tables, and what belongs to teams and keys."""
    op.create_table("organisations", name(), title(), revised(), moment("created_at"), sa.PrimaryKeyConstraint("name"))
    op.add_column("tenants", sa.Column("title", sa.String(length=200), server_default="", nullable=False))
    op.add_column("tenants", sa.Column("organisation", sa.String(length=64), nullable=True))
    op.add_column("tenants", sa.Column("revision", sa.Integer(), server_default="1", nullable=False))
    op.add_column("tenants", moment("closed_at", nullable=True))
    op.create_foreign_key("fk_tenants_organisation", "tenants", "organisations", ["organisation"], ["name"])
    op.create_index(op.f("ix_tenants_organisation"), "tenants", ["organisation"], unique=False)
    for column in ("custom_role", "account"):
        op.add_column("api_keys", sa.Column(column, sa.String(length=64), server_default="", nullable=False))
    projects_and_accounts()
    roles_and_members()
    op.create_table(
        "pool_quotas",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("accelerator", sa.String(length=64), nullable=False),
        sa.Column("slots_max", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "pool", "accelerator"),
    )
    audit_log()


def projects_and_accounts() -> None:
    """Add what belongs to a team."""
    key = sa.PrimaryKeyConstraint("tenant", "name")
    op.create_table("projects", *team(), name(), title(), revised(), moment("created_at"), key)
    op.create_table(
        "service_accounts",
        *team(),
        name(),
        title(),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("created_by", sa.String(length=160), nullable=False),
        moment("created_at"),
        moment("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("tenant", "name"),
    )


def roles_and_members() -> None:
    """Add who may what, where."""
    op.create_table(
        "custom_roles",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("organisation", sa.String(length=64), nullable=True),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        name(),
        title(),
        sa.Column("counts_as", sa.String(length=16), nullable=False),
        sa.Column("permissions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        revised(),
        moment("created_at"),
        sa.ForeignKeyConstraint(["organisation"], ["organisations.name"]),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("organisation", "tenant", "name", name="uq_custom_roles_name", postgresql_nulls_not_distinct=True),
    )
    op.create_index(op.f("ix_custom_roles_tenant"), "custom_roles", ["tenant"], unique=False)
    place = ("subject", "organisation", "tenant", "project", "source")
    op.create_table(
        "members",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        title(),
        sa.Column("organisation", sa.String(length=64), nullable=True),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=8), nullable=False),
        sa.Column("added_by", sa.String(length=160), nullable=False),
        moment("created_at"),
        sa.ForeignKeyConstraint(["organisation"], ["organisations.name"]),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(*place, name="uq_members_place", postgresql_nulls_not_distinct=True),
    )
    for column in ("organisation", "subject", "tenant"):
        op.create_index(op.f(f"ix_members_{column}"), "members", [column], unique=False)


def audit_log() -> None:
    """Add the log, and what refuses to change it."""
    widths = {
        "actor": 160,
        "door": 16,
        "action": 160,
        "object": 300,
        "outcome": 40,
        "before": 64,
        "after": 64,
        "previous": 64,
        "digest": 64,
    }
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        moment("at"),
        sa.Column("tenant", sa.String(length=64), nullable=True),
        *(sa.Column(column, sa.String(length=width), nullable=False) for column, width in widths.items()),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"], unique=False)
    op.create_index("ix_audit_log_tenant_seq", "audit_log", ["tenant", "seq"], unique=False)
    for statement in (REFUSE, ROWS, WHOLE):
        op.execute(statement)


def team() -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    """The team that a thing belongs to."""
    return sa.Column("tenant", sa.String(length=64), nullable=False), sa.ForeignKeyConstraint(["tenant"], ["tenants.name"])


def name() -> sa.Column[str]:
    """The name that a thing is found by."""
    return sa.Column("name", sa.String(length=64), nullable=False)


def title() -> sa.Column[str]:
    """What people call it, in any script."""
    return sa.Column("title", sa.String(length=200), nullable=False)


def revised() -> sa.Column[int]:
    """How often it was changed."""
    return sa.Column("revision", sa.Integer(), nullable=False)


def moment(column: str, *, nullable: bool = False) -> sa.Column[object]:
    """A moment with its zone."""
    return sa.Column(column, sa.DateTime(timezone=True), nullable=nullable)


def downgrade() -> None:
    """Remove them again."""
    op.drop_table("audit_log")
    op.execute("DROP FUNCTION audit_log_refuse()")
    for table in ("pool_quotas", "members", "custom_roles", "service_accounts", "projects"):
        op.drop_table(table)
    for column in ("account", "custom_role"):
        op.drop_column("api_keys", column)
    op.drop_constraint("fk_tenants_organisation", "tenants", type_="foreignkey")
    op.drop_index(op.f("ix_tenants_organisation"), table_name="tenants")
    for column in ("closed_at", "revision", "organisation", "title"):
        op.drop_column("tenants", column)
    op.drop_table("organisations")
