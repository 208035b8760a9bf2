"""The servers that a search of the catalog needs: PostgreSQL, Chroma and the model server, each a process of its own as in the stack."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from evals.database import postgres
from factory_infra.factory import Factory, connect
from factory_infra.iaas.jobs.providers.order import free_port
from factory_infra.settings import Settings

START_SECONDS_MAX = 120.0


@contextmanager
def served(command: list[str], url: str, folder: Path) -> Iterator[None]:
    """A process that answers at an address; it ends with the block."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + START_SECONDS_MAX
    try:
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[-1]} did not start")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def answers(url: str) -> bool:
    """Whether anything is there."""
    try:
        httpx.get(url, timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


@contextmanager
def installation(folder: Path) -> Iterator[Factory]:
    """Everything up, and the product's own factory over it; all of it ends with the block."""
    chroma, models = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    key = "of-these-servers-only"
    where = ["run", "--path", str(folder / "chroma"), "--host", "127.0.0.1", "--port", chroma.rpartition(":")[2]]
    told = {"URL": models, "KEY": key}
    known = [
        f"LINESHAFT_HOME={folder}",
        "LINESHAFT_MODEL=none",
        *(f"LINESHAFT_MODEL_SERVER_{name}={value}" for name, value in told.items()),
    ]
    with (
        postgres(folder / "pg") as url,
        served([sys.executable, "-m", "cli.stack.chroma_server", *where], f"{chroma}/api/v2/heartbeat", folder),
        served(["env", *known, sys.executable, "-m", "factory_infra.saas.models.server"], models, folder),
    ):
        yield connect(
            Settings(
                home=folder,
                model="none",
                database_url=SecretStr(url),
                chroma_url=chroma,
                model_server_url=models,
                model_server_key=SecretStr(key),
                mlflow_url="http://127.0.0.1:9",
            )
        )
