"""Alembic's entry: runs migrations on the connection that `run.upgrade` opened."""

from alembic import context

from factory_infra.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
