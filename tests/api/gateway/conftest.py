"""One whole gateway for all the tests of a file."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import structlog

from factory_infra.settings import Settings
from tests.api.gateway.real import Real, real


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def whole(module_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    """The whole gateway on a socket, over a fresh database."""
    async with real(Settings(home=tmp_path_factory.mktemp("home"), model="none"), module_url) as running:
        yield running


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged, kept from the terminal: printing a traceback with its variables takes seconds."""
    with structlog.testing.capture_logs() as kept:
        yield kept
