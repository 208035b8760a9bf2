"""Real parts for the tests of this tier: a tracking server."""

import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from factory_infra.database import Base, Database
from factory_infra.paas.training.models import TrainingSpec
from factory_infra.paas.training.programs.tabular import track, train


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh database with every table."""
    database = Database(database_url)
    async with database.engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow server on a free port of the loopback interface."""
    home = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts"), "--serve-artifacts"]
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(argv, env=environment, cwd=home, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_up(url, home / "log.txt")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@pytest.fixture(scope="session")
async def runs(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two finished runs of team vision, by different algorithms."""
    found = []
    for algorithm in ("svm", "k_neighbors"):
        folder = tmp_path_factory.mktemp("run")
        spec = TrainingSpec(tenant="vision", dataset="wine", model_name="taster", algorithm=algorithm, run_key=f"run/{algorithm}")
        found.append((await track(spec, train(spec, folder), mlflow_url, folder)).run_id)
    return found


def wait_until_up(url: str, log: Path, seconds: float = 90.0) -> None:
    """Wait for the health route."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/health", trust_env=False, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"the tracking server did not come up: {log.read_text()[-2000:]}")
