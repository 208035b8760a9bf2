"""Recovery: what a dead process left is posted, reconciled and given back, by anyone, however often that is begun."""

import asyncio
import itertools
import os
import random
import signal
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Unavailable
from factory_infra.saas.metering import draws
from factory_infra.saas.metering.checks import check_books
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.recovery import STALE, Recovery, estimate
from factory_infra.saas.metering.tables import EntryRow, ProcessRow
from tests.factory_infra.saas.metering.meters import (
    QUICK,
    Shaky,
    ask,
    blocks,
    budget,
    entries,
    gone,
    kill,
    limit,
    metering,
    spent,
    tuned,
    used,
)
from tests.factory_infra.saas.metering.spending import LIMITS, truth, upstream

pytestmark = pytest.mark.stack

BUDGET, PARALLEL, TOKENS = budget(10_000), limit("parallel", 5, "now"), limit("tokens", 9_000, "minute")
ALL = (BUDGET, PARALLEL, TOKENS)
QUIET = tuned(batch_seconds=60.0, sweep_seconds=60.0, recover=False)
"""Nothing is posted or returned before the kill."""


async def killed(database: Database, folder: Path) -> Meter:
    """A meter that was killed with one call settled and three open."""
    meter = Meter(database, folder, options=QUIET)
    await meter.start()
    meter.settle(await meter.reserve(ask("done/1", *ALL)), Usage(7, 2), "done")
    holds = {name: await meter.reserve(ask(f"{name}/1", *ALL)) for name in ("silent", "spoke", "recalled")}
    meter.progress(holds["spoke"], Usage(8, 1))
    meter.progress(holds["spoke"], Usage(8, 3))
    meter.progress(holds["recalled"], Usage(8, 1))
    await kill(meter)
    return meter


async def open_reservations(database: Database) -> set[str]:
    return set(await entries(database, "reserve")) - set(await entries(database))


def quantities(rows: dict[str, EntryRow]) -> dict[str, tuple[int, int]]:
    return {name: (int(row.quantity), int(row.quantity_out)) for name, row in rows.items()}


async def recall(backend: str, name: str) -> Usage | None:
    return Usage(9, 4) if (backend, name) == ("house", "recalled/1") else None


TRUTH = {"done/1": (7, 2), "silent/1": (9, 0), "spoke/1": (8, 3), "recalled/1": (9, 4)}
SPENT = Decimal(sum(into + 2 * out for into, out in TRUTH.values()))


class TestRecover:
    async def test_the_rest_is_posted_and_open_calls_are_reconciled(self, database: Database, tmp_path: Path) -> None:
        dead = await killed(database, tmp_path)
        assert await used(database, PARALLEL.id) >= 3
        async with metering(database, tmp_path, recall=recall):
            await gone(database, dead.process_id)
        rows = await entries(database)
        assert quantities(rows) == TRUTH
        assert {name for name, row in rows.items() if row.estimated} == {"silent/1", "spoke/1"}
        assert {name for name, row in rows.items() if row.outcome == "recovered"} == set(TRUTH) - {"done/1"}
        assert await spent(database) == SPENT
        assert [await used(database, each.id) for each in ALL] == [SPENT, 0, sum(map(sum, TRUTH.values()))]
        assert await blocks(database) == []
        assert list(tmp_path.iterdir()) == []
        assert (await check_books(database)).equal

    async def test_without_recovery_it_stays_as_it_was(self, database: Database, tmp_path: Path) -> None:
        """The control."""
        dead = await killed(database, tmp_path)
        async with metering(database, tmp_path, recall=recall, options=tuned(recover=False)) as meter:
            meter.settle(await meter.reserve(ask("new/1", BUDGET)), Usage(1, 1), "done")
            await meter.posted()
        assert set(await entries(database)) == {"new/1"}
        assert await used(database, PARALLEL.id) >= 3
        assert dead._journal.path.exists()

    async def test_a_backend_that_does_not_answer_yet_is_asked_again(self, database: Database, tmp_path: Path) -> None:
        asked: list[str] = []

        async def late(backend: str, name: str) -> Usage | None:
            asked.append(name)
            if asked.count(name) < 3:
                raise Unavailable("Not yet.")
            return Usage(5, 5)

        dead = await killed(database, tmp_path)
        async with metering(database, tmp_path, recall=late):
            await gone(database, dead.process_id)
        assert {row.quantity_out for name, row in (await entries(database)).items() if name != "done/1"} == {5}

    async def test_a_journal_of_another_host_is_left_alone(self, database: Database, tmp_path: Path) -> None:
        dead = await killed(database, tmp_path)
        async with database.transaction() as session:
            await session.execute(update(ProcessRow).values(host="elsewhere"))
        recovery = Recovery(database, tmp_path / "own.journal", recall, QUICK)
        await recovery.scan()
        await recovery.done()
        assert dead._journal.path.exists()
        assert await entries(database) == {}

    async def test_unless_that_host_has_been_silent_for_long(self, database: Database, tmp_path: Path) -> None:
        """A host that was renamed is another one by its name: what it left is ended all the same."""
        await killed(database, tmp_path)
        async with database.transaction() as session:
            await session.execute(update(ProcessRow).values(host="elsewhere", seen_at=utcnow() - 2 * STALE))
        recovery = Recovery(database, tmp_path / "own.journal", recall, QUICK)
        await recovery.scan()
        await recovery.done()
        assert quantities(await entries(database)) == TRUTH
        assert list(tmp_path.iterdir()) == []

    async def test_a_journal_whose_process_was_removed_goes_too(self, database: Database, tmp_path: Path) -> None:
        (tmp_path / "old.journal").touch()
        recovery = Recovery(database, tmp_path / "own.journal", recall, QUICK)
        await recovery.scan()
        await recovery.done()
        assert list(tmp_path.iterdir()) == []

    async def test_a_living_process_is_let_be(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as first, metering(database, tmp_path) as second:
            hold = await first.reserve(ask("a/1", *ALL))
            await second.recovery.scan()
            await second.recovery.done()
            first.settle(hold, Usage(1, 1), "done")
            await first.posted()
        assert (await entries(database))["a/1"].outcome == "done"

    async def test_a_draw_that_arrived_after_its_process_was_removed_goes_back(self, database: Database, tmp_path: Path) -> None:
        async with database.transaction() as session:
            await draws.draw(session, "dead", {("l", 0): Decimal(7)}, {("l", 0): Decimal(9)})
        await Recovery(database, tmp_path / "own.journal", None, QUICK).scan()
        assert await used(database, "l") == 0
        assert await blocks(database) == []

    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_the_recoverer_may_be_killed_at_any_step(self, database_url: str, database: Database, tmp_path: Path, when: str) -> None:
        """Let the first step fail, then the second, and so on, each time by one that begins anew."""
        dead = await killed(database, tmp_path)
        me = asyncio.current_task()
        for step in range(1, 40):
            recovering = itertools.count(1)
            shaky = Shaky(database_url)
            shaky.fails = lambda _, at=step, of=recovering: when if asyncio.current_task() is not me and next(of) == at else ""  # type: ignore[misc]
            recovery = Recovery(shaky, tmp_path / "own.journal", recall, tuned(batch_records_max=2))
            await recovery.scan()
            await recovery.done()
            await shaky.close()
            if not dead._journal.path.exists():
                break
        assert step > 5
        assert quantities(await entries(database)) == TRUTH
        assert await spent(database) == SPENT == await used(database, BUDGET.id)
        assert await used(database, PARALLEL.id) == 0
        assert (await check_books(database)).equal

    async def test_what_was_called_by_nobody_is_charged_by_our_own_count(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1"))
            assert estimate(hold.record) == Usage(9, 0, estimated=True)
            meter.progress(hold, Usage(0, 3))
            assert estimate(hold.record) == Usage(9, 3, estimated=True)
            meter.settle(hold, Usage(), "failed")


async def spender(url: str, folder: Path, name: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start a process that meters; return it and its name in the ledger once it does."""
    command = [sys.executable, "-m", "tests.factory_infra.saas.metering.spending", url, str(folder), name]
    root = Path(__file__).parents[4]
    process = await asyncio.create_subprocess_exec(*command, cwd=root, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    return process, (await process.stdout.readline()).decode().strip()


async def shoot(url: str, folder: Path, database: Database, *, processes: int = 3, recover: bool = True) -> None:
    """Let processes spend, kill each at a moment of its own, and have one that lives look after them."""
    started = await asyncio.gather(*(spender(url, folder, f"p{number}") for number in range(processes)))
    for process, _ in started:
        await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - any moment will do
        process.send_signal(signal.SIGKILL)
        await process.wait()
    calls = frozenset((folder / "calls").read_text().split())

    async def told(backend: str, name: str) -> Usage | None:
        return upstream(name) if name in calls else None

    async with metering(database, folder / "journals", recall=told, options=tuned(recover=recover)) as meter:
        if recover:
            await gone(database, *(process_id for _, process_id in started))
        await meter.posted()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.close(os.open(tmp_path / "calls", os.O_CREAT, 0o600))
    return tmp_path


class TestKilled:
    async def test_after_kills_at_any_moment_the_ledger_is_the_truth(self, database_url: str, database: Database, folder: Path) -> None:
        await shoot(database_url, folder, database)
        rows = await entries(database)
        calls = set((folder / "calls").read_text().split())
        assert len(calls) > 100
        assert await open_reservations(database) == set()
        assert calls <= set(rows)
        told = quantities(rows)
        assert {name: told[name] for name in calls} == {name: (upstream(name).tokens_in, upstream(name).tokens_out) for name in calls}
        unmade = sum((row.amount for name, row in rows.items() if name not in calls), Decimal(0))
        assert await spent(database) == truth(folder) + unmade == await used(database, LIMITS[0].id)
        assert all(row.estimated and row.outcome == "recovered" for name, row in rows.items() if name not in calls)
        assert await used(database, "limit/parallel") == 0
        async with database.transaction() as session:
            tokens = await session.scalar(select(func.sum(EntryRow.quantity + EntryRow.quantity_out)).where(EntryRow.action == "settle"))
        assert await used(database, "limit/minute") == tokens
        assert await blocks(database) == []
        assert list((folder / "journals").iterdir()) == []
        assert (await check_books(database)).equal

    async def test_without_recovery_it_is_not(self, database_url: str, database: Database, folder: Path) -> None:
        """The control."""
        await shoot(database_url, folder, database, processes=1, recover=False)
        calls = set((folder / "calls").read_text().split())
        assert calls - set(await entries(database))
        assert await spent(database) < truth(folder)
        assert await used(database, "limit/parallel") > 0
