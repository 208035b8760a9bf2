"""Brings a database to this version's schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from factory_infra.database import driver_url
from factory_infra.migrations.walls import raise_walls

FOLDER = Path(__file__).parent
LOCK = 0x4C53  # any constant: one migration at a time, whoever starts it


def upgrade(url: str) -> None:
    """Apply every migration that is missing and put the walls between teams up; idempotent, and safe when two processes start at once.

    Args:
        url: `postgresql://…`. It reaches Alembic as an open connection, so that no password gets into a configuration or a log.
    """
    engine = create_engine(driver_url(url), hide_parameters=True)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
            connection.commit()
            config = Config()
            config.set_main_option("script_location", str(FOLDER))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            raise_walls(connection)
            connection.commit()
    finally:
        engine.dispose()
