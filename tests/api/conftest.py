"""An application over a real database, one for all the tests of a file."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from factory_infra.settings import Settings
from tests.api.house import Doors, open_doors
from tests.databases import fresh_database
from tests.parts import factory_with_slots


@pytest.fixture(scope="module")
def module_url(postgres_url: str) -> str:
    """The address of a fresh, migrated database for a file of tests."""
    return fresh_database(postgres_url, f"api_{uuid.uuid4().hex[:8]}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def doors(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    """The application with two teams; Temporal's address leads nowhere. Tests leave its keys and teams as they are."""
    settings = Settings(home=tmp_path_factory.mktemp("home"), model="none", database_url=SecretStr(module_url))
    factory = factory_with_slots(settings, 6)
    temporal = await Client.connect("127.0.0.1:9", lazy=True, data_converter=pydantic_data_converter)
    opened = await open_doors(factory, temporal)
    yield opened
    await opened.http.aclose()
    await factory.close()
