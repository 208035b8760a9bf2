"""Posting: each record once whatever answer is lost, bounded while PostgreSQL is away, never over another's rows."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import text, update

from factory_infra.database import Database
from factory_infra.errors import Unavailable
from factory_infra.saas.metering import poster
from factory_infra.saas.metering.checks import check_books
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.tables import ProcessRow
from tests.factory_infra.saas.metering.meters import Shaky, ask, budget, entries, limit, metering, spent, tuned, used
from tests.waiting import eventually

pytestmark = pytest.mark.stack

BUDGET, TOKENS = budget(100_000), limit("tokens", 50_000)
USAGE = Usage(4, 2)
BROKEN_OFF = (
    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY ledger_entries%'"
)
"""Ends the statements that wait to copy entries, and counts them."""


async def calls(meter: Meter, first: int, count: int) -> None:
    for number in range(first, first + count):
        meter.settle(await meter.reserve(ask(f"{number}/1", BUDGET, TOKENS)), USAGE, "done")


class TestOnce:
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_each_record_is_posted_once_whatever_is_lost(
        self, database_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        monkeypatch.setattr(poster, "PAUSE_SECONDS_MAX", 0.005)

        def fails(number: int) -> str:
            task = asyncio.current_task()
            return when if task is not None and task.get_name() == "meter posts" and number % 3 else ""

        shaky = Shaky(database_url)
        shaky.fails = fails
        async with metering(shaky, tmp_path, options=tuned(batch_records_max=7, recover=False)) as meter:
            for first in range(0, 40, 8):
                await calls(meter, first, 8)
                await meter.posted()
        assert len(await entries(database)) == 40
        assert await spent(database) == 40 * 8 == await used(database, BUDGET.id)
        assert (await check_books(database)).equal
        await shaky.close()

    async def test_a_batch_that_the_server_breaks_off_is_posted_again(self, database_url: str, database: Database, tmp_path: Path) -> None:
        """Many rows are copied in by the driver itself, whose errors are not those of the layer above it."""
        other = Database(database_url)
        async with metering(database, tmp_path, options=tuned(recover=False, batch_seconds=0.3)) as meter:
            async with other.transaction() as session:
                await session.execute(text("LOCK TABLE ledger_entries IN EXCLUSIVE MODE"))
                await calls(meter, 0, 30)
                async with asyncio.timeout(10), other.reading() as watching:
                    while not await watching.scalar(text(BROKEN_OFF)):  # noqa: ASYNC110 - the server tells it to nobody
                        await asyncio.sleep(0.01)
            await calls(meter, 30, 1)
            await meter.posted()
            assert meter.ailment == ""
        assert len(await entries(database)) == 31
        assert await spent(database) == 31 * 8 == await used(database, BUDGET.id)
        await other.close()

    async def test_without_the_count_of_what_is_posted_it_would_be_doubled(
        self, database_url: str, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control: whoever loses an answer posts again, under names of their own."""

        async def again(self: poster.Poster, upto: int) -> None:
            async with self._database.transaction() as session:
                await session.execute(update(ProcessRow).values(posted=self.posted))
            self.posted = await poster.post_records(self._database, self._process_id, self.posted, list(self._queue)[: upto - self.posted])

        monkeypatch.setattr(poster.Poster, "_find_out", again)
        shaky = Shaky(database_url)
        async with metering(shaky, tmp_path, options=tuned(batch_seconds=0.5, sweep_seconds=60.0, recover=False)) as meter:
            await calls(meter, 0, 3)
            lose = [True]
            shaky.fails = lambda number: "after" if lose and lose.pop() else ""
            await meter.posted()
            assert len(await entries(database)) > 3
        await shaky.close()

    async def test_a_name_of_another_is_charged_under_its_own(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as first, metering(database, tmp_path) as second:
            for meter in (first, second):
                await calls(meter, 0, 1)
                await meter.posted()
            await calls(second, 0, 1)
            await calls(second, 0, 1)
            await second.posted()
            assert len(await entries(database)) == len(await entries(database, "reserve")) == 4
            assert await spent(database) == 4 * 8
            assert (await check_books(database)).equal

    async def test_who_is_posted_for_by_another_stops(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path, options=tuned(recover=False)) as meter:
            async with database.transaction() as session:
                await session.execute(update(ProcessRow).values(posted=99))
            await calls(meter, 0, 1)
            with pytest.raises(Unavailable):
                await meter.posted()
            await eventually(lambda: meter._refusal)
            with pytest.raises(Unavailable):
                await meter.reserve(ask("b/1"))
        assert await entries(database) == {}


class TestAway:
    async def test_what_is_journalled_meanwhile_is_posted_after(self, database_url: str, database: Database, tmp_path: Path) -> None:
        shaky = Shaky(database_url)
        async with metering(shaky, tmp_path, options=tuned(sweep_seconds=60.0)) as meter:
            await calls(meter, 0, 3)
            shaky.fails = lambda number: "before"
            for number in range(3, 20):
                hold = await meter.reserve(ask(f"{number}/1", BUDGET, TOKENS, into=4, out=2))
                meter.settle(hold, Usage(0, 0), "failed")
            shaky.fails = lambda number: ""
            await meter.posted()
        assert len(await entries(database)) == 20
        assert await used(database, BUDGET.id) == 3 * 8
        await shaky.close()

    @pytest.mark.parametrize("bounds", [{"unposted_seconds_max": 0.05}, {"unposted_bytes_max": 3000}])
    async def test_too_much_unposted_refuses_what_is_new(self, database_url: str, tmp_path: Path, bounds: dict[str, float]) -> None:
        shaky = Shaky(database_url)
        async with metering(shaky, tmp_path, options=tuned(sweep_seconds=60.0, **bounds)) as meter:
            await calls(meter, 0, 2)
            await meter.posted()
            shaky.fails = lambda number: "before"
            open_ = [await meter.reserve(ask("open/1"))]

            def refused() -> bool:
                try:
                    meter._check(ask("x/1"))
                except Unavailable:
                    return True
                meter.hit(open_[0].ask.whose, "model", "house", USAGE)
                return False

            await eventually(refused)
            with pytest.raises(Unavailable, match="behind"):
                await meter.reserve(ask("b/1"))
            meter.settle(open_[0], USAGE, "done")
            shaky.fails = lambda number: ""
            await meter.posted()
            await calls(meter, 2, 1)
        await shaky.close()


class TestRotation:
    async def test_the_file_stays_small_and_open_calls_stay_in_it(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path, options=tuned(rotate_bytes=4000, sync=True)) as meter:
            hold = await meter.reserve(ask("open/1", BUDGET))
            for first in range(0, 60, 10):
                await calls(meter, first, 10)
                await meter.posted()
            text = meter._journal.path.read_bytes()
            assert len(text) < 16_000
            assert b'"open/1"' in text
            meter.settle(hold, USAGE, "done")
        assert len(await entries(database)) == 61
        assert await used(database, BUDGET.id) == 61 * 8
