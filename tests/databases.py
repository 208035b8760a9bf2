"""Fresh databases on a server whose own database is migrated: each is a copy of that one."""

import functools

from sqlalchemy import Engine, NullPool, create_engine, text

from factory_infra.database import driver_url

# A copy by the system costs half of one through the server's log, and needs that no one is connected to what is copied.
QUICK = text("SELECT set_config(name, 'clone', false) FROM pg_settings WHERE name = 'file_copy_method' AND 'clone' = ANY (enumvals)")


def fresh_database(server_url: str, name: str) -> str:
    """Make a migrated database of a name and return its address."""
    with _engine(server_url).connect() as connection:
        connection.execute(QUICK)
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE postgres STRATEGY = FILE_COPY"))
    return server_url.replace("/postgres?", f"/{name}?")


@functools.cache
def _engine(server_url: str) -> Engine:
    """What asks a server, without a connection between two questions."""
    return create_engine(driver_url(server_url), isolation_level="AUTOCOMMIT", poolclass=NullPool)
