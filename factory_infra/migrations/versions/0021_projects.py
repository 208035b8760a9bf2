"""Projects: which part of a team's work a lease, a job, a plan and a conversation are charged to."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SEARCHED = ("leases", "jobs", "plans")
"""Where one looks for what a project has."""


def upgrade() -> None:
    """Add the column; what was there before belongs to no project."""
    for table in (*SEARCHED, "threads"):
        op.add_column(table, sa.Column("project", sa.String(length=64), server_default="", nullable=False))
    for table in SEARCHED:
        op.create_index(f"ix_{table}_project", table, ["tenant", "project"], unique=False)


def downgrade() -> None:
    """Take it away."""
    for table in SEARCHED:
        op.drop_index(f"ix_{table}_project", table_name=table)
    for table in (*SEARCHED, "threads"):
        op.drop_column(table, "project")
