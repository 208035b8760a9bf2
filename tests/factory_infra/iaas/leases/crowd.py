"""Many who ask for slots, give them back and do passes at one time, and an audit of what is held meanwhile."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.errors import Conflict, LineshaftError
from factory_infra.foundation.accelerators.interface import AcceleratorPools
from factory_infra.iaas.leases.models import HELD, LeaseRequest
from factory_infra.iaas.leases.service import Leases
from factory_infra.iaas.leases.tables import LeaseRow

QUOTA = 5
PEOPLE, ROUNDS = 6, 4
TEAMS = ("vision", "language", "speech")


class Unlocked(Database):
    """The control: a database whose named locks are switched off."""

    @asynccontextmanager
    async def transaction(self, lock: str | None = None, *, whole: bool = False) -> AsyncIterator[AsyncSession]:
        """A transaction that waits for nobody."""
        async with super().transaction(whole=whole) as session:
            yield session


class Audit:
    """Looks at every held lease again and again, and keeps what must not be."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.faults: set[str] = set()
        self.looks = 0

    async def look(self) -> None:
        """Look once."""
        async with self._database.transaction() as session:
            rows = list(await session.scalars(select(LeaseRow).where(LeaseRow.state.in_(HELD))))
        self.looks += 1
        slots = Counter((row.pool, slot) for row in rows for slot in row.slots)
        self.faults |= {f"slot {slot} of {pool} is held {count} times" for (pool, slot), count in slots.items() if count > 1}
        held = Counter[str]()
        for row in rows:
            held[row.tenant] += len(row.slots)
        self.faults |= {f"team {team} holds more than its quota" for team, count in held.items() if count > QUOTA}


async def ask_and_release(leases: Leases, number: int, rounds: int) -> list[str]:
    """One who asks for some slots, waits if need be, and gives back what it got, by chance; return the leases it asked for."""
    chance, team, asked = random.Random(number), TEAMS[number % len(TEAMS)], list[str]()  # noqa: S311  (a test's dice)
    for turn in range(rounds):
        request = LeaseRequest(tenant=team, slots=chance.randint(1, 4), key=f"k{number}/{turn}", wait_seconds=3600, seconds=3600)
        lease = await leases.acquire(request)
        assert await leases.acquire(request) in (lease, await leases.get(team, lease.id))
        asked.append(lease.id)
        await asyncio.sleep(chance.random() / 50)
        for held in await leases.list(team):
            if held.state.held and chance.random() < 0.7:
                with suppress(Conflict):
                    await leases.release(team, held.id)
    return asked


async def passes_that_are_cut_off(url: str, pools: AcceleratorPools, number: int, over: asyncio.Event) -> None:
    """Passes, each with a connection of its own as in a process, of which every other one is cut off somewhere on its way."""
    chance = random.Random(number)  # noqa: S311  (a test's dice)
    while not over.is_set():
        own = Database(url, pool_size=1)
        one = asyncio.create_task(Leases(own, pools).grant_waiting())
        await asyncio.wait([one], timeout=chance.random() / 10 if chance.random() < 0.5 else 30)
        one.cancel()
        with suppress(asyncio.CancelledError, LineshaftError, SQLAlchemyError):
            await one
        await own.close()


async def auditing(audit: Audit, over: asyncio.Event) -> None:
    """Look for as long as it lasts."""
    while not over.is_set():
        await audit.look()


async def crowd(leases: Leases, audit: Audit, url: str, pools: AcceleratorPools) -> list[str]:
    """Let all of them loose; return the leases that were asked for."""
    over = asyncio.Event()
    passes = (passes_that_are_cut_off(url, pools, each, over) for each in range(2))
    beside = [asyncio.create_task(each) for each in (auditing(audit, over), *passes)]
    try:
        asked = await asyncio.gather(*(ask_and_release(leases, number, ROUNDS) for number in range(PEOPLE)))
    finally:
        over.set()
        await asyncio.gather(*beside)
    await audit.look()
    return [name for each in asked for name in each]
