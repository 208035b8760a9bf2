"""The walls of a simulated pool as a house: its programs run on this host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar, cast

from factory_infra.foundation.pools.spec import TwinPool, WallName
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.providers.twin import TwinWalls
from factory_infra.iaas.jobs.providers.local import stop_all
from tests.contract.local_walls import WallsHouse as LocalWallsHouse


class WallsHouse(LocalWallsHouse):
    """Two tenants of a simulated pool."""

    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._pool = TwinPool(name="twin")
        self.walls: Walls = TwinWalls(self._pool, self._settings)

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(stop_all, self._settings.home / "twin" / self._pool.name / "jobs")
        self._part.close()

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[Walls]:
        """The same installation, with one wall around programs left down."""
        yield TwinWalls(self._pool, self._settings, (cast("WallName", name),))
