"""Projects: whose part of a team's work leases, jobs and plans are."""

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""


def downgrade() -> None:
    """Take them away."""
