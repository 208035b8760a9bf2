"""A real Chroma server, and embeddings that are quick and plain."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from factory_infra.saas.models.minilm import MiniLM

START_SECONDS_MAX = 60.0


class OwnEmbeddings:
    """The real model in this process; counts the texts that it was given."""

    def __init__(self) -> None:
        self._minilm = MiniLM()
        self.texts = 0

    async def embed(self, texts: list[str]) -> list[list[float]]:
        self.texts += len(texts)
        vectors: list[list[float]] = self._minilm.embed(texts).vectors.tolist()
        return vectors


@pytest.fixture(scope="session")
def embeddings() -> OwnEmbeddings:
    return OwnEmbeddings()


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Chroma server with an empty folder."""
    folder = tmp_path_factory.mktemp("chroma")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chroma = Path(sys.executable).parent / "chroma"
    command = [str(chroma), "run", "--host", "127.0.0.1", "--port", str(port), "--path", str(folder)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while not _up(url):
            assert process.poll() is None, "Chroma ended"
            assert time.monotonic() < deadline, "Chroma did not start"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/heartbeat", trust_env=False).is_success
    except httpx.TransportError:
        return False
