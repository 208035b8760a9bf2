"""Keys with a project, models, scopes and a rotation that overlaps."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what a key is bound to; a key made before may do what it could: everything that its role may."""
    op.add_column("api_keys", sa.Column("project", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("api_keys", sa.Column("models", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column(
        "api_keys",
        sa.Column("scopes", postgresql.JSONB(astext_type=sa.Text()), nullable=False, server_default='["gateway", "manage"]'),
    )
    op.add_column("api_keys", sa.Column("digest_old", sa.String(length=64), nullable=True))
    op.add_column("api_keys", sa.Column("old_until", sa.DateTime(timezone=True), nullable=True))
    op.alter_column("api_keys", "project", server_default=None)
    op.alter_column("api_keys", "scopes", server_default=None)
    op.create_index("ix_api_keys_created_at", "api_keys", ["created_at", "id"], unique=False)


def downgrade() -> None:
    """Remove it. Keys that were used since have digests that an earlier version cannot check: make them anew."""
    op.drop_index("ix_api_keys_created_at", table_name="api_keys")
    for name in ("old_until", "digest_old", "scopes", "models", "project"):
        op.drop_column("api_keys", name)
