"""A process that does a pass, says so when it has granted and before that is committed, and then hangs."""

import asyncio
import sys
import time

from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.iaas.leases import granting
from factory_infra.iaas.leases.granting import Granting, Ground, Passed
from factory_infra.iaas.leases.service import Leases
from tests.factory_infra.iaas.leases.test_queue import GpuPools


async def main(url: str, patience: str) -> None:
    """Do the pass."""
    granting.HANG_SECONDS_MAX = int(patience)
    leases = Leases(Database(url), GpuPools())
    whole = Granting.run

    async def hanging(self: Granting, session: AsyncSession, ground: Ground) -> Passed:
        passed = await whole(self, session, ground)
        await session.flush()
        sys.stdout.write(f"granted {len(passed.granted)}\n")
        sys.stdout.flush()
        time.sleep(600)  # noqa: ASYNC251  (it hangs, as a process does that is stopped)
        return passed

    Granting.run = hanging  # type: ignore[method-assign]
    await leases.grant_waiting()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
