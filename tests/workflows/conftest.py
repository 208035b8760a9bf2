"""One server a file, and for each test a worker with a script of its own."""

import uuid
from collections.abc import AsyncIterator

import hypothesis
import pytest
import pytest_asyncio
from temporalio.client import Client

from tests.workflows.line import Line, Script, time_skipping, working

hypothesis.settings.register_profile("nightly", deadline=None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[Client]:
    """A client of a server whose clock jumps over waits. Each file has its own: what one leaves holds up no other."""
    async with time_skipping() as connected:
        yield connected


@pytest.fixture
async def line(client: Client) -> AsyncIterator[Line]:
    """A worker at work."""
    script, queue = Script(), f"q-{uuid.uuid4().hex[:8]}"
    async with working(client, script, queue):
        yield Line(client, script, queue)
