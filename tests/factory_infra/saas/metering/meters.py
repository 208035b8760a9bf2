"""What tests of the meter share: a price list of whole numbers, quick options, and how to kill a meter without a process."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.saas.metering.meter import Ask, Meter
from factory_infra.saas.metering.models import Attribution, Limit, Resource, Window
from factory_infra.saas.metering.options import MeterOptions
from factory_infra.saas.metering.prices import Rate
from factory_infra.saas.metering.recovery import Recall
from factory_infra.saas.metering.tables import BlockRow, EntryRow, ProcessRow, UseRow

ONE, TWO, ZERO = Decimal(1), Decimal(2), Decimal(0)
RATE = Rate("test", "model", into=ONE, out=TWO, cached=ONE, cache_written=ONE, audio_second=ONE, character=ONE)
"""A token in costs 1, a token out 2."""
WHOSE = Attribution(tenant="vision", project="street", key_id="key-1", agent="looker")
QUICK = MeterOptions(
    batch_seconds=0.01, sweep_seconds=0.1, scan_seconds=0.05, recall_seconds_max=0.2, recall_pause_seconds=0.02, progress_seconds=0.0
)


def ask(name: str, *limits: Limit, into: int = 10, out: int = 5) -> Ask:
    """An attempt that may use so many tokens; our own count of the prompt is one less than its bound."""
    return Ask(name, WHOSE, limits, "house", "model", RATE, into, into - 1, out)


def limit(resource: Resource, cap: int, window: Window = "total", name: str = "") -> Limit:
    """A cap."""
    return Limit(name or f"limit/{resource}", resource, window, Decimal(cap), f"{resource} of team vision")


def budget(cap: int) -> Limit:
    """The team's budget, under the name that the check of the books looks for."""
    return limit("money", cap, name="budget/vision")


@asynccontextmanager
async def metering(
    database: Database, folder: Path, *, recall: Recall | None = None, options: MeterOptions = QUICK
) -> AsyncIterator[Meter]:
    """A meter that runs."""
    meter = Meter(database, folder, recall=recall, options=options)
    await meter.start()
    try:
        yield meter
    finally:
        await meter.close()


async def kill(meter: Meter) -> None:
    """End a meter as a SIGKILL would: nothing more is posted or returned, and its lock is free."""
    meter._refusal = "closed"
    for task in meter._tasks:
        task.cancel()
    await asyncio.wait(meter._tasks)
    await meter._notices.close()
    meter._journal.close(remove=False)


async def gone(database: Database, *process_ids: str, seconds: float = 20.0) -> None:
    """Wait until processes have no row any more."""
    async with asyncio.timeout(seconds):
        while True:
            async with database.transaction() as session:
                if not await session.scalar(select(func.count()).where(ProcessRow.id.in_(process_ids))):
                    return
            await asyncio.sleep(0.02)


async def used(database: Database, limit_id: str) -> Decimal:
    """How much is taken of a limit, over all windows."""
    async with database.transaction() as session:
        return await session.scalar(select(func.sum(UseRow.used)).where(UseRow.limit_id == limit_id)) or ZERO


async def entries(database: Database, action: str = "settle") -> dict[str, EntryRow]:
    """The ledger's rows of one action, by reservation."""
    async with database.transaction() as session:
        return {row.reservation: row for row in await session.scalars(select(EntryRow).where(EntryRow.action == action))}


async def spent(database: Database) -> Decimal:
    """What the ledger says was spent."""
    async with database.transaction() as session:
        return await session.scalar(select(func.sum(EntryRow.amount)).where(EntryRow.credit == "spent")) or ZERO


async def blocks(database: Database) -> list[BlockRow]:
    """All blocks."""
    async with database.transaction() as session:
        return list(await session.scalars(select(BlockRow)))


class Shaky(Database):
    """A database whose transactions fail as a test says: before they begin, or after they are committed with the answer lost."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.count = 0
        self.fails: Callable[[int], str] = lambda number: ""

    @asynccontextmanager
    async def transaction(self, lock: str | None = None, *, whole: bool = False) -> AsyncIterator[AsyncSession]:
        """One transaction, which `fails` may let fail `before` or `after`."""
        self.count += 1
        when = self.fails(self.count)
        if when == "before":
            raise OperationalError("BEGIN", None, ConnectionError("away"))
        async with super().transaction(lock, whole=whole) as session:
            yield session
        if when == "after":
            raise OperationalError("COMMIT", None, ConnectionError("the answer is lost"))


def tuned(**changes: object) -> MeterOptions:
    """Quick options, but for what is named."""
    return replace(QUICK, **changes)  # type: ignore[arg-type]
