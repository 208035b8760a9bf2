"""The walls of a simulated pool: those of this host around programs that really run; where none runs, the jobs' own door."""

import asyncio
import secrets
from collections.abc import Awaitable

from factory_infra.errors import NotFound
from factory_infra.foundation.pools.spec import LocalPool, TwinPool, WallName
from factory_infra.iaas.isolation.interface import Walls
from factory_infra.iaas.isolation.models import Attempt, Door, Wall
from factory_infra.iaas.isolation.providers.local import LocalWalls
from factory_infra.iaas.jobs.models import JobLimits, JobSpec
from factory_infra.iaas.jobs.providers.twin import TwinJobs
from factory_infra.iaas.jobs.providers.twin_simulated import SimulatedJobs
from factory_infra.settings import Settings


def twin_walls(pool: TwinPool, settings: Settings) -> Walls:
    """Build what knows the walls of a simulated pool."""
    return TwinWalls(pool, settings) if pool.programs == "run" else SimulatedWalls(pool, settings)


class TwinWalls(LocalWalls):
    """Programs of a simulated pool run on this host, in folders of their own, within the same walls as its other jobs.

    Args:
        pool: its entry.
        settings: the home.
        off: walls that are left down on purpose; only a control test does that.
    """

    def __init__(self, pool: TwinPool, settings: Settings, off: tuple[WallName, ...] = ()) -> None:
        jobs = TwinJobs(pool, settings, walls_off=off)
        super().__init__(LocalPool(name=pool.name, walls_off=off), settings, jobs)
        self._jobs_dir = jobs.jobs_dir


class SimulatedWalls:
    """No program runs, so none reaches what is another's: what is left to try is the door of the jobs themselves."""

    def __init__(self, pool: TwinPool, settings: Settings) -> None:
        self._pool = pool
        self._jobs = SimulatedJobs(pool, settings)

    async def ensure(self, tenant: str) -> list[Wall]:
        """See Walls.ensure. There is nothing to put up."""
        return await self.check(tenant)

    async def check(self, tenant: str) -> list[Wall]:
        """See Walls.check."""
        await asyncio.sleep(0)
        return [Wall(name="programs", state="up", note="Simulated: no program of a job is run here.")]

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """See Walls.attack."""
        job = f"audit-{secrets.token_hex(6)}"
        spec = {"id": job, "tenant": victim, "name": "isolation audit: the victim", "argv": ["bait"], "limits": JobLimits(seconds=60.0)}
        await self._jobs.submit(JobSpec.model_validate(spec | {"pool": self._pool.name}))
        try:
            return [
                await attempt("see", "ask for the other's job", self._jobs.get(job, attacker)),
                await attempt("stop", "cancel the other's job", self._jobs.cancel(job, attacker)),
                await attempt("read_logs", "read the other's log", self._jobs.logs(job, attacker)),
                await attempt("use_data", "read the other's result", self._jobs.result(job, attacker, "result.json")),
            ]
        finally:
            await self._jobs.cancel(job, victim)

    async def remove(self, tenant: str) -> None:
        """See Walls.remove. There is nothing to take down."""
        await asyncio.sleep(0)


async def attempt(door: Door, tried: str, asked: Awaitable[object]) -> Attempt:
    """Try one thing; only an absence is a refusal."""
    try:
        await asked
    except NotFound as error:
        return Attempt(door=door, through="simulated", tried=tried, refused=True, by=error.reason)
    return Attempt(door=door, through="simulated", tried=tried, refused=False)
