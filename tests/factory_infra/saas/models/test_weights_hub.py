"""The publisher's hub, played by a small server."""

import hashlib
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from factory_infra.errors import Unavailable
from factory_infra.saas.models import weights
from factory_infra.saas.models.weights_hub import REACH_SECONDS, HubSource
from factory_infra.saas.models.weights_partial import WeightsSpec

pytestmark = pytest.mark.stack

CONTENT = bytes(range(256)) * 9000
SPEC = WeightsSpec(
    name="hubbed",
    hub_repository="mill/hubbed",
    hub_file="hubbed.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    license="Apache-2.0",
    packages=(),
    packages_version="",
)


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(weights.PINNED, SPEC.name, SPEC)


def hub(ranges: list[str]) -> Starlette:
    """Breaks off in the middle of the first whole download, and serves ranges."""

    async def file(request: Request) -> Response:
        asked = request.headers.get("range", "")
        if request.method == "GET":
            ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-") or 0)
        return Response(CONTENT[start:], status_code=206)

    return Starlette(routes=[Route("/mill/hubbed/resolve/main/hubbed.gguf", file)])


def test_a_broken_download_goes_on_where_it_stopped(serve: Callable[[ASGIApp], str], tmp_path: Path) -> None:
    ranges: list[str] = []
    (tmp_path / ".hubbed.gguf.partial").write_bytes(CONTENT[:70_000])
    path = weights.pull("hubbed", tmp_path, None, [HubSource(serve(hub(ranges)))])
    assert path.read_bytes() == CONTENT
    assert ranges == ["bytes=70000-"]


def test_a_hub_without_the_file_is_no_source(serve: Callable[[ASGIApp], str], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="404"):
        weights.pull("hubbed", tmp_path, None, [HubSource(serve(Starlette()))])


def test_a_silent_hub_is_noticed_in_time(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(Unavailable, match="cannot be reached"):
            weights.pull("hubbed", tmp_path, None, [HubSource(f"http://127.0.0.1:{silent.getsockname()[1]}", reach_seconds=0.5)])
    assert time.monotonic() - started < REACH_SECONDS
