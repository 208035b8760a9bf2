"""The walls of a real Slurm as a house: two teams, each with an account and a Unix account."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.providers.slurm import SlurmWalls
from factory_infra.settings import Settings
from tests.contract.houses import NotHere
from tests.engines.slurm.cluster import missing
from tests.engines.slurm.shared import shared_cluster, work_folder


class WallsHouse:
    """The cluster of the session; its queue is private."""

    attacker, victim = "walls-vision", "walls-speech"
    lacks: ClassVar[dict[str, str]] = {}
    removable = ("slurm_account", "unix_user", "job_folders", "private_data")

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(home=folder, model="none")

    async def __aenter__(self) -> "WallsHouse":
        why = missing()
        if why:
            raise NotHere(why)
        self._cluster = await asyncio.to_thread(shared_cluster)
        self._pool = self._cluster.pool("walls", work_folder(), users={self.attacker: "games", self.victim: "news"})
        self.walls: Walls = SlurmWalls(self._pool, self._settings)
        return self

    async def __aexit__(self, *exception: object) -> None:
        """The cluster is the session's."""

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[Walls]:
        """Take one wall down, and put it up again."""
        down = {"slurm_account": self._open_account, "unix_user": self._one_user, "job_folders": self._open_folders}
        if name == "private_data":
            await asyncio.to_thread(self._cluster.show_queue, private=False)
            try:
                yield self.walls
            finally:
                await asyncio.to_thread(self._cluster.show_queue, private=True)
            return
        yield SlurmWalls(await asyncio.to_thread(down[name]), self._settings)
        await asyncio.to_thread(self._shut_account)

    def _open_account(self) -> SlurmPool:
        self._cluster.run("sacctmgr", "--immediate", "add", "user", "games", f"account=lineshaft_{self.victim}")
        return self._pool

    def _shut_account(self) -> None:
        self._cluster.said("sacctmgr", "--immediate", "delete", "user", "games", f"account=lineshaft_{self.victim}")

    def _one_user(self) -> SlurmPool:
        return self._pool.model_copy(update={"users": {self.attacker: "games", self.victim: "games"}})

    def _open_folders(self) -> SlurmPool:
        for folder in (self._pool.work_dir / "walls" / "jobs" / self.victim).iterdir():
            folder.chmod(0o755)
        return self._pool
