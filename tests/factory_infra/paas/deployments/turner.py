"""A process that turns roll-outs, to be killed: `python -m tests.factory_infra.paas.deployments.turner DATABASE HOME`."""

import asyncio
import sys
from pathlib import Path

from factory_infra.database import Database
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollouts import Rollouts
from tests.tiny_onnx import TinyRegistry

LOOK_SECONDS = 0.1


def deployments_at(database: Database, home: Path) -> LocalDeployments:
    """The endpoints of a home, with tiny models."""
    return LocalDeployments(database, TinyRegistry(), LocalJobs(home / "jobs"), home / "endpoints", "http://127.0.0.1:8400")


async def main(database_url: str, home: str) -> None:
    """Turn for ever."""
    database = Database(database_url)
    rollouts = Rollouts(database, deployments_at(database, Path(home)))
    while True:
        for name in await rollouts.open_ids():
            await rollouts.turn(name)
        await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
