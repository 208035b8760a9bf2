"""The meter: off PostgreSQL while blocks suffice, journal first, once and exactly, nothing of it where the disk is full."""

import errno
import os
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from factory_infra.database import Database
from factory_infra.errors import Conflict, InvalidInput, QuotaExceeded, RateLimited, StorageFull, Unavailable
from factory_infra.notices import tell
from factory_infra.saas.metering.checks import check_books
from factory_infra.saas.metering.meter import Meter
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.metering.tables import ProcessRow
from tests.factory_infra.saas.metering.meters import (
    WHOSE,
    Shaky,
    ask,
    blocks,
    budget,
    entries,
    kill,
    limit,
    metering,
    spent,
    tuned,
    used,
)
from tests.waiting import eventually

pytestmark = pytest.mark.stack

BUDGET, TOKENS, PARALLEL = budget(10_000), limit("tokens", 5_000, "day"), limit("parallel", 2, "now")
REQUESTS = limit("requests", 500, "month")
ALL = (BUDGET, TOKENS, PARALLEL, REQUESTS)


class TestReserve:
    async def test_a_call_is_in_the_ledger_with_what_it_used(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1", *ALL))
            assert hold.amount == 20
            assert meter.settle(hold, Usage(8, 3, tokens_cached=2, tokens_reasoning=1), "done") == 14
            await meter.posted()
            row = (await entries(database))["a/1"]
            assert [row.amount, row.quantity, row.quantity_out, row.quantity_cached, row.quantity_reasoning] == [14, 8, 3, 2, 1]
            assert (row.tenant, row.project, row.key_id, row.backend, row.outcome) == ("vision", "street", "key-1", "house", "done")
            assert (await entries(database, "release"))["a/1"].amount == 6
            assert (await check_books(database)).equal
        assert [await used(database, each.id) for each in ALL] == [14, 11, 0, 1]
        assert await blocks(database) == []

    async def test_nothing_is_asked_of_postgresql_while_blocks_suffice(self, database_url: str, tmp_path: Path) -> None:
        database = Shaky(database_url)
        async with metering(database, tmp_path, options=tuned(batch_seconds=60.0, sweep_seconds=60.0, recover=False)) as meter:
            meter.settle(await meter.reserve(ask("warm/1", *ALL)), Usage(10, 5), "done")
            meter.settle(await meter.reserve(ask("warm/2", *ALL)), Usage(1, 1), "done")
            before = database.count
            hold = await meter.reserve(ask("a/1", *ALL))
            meter.settle(hold, Usage(10, 5), "done")
            assert database.count == before
        await database.close()

    async def test_the_journal_knows_before_reserve_returns(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1", BUDGET))
            text = meter._journal.path.read_bytes()
            assert text.count(b'"a/1"') == 1
            meter.settle(hold, Usage(1, 1), "done")
            assert meter._journal.path.read_bytes().count(b'"a/1"') == 2

    async def test_a_full_disk_refuses_before_the_call_and_holds_nothing(self, database: Database, tmp_path: Path) -> None:
        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        async with metering(database, tmp_path) as meter:
            first = await meter.reserve(ask("a/1", PARALLEL))
            meter._journal._write = full
            with pytest.raises(StorageFull):
                await meter.reserve(ask("b/1", PARALLEL))
            assert meter.settle(first, Usage(10, 5), "done") == 20
            meter._journal._write = os.write
            for name in ("c/1", "d/1"):
                await meter.reserve(ask(name, PARALLEL))
            await meter.posted()
            assert set(await entries(database)) == {"a/1"}
            for hold in list(meter._open.values()):
                meter.settle(hold, Usage(), "failed")

    async def test_a_name_that_is_open_and_one_that_is_none_are_refused(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1"))
            with pytest.raises(Conflict, match="a/1"):
                await meter.reserve(ask("a/1"))
            for name in ("x" * 300, "a\0b"):
                with pytest.raises(InvalidInput):
                    await meter.reserve(ask(name))
            meter.settle(hold, Usage(), "failed")

    async def test_speech_reserves_at_least_its_floor(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            request = ask("a/1", BUDGET, into=0, out=0)
            hold = await meter.reserve(type(request)(**{name: getattr(request, name) for name in SLOTS} | {"money_floor": Decimal("7.5")}))
            assert hold.amount == Decimal("7.5")
            assert meter.settle(hold, Usage(characters=3), "done") == 3
            await meter.posted()
            assert (await entries(database))["a/1"].unit == "characters"


SLOTS = ("name", "whose", "limits", "backend", "subject", "rate", "tokens_in_max", "tokens_in_estimated", "tokens_out_max")


class TestSettle:
    async def test_again_changes_nothing(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1", *ALL))
            assert meter.settle(hold, Usage(1, 1), "done") == 3
            assert meter.settle(hold, Usage(10, 5), "failed") == 3
        assert await spent(database) == 3

    async def test_a_parallel_call_makes_room_when_it_ends(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            holds = [await meter.reserve(ask(f"{number}/1", PARALLEL)) for number in range(2)]
            with pytest.raises(RateLimited) as raised:
                await meter.reserve(ask("c/1", PARALLEL))
            assert raised.value.error_code == "parallel_exceeded"
            meter.settle(holds[0], Usage(), "failed")
            meter.settle(await meter.reserve(ask("c/1", PARALLEL)), Usage(), "failed")
            meter.settle(holds[1], Usage(), "failed")

    async def test_more_than_was_reserved_is_charged_all_the_same(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1", *ALL))
            assert meter.settle(hold, Usage(12, 9), "done") == 30
            await meter.posted()
            assert (await entries(database, "surplus"))["a/1"].amount == 10
            assert (await check_books(database)).equal
        assert [await used(database, each.id) for each in ALL] == [30, 21, 0, 1]

    @pytest.mark.parametrize("usage", [Usage(-5, -7), Usage(10**30, 1), Usage(3, 3, tokens_cached=9), Usage(audio_seconds=float("nan"))])
    async def test_an_absurd_usage_does_not_break_the_books(self, database: Database, tmp_path: Path, usage: Usage) -> None:
        async with metering(database, tmp_path) as meter:
            assert meter.settle(await meter.reserve(ask("a/1", BUDGET)), usage, "done") >= 0
            await meter.posted()
            assert (await check_books(database)).equal

    async def test_an_answer_from_the_cache_is_one_row_of_nothing(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            meter.hit(WHOSE, "model", "house", Usage(40, 9))
            await meter.posted()
            [row] = (await entries(database)).values()
            assert [row.outcome, row.reason] == ["cached", "saved 40/9"]
            assert [row.amount, row.quantity] == [0, 0]


class TestLife:
    async def test_standing_follows_what_is_reserved(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            hold = await meter.reserve(ask("a/1", *ALL))
            assert [each.remaining for each in meter.standing(ALL)] == [9980, 4985, 1, 499]
            meter.settle(hold, Usage(1, 1), "done")
            assert [each.remaining for each in meter.standing(ALL)] == [9997, 4998, 2, 499]

    async def test_a_changed_cap_holds_from_the_next_call(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path, options=tuned(sweep_seconds=60.0)) as meter:
            meter.settle(await meter.reserve(ask("a/1", limit("requests", 100))), Usage(1, 1), "done")
            meter.settle(await meter.reserve(ask("b/1", limit("requests", 100))), Usage(1, 1), "done")
            block = meter._blocks.present("limit/requests")
            assert block is not None
            await eventually(lambda: meter._notices.fresh)
            meter.settle(await meter.reserve(ask("c/1", limit("requests", 100))), Usage(1, 1), "done")
            block.free += 1  # so that there is something to let go of
            async with database.transaction() as session:
                await tell(session, "ledger_limits", "vision")
            await eventually(lambda: not block.free)
            with pytest.raises(QuotaExceeded):
                await meter.reserve(ask("d/1", limit("requests", 3)))

    async def test_closed_it_leaves_no_trace_and_takes_nothing_more(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            meter.settle(await meter.reserve(ask("a/1", *ALL)), Usage(10, 5), "done")
        await meter.close()
        assert list(tmp_path.iterdir()) == []
        assert await blocks(database) == []
        async with database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(ProcessRow)) == 0
        with pytest.raises(Unavailable):
            await meter.reserve(ask("b/1"))

    async def test_closed_with_an_open_call_it_leaves_that_to_others(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:
            meter.settle(await meter.reserve(ask("a/1", *ALL)), Usage(10, 5), "done")
            await meter.reserve(ask("b/1", *ALL))
        assert [path.name for path in tmp_path.iterdir()] == [f"{meter.process_id}.journal"]
        assert set(await entries(database, "reserve")) == {"a/1", "b/1"}
        assert await used(database, PARALLEL.id) >= 1

    async def test_not_started_it_meters_nothing(self, database: Database, tmp_path: Path) -> None:
        with pytest.raises(Unavailable):
            await Meter(database, tmp_path).reserve(ask("a/1"))

    async def test_a_part_that_ends_by_itself_stops_all(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path) as meter:

            async def broken() -> None:
                raise AssertionError

            meter._drawer.answer = broken  # type: ignore[method-assign]
            meter._drawer.siblings.hear("ask other limit/tokens")
            await eventually(lambda: meter._refusal)
            with pytest.raises(Unavailable, match="answers"):
                await meter.reserve(ask("a/1"))

    async def test_windows_roll_over_while_calls_are_open(self, database: Database, tmp_path: Path) -> None:
        now = [1_800_000_000.0]
        of = limit("tokens", 30, "minute")
        async with metering(database, tmp_path, options=tuned(clock=lambda: now[0])) as meter:
            holds = []
            for minute in range(3):
                holds += [await meter.reserve(ask(f"{minute}.{each}/1", of)) for each in range(2)]
                with pytest.raises(RateLimited):
                    await meter.reserve(ask(f"{minute}.x/1", of))
                now[0] += 60
            for hold in holds:
                meter.settle(hold, Usage(6, 1), "done")
            await meter.posted()
        assert await used(database, of.id) == 6 * 7
        assert await blocks(database) == []

    async def test_killed_it_has_journalled_all(self, database: Database, tmp_path: Path) -> None:
        async with metering(database, tmp_path, options=tuned(batch_seconds=60.0, recover=False)) as meter:
            meter.settle(await meter.reserve(ask("a/1", *ALL)), Usage(10, 5), "done")
            await kill(meter)
        assert await entries(database) == {}
        assert meter._journal.path.read_bytes().count(b'"a/1"') == 2
