"""One of several processes that lease and release slots of one pool as quickly as they can: python -m benchmarks.machines.leaser."""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from pydantic import SecretStr

from factory_infra.errors import CapacityExceeded
from factory_infra.factory import Factory, connect
from factory_infra.settings import Settings
from tools.leases import AcquireArguments, ReleaseArguments, acquire, release
from tools.spec import ToolContext

AT_ONCE = 8
NOWHERE = "http://127.0.0.1:9"
WAIT_SECONDS_MAX = 0.05
TEAM = "mill"


def factory_of(url: str, home: Path) -> Factory:
    """A factory on a database; what needs another server is not connected."""
    settings = Settings(
        home=home, model="none", database_url=SecretStr(url), mlflow_url=NOWHERE, chroma_url=NOWHERE, model_server_url=NOWHERE
    )
    settings.model_server_key = SecretStr("none")
    return connect(settings)


async def one(factory: Factory, name: str) -> tuple[int, float]:
    """Lease one slot and give it back; return how often it was refused before, and the seconds of the two calls."""
    refused = 0
    while True:
        context = ToolContext(factory, TEAM, "benchmark", f"{name}/{refused}")
        began = time.perf_counter()
        try:
            granted = await acquire(context, AcquireArguments(slots=1, seconds=600))
        except CapacityExceeded:
            refused += 1
            await asyncio.sleep(random.uniform(0, WAIT_SECONDS_MAX))  # noqa: S311 - no secret
            continue
        taken = time.perf_counter() - began
        began = time.perf_counter()
        await release(context, ReleaseArguments(lease_id=granted.lease_id))
        return refused, taken + time.perf_counter() - began


async def main(url: str, home: Path, number: int, count: int) -> None:
    """Take and give back so many leases, some at a time."""
    factory = factory_of(url, home)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def bounded(index: int) -> tuple[int, float]:
        async with at_once:
            return await one(factory, f"leaser-{number}-{index}")

    done = await asyncio.gather(*(bounded(index) for index in range(count)))
    await factory.close()
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
