"""Results of checks and burn-ins, node by node."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "validation_burn_ins",
        sa.Column("job_id", sa.String(length=128), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("machine_type", sa.String(length=255), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "tenant", "rank"),
    )
    op.create_index(op.f("ix_validation_burn_ins_machine_type"), "validation_burn_ins", ["machine_type"], unique=False)
    op.create_index("ix_validation_burn_ins_pool_node_at", "validation_burn_ins", ["pool", "node", "at"], unique=False)
    op.create_table(
        "validation_nodes",
        sa.Column("pool", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=255), nullable=False),
        sa.Column("fitness", sa.String(length=16), nullable=False),
        sa.Column("judged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("verdict", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("pool", "node"),
    )
    op.create_index(op.f("ix_validation_nodes_fitness"), "validation_nodes", ["fitness"], unique=False)


def downgrade() -> None:
    """Remove the tables, and with them what was measured."""
    op.drop_index(op.f("ix_validation_nodes_fitness"), table_name="validation_nodes")
    op.drop_table("validation_nodes")
    op.drop_index("ix_validation_burn_ins_pool_node_at", table_name="validation_burn_ins")
    op.drop_index(op.f("ix_validation_burn_ins_machine_type"), table_name="validation_burn_ins")
    op.drop_table("validation_burn_ins")
