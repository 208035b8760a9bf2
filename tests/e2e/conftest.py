"""One stack for all end-to-end tests, without a model: the path that must always work."""

from collections.abc import Iterator

import pytest

from api.client import ApiClient
from tests.live import LiveStack


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A running stack with team vision."""
    stack = LiveStack(tmp_path_factory.mktemp("live"))
    stack.start()
    try:
        with stack.client() as client:
            client.post("/v1/tenants", {"name": "vision", "quota_slots": 2, "budget": "5"})
            client.post("/v1/tenants", {"name": "language", "quota_slots": 1, "budget": "5"})
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def client(live: LiveStack) -> Iterator[ApiClient]:
    """A client with the administrator's key."""
    with live.client() as opened:
        yield opened
