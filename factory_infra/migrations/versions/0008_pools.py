"""What leases and jobs know of pools."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TEXTS = {"accelerator": (64, ""), "price_class": (16, "on_demand"), "topology": (8, "any"), "machine": (64, ""), "cluster_id": (64, "")}
LISTS = ("devices", "machines", "terms", "renewals")


def upgrade() -> None:
    """Add the columns, and the table of jobs. A lease of before has one term: from its grant to its end."""
    for name, (length, default) in TEXTS.items():
        op.add_column("leases", sa.Column(name, sa.String(length=length), nullable=False, server_default=default))
    for name in LISTS:
        op.add_column("leases", sa.Column(name, JSONB(), nullable=False, server_default="[]"))
    op.add_column("leases", sa.Column("cluster_gone", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute("UPDATE leases SET terms = jsonb_build_array(ceil(extract(epoch FROM expires_at - granted_at))::int)")
    for name in (*TEXTS, *LISTS, "cluster_gone"):
        op.alter_column("leases", name, server_default=None)
    op.create_index(op.f("ix_leases_cluster_gone"), "leases", ["cluster_gone"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("lease_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last", JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    for name in ("pool", "lease_id", "final", "asked_at"):
        op.create_index(op.f(f"ix_jobs_{name}"), "jobs", [name], unique=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_table("jobs")
    op.drop_index(op.f("ix_leases_cluster_gone"), table_name="leases")
    for name in (*TEXTS, *LISTS, "cluster_gone"):
        op.drop_column("leases", name)
