"""Drawing: one draw for many that wait, idle blocks of siblings before a refusal, refusals that say what and until when."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.database import Database
from factory_infra.errors import BudgetExceeded, LineshaftError, QuotaExceeded, RateLimited, Unavailable
from factory_infra.saas.metering.blocks import Block
from factory_infra.saas.metering.drawing import size
from factory_infra.saas.metering.meter import Ask, Hold, Meter
from factory_infra.saas.metering.models import Limit, Usage
from factory_infra.saas.metering.siblings import Siblings
from tests.factory_infra.saas.metering.meters import Shaky, ask, budget, limit, metering, tuned, used
from tests.waiting import eventually

pytestmark = pytest.mark.stack

SLOW = tuned(sweep_seconds=60.0)
"""Nothing idle goes back by itself."""


async def tried(meter: Meter, request: Ask) -> Hold | LineshaftError:
    try:
        return await meter.reserve(request)
    except LineshaftError as error:
        return error


class TestSize:
    def test_grows_while_it_is_soon_used_up_and_ends_call_by_call(self) -> None:
        block = Block(limit("tokens", 1000), 0, drawn_at=float("inf"))
        one = Decimal(10)
        assert [size(block, one) for _ in range(5)] == [10, 20, 40, 80, 125]
        block.used = Decimal(985)
        assert size(block, one) == one

    def test_shrinks_when_it_lasts(self) -> None:
        block = Block(limit("tokens", 1000), 0, size=Decimal(80))
        assert size(block, Decimal(10)) == 40


class TestTogether:
    async def test_many_that_wait_share_draws(self, database_url: str, tmp_path: Path) -> None:
        database = Shaky(database_url)
        of = [limit("tokens", 100_000, "minute"), budget(100_000), limit("requests", 10_000, "minute")]
        async with metering(database, tmp_path, options=tuned(sweep_seconds=60.0, batch_seconds=60.0, recover=False)) as meter:
            before = database.count
            await asyncio.gather(*(meter.reserve(ask(f"{number}/1", *of)) for number in range(200)))
            assert database.count - before <= 2
            for hold in list(meter._open.values()):
                meter.settle(hold, Usage(1, 1), "done")
        await database.close()

    async def test_one_that_waits_no_more_holds_nothing(self, database: Database, tmp_path: Path) -> None:
        of = limit("parallel", 1, "now")
        async with metering(database, tmp_path) as meter:
            waits = asyncio.create_task(meter.reserve(ask("a/1", of)))
            await asyncio.sleep(0)
            waits.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits
            meter.settle(await meter.reserve(ask("b/1", of)), Usage(), "failed")

    async def test_who_waits_when_the_meter_ends_is_told(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            await meter._drawer.exclusive.acquire()
            waits = asyncio.create_task(tried(meter, ask("a/1", limit("requests", 5))))
            await eventually(lambda: meter._drawer._batch)
        assert isinstance(await waits, Unavailable)

    async def test_no_limit_is_asked_while_postgresql_is_away_but_blocks_are_used_up(self, database_url: str, tmp_path: Path) -> None:
        database = Shaky(database_url)
        of = limit("requests", 1000)
        async with metering(database, tmp_path, options=SLOW) as meter:
            holds = [await meter.reserve(ask(f"{number}/1", of)) for number in range(3)]
            block = meter._blocks.present(of.id)
            assert block is not None
            rest = int(block.free)
            database.fails = lambda number: "before"
            holds += [await meter.reserve(ask(f"more-{number}/1", of)) for number in range(rest)]
            with pytest.raises(Unavailable, match="limits"):
                await meter.reserve(ask("last/1", of))
            for hold in holds:
                meter.settle(hold, Usage(1, 1), "done")
            database.fails = lambda number: ""
            await meter.posted()
        assert await used(database, of.id) == 3 + rest
        await database.close()

    async def test_an_answer_that_was_lost_costs_nothing_for_long(self, database_url: str, database: Database, tmp_path: Path) -> None:
        shaky = Shaky(database_url)
        of = limit("tokens", 60)
        async with metering(shaky, tmp_path) as meter:
            shaky.fails = lambda number: "after"
            with pytest.raises(Unavailable):
                await meter.reserve(ask("a/1", of))
            assert await used(database, of.id) >= 15
            shaky.fails = lambda number: ""
            for number in range(4):
                meter.settle(await meter.reserve(ask(f"{number}/1", of)), Usage(10, 5), "done")
        assert await used(database, of.id) == 60
        await shaky.close()


class TestSiblings:
    async def test_what_one_does_not_need_another_gets(self, database: Database, tmp_path: Path) -> None:
        of = limit("requests", 100)
        async with metering(database, tmp_path, options=SLOW) as first, metering(database, tmp_path, options=SLOW) as second:
            await eventually(lambda: first._notices.fresh and second._notices.fresh)
            for number in range(20):
                first.settle(await first.reserve(ask(f"a{number}/1", of)), Usage(), "done")
            got = 0
            while isinstance(hold := await tried(second, ask(f"b{got}/1", of)), Hold):
                second.settle(hold, Usage(), "done")
                got += 1
            assert got == 80
        assert await used(database, of.id) == 100

    async def test_without_asking_it_would_lie_idle(self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The control: nobody answers."""
        monkeypatch.setattr(Siblings, "hear", lambda self, payload: None)
        of = limit("requests", 100)
        async with metering(database, tmp_path, options=SLOW) as first, metering(database, tmp_path, options=SLOW) as second:
            for number in range(20):
                first.settle(await first.reserve(ask(f"a{number}/1", of)), Usage(), "done")
            got = 0
            while isinstance(hold := await tried(second, ask(f"b{got}/1", of)), Hold):
                second.settle(hold, Usage(), "done")
                got += 1
            assert got < 80

    async def test_processes_at_a_shared_limit_reserve_all_of_it_and_not_a_token_more(self, database: Database, tmp_path: Path) -> None:
        of = (limit("tokens", 15 * 101 + 7, "day"), budget(20 * 200))
        seen = []

        async def spend(meter: Meter, name: str) -> int:
            got = 0
            while isinstance(hold := await tried(meter, ask(f"{name}-{got}/1", *of)), Hold):
                got += 1
                await asyncio.sleep(0)
                meter.settle(hold, Usage(10, 5), "done")
                seen.append(await used(database, of[0].id))
            return got

        meters = [Meter(database, tmp_path, options=tuned(recover=False)) for _ in range(4)]
        await asyncio.gather(*(meter.start() for meter in meters))
        await eventually(lambda: all(meter._notices.fresh for meter in meters))
        got = await asyncio.gather(*(spend(meter, f"{place}.{turn}") for place, meter in enumerate(meters) for turn in range(3)))
        await asyncio.gather(*(meter.close() for meter in meters))
        assert max(seen) <= of[0].cap
        assert sum(got) == 101
        assert await used(database, of[0].id) == 15 * 101


class TestRefusal:
    @pytest.mark.parametrize(
        ("of", "kind", "code", "wait"),
        [
            (budget(19), BudgetExceeded, "budget_exceeded", None),
            (limit("money", 19, "day"), BudgetExceeded, "budget_exceeded", None),
            (limit("tokens", 14, "minute"), QuotaExceeded, "quota_exceeded", None),
            (limit("requests", 0, "day"), QuotaExceeded, "quota_exceeded", None),
            (limit("parallel", 0, "now"), QuotaExceeded, "parallel_exceeded", None),
        ],
    )
    async def test_what_never_fits_names_the_limit_and_is_no_reason_to_wait(
        self, database: Database, tmp_path: Path, of: Limit, kind: type[QuotaExceeded], code: str, wait: float | None
    ) -> None:
        async with metering(database, tmp_path, options=SLOW) as meter:
            with pytest.raises(kind, match=f"of {of.cap}.* of team vision .*waiting does not help") as raised:
                await meter.reserve(ask("a/1", limit("requests", 9, name="other"), of))
            assert raised.value.error_code == code
            assert getattr(raised.value, "retry_after_seconds", None) == wait
            assert not raised.value.retryable
            assert "left" not in raised.value.reason  # nobody asked
        assert await used(database, "other") == 0

    async def test_a_window_that_is_used_up_tells_its_end(self, database: Database, tmp_path: Path) -> None:
        now = [1_800_000_000.0]
        async with metering(database, tmp_path, options=tuned(clock=lambda: now[0])) as meter:
            of = limit("requests", 1, "minute")
            meter.settle(await meter.reserve(ask("a/1", of)), Usage(1, 1), "done")
            refusal = await tried(meter, ask("b/1", of))
            assert isinstance(refusal, RateLimited)
            assert refusal.reason == "Team vision has 0 of 1 requests left this minute; this call would reserve 1."
            assert refusal.retry_after_seconds == 60
            now[0] += refusal.retry_after_seconds
            meter.settle(await meter.reserve(ask("b/1", of)), Usage(1, 1), "done")

    async def test_what_is_left_is_what_others_left(self, database: Database, tmp_path: Path) -> None:
        now = [1_800_000_000.0]
        frozen = tuned(clock=lambda: now[0])
        of = limit("tokens", 40, "minute")
        async with metering(database, tmp_path, options=frozen) as first, metering(database, tmp_path, options=frozen) as second:
            await eventually(lambda: first._notices.fresh and second._notices.fresh)
            first.settle(await first.reserve(ask("a/1", of, into=20, out=10)), Usage(20, 10), "done")
            refusal = await tried(second, ask("b/1", of))
            assert isinstance(refusal, RateLimited)
            assert refusal.reason == "Team vision has 10 of 40 tokens left this minute; this call would reserve 15."
            refusal = await tried(second, ask("c/1", of, into=40, out=1))
            assert isinstance(refusal, QuotaExceeded)
            assert not refusal.retryable
            assert "left" not in refusal.reason

    async def test_a_total_that_is_used_up_never_will(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            of = limit("tokens", 20)
            meter.settle(await meter.reserve(ask("a/1", of)), Usage(10, 5), "done")
            refusal = await tried(meter, ask("b/1", of))
            assert isinstance(refusal, QuotaExceeded)
            assert not refusal.retryable

    async def test_a_refusal_is_not_asked_for_again_at_once(self, database_url: str, tmp_path: Path) -> None:
        database = Shaky(database_url)
        async with metering(database, tmp_path, options=tuned(sweep_seconds=60.0, recover=False)) as meter:
            of = limit("parallel", 1, "now")
            hold = await meter.reserve(ask("a/1", of))
            await tried(meter, ask("b/1", of))
            await meter.posted()
            before = database.count
            assert all([isinstance(await tried(meter, ask("c/1", of)), RateLimited) for _ in range(20)])
            assert database.count == before
            meter.settle(hold, Usage(), "failed")
            meter.settle(await meter.reserve(ask("d/1", of)), Usage(), "failed")
        await database.close()
