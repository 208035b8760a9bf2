"""The walls of this host as a house: an installation of its own below a folder of the test."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from factory_infra.foundation.pools.spec import LocalPool
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.providers.local import LocalWalls
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.iaas.jobs.providers.walls_local import available
from factory_infra.settings import Settings
from tests.contract.houses import NotHere


class WallsHouse:
    """Two tenants of this host."""

    attacker, victim = "vision", "speech"
    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self._part = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{self._part.getsockname()[1]}"
        self._settings = Settings(home=folder / "home", model="none", temporal_address=address)
        self.walls: Walls = LocalWalls(LocalPool(name="local"), self._settings)

    @property
    def removable(self) -> tuple[str, ...]:
        """Those that this host can have, a Unix user aside: the pool of the test has none."""
        return tuple(name for name in ("files", "processes", "listing", "ports", "capabilities") if name not in available())

    async def __aenter__(self) -> "WallsHouse":
        if "files" in available():
            raise NotHere(available()["files"])
        self._settings.secrets_dir.mkdir(parents=True)
        (self._settings.secrets_dir / "admin.key").write_text("a key", encoding="utf-8")
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.to_thread(stop_all, self._settings.jobs_dir)
        self._part.close()

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[Walls]:
        """The same installation, its pool with one wall down."""
        yield LocalWalls(LocalPool.model_validate({"name": "local", "walls_off": [name]}), self._settings)
