"""A tracking server for the time of one measurement."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.gateway.ground import end, free_port

START_SECONDS_MAX = 300.0


@contextmanager
def tracking_server(home: Path) -> Iterator[str]:
    """A real MLflow server in an empty folder; yields its address, and ends with the block."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    argv = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts"), "--serve-artifacts"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, cwd=home, stdout=log, stderr=log, text=True)
    url, began = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while not answers(url):
            assert time.monotonic() - began < START_SECONDS_MAX and process.poll() is None, (home / "log.txt").read_text()[-1000:]
            time.sleep(0.2)
        yield url
    finally:
        end(process)


def answers(url: str) -> bool:
    """Whether the server is up."""
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=2).is_success
    except httpx.TransportError:
        return False
