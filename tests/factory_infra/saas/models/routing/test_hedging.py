"""A second target beside a slow one: the first to answer is heard, both are accounted."""

import asyncio

import pytest

from factory_infra.errors import RateLimited
from tests.factory_infra.saas.models.routing.virtual import run
from tests.factory_infra.saas.models.routing.world import (
    ALL_WORDS,
    Stub,
    asker,
    chat,
    down,
    world,
)


class TestHedging:
    @pytest.mark.parametrize("drain", [False, True])
    def test_a_slow_target_is_hedged_and_the_loser_charged(self, drain: bool) -> None:
        async def test() -> None:
            each = world(Stub("a", first_seconds=10), Stub("b"), hedge_after_seconds=2, drain=drain)
            assert await each.words() == ALL_WORDS
            await each.quiet()
            ends = {settled.backend: settled for settled in each.meter.settled}
            assert ends["b"].outcome == "done"
            assert ends["a"].outcome == "disconnected"
            assert ends["a"].usage.tokens_in > 0
            assert ends["a"].usage.tokens_out == (5 if drain else 0)
            assert [limit.resource for limit in each.meter.asks[1].limits] == ["money", "tokens"]

        run(test())

    def test_a_quick_target_is_not_hedged(self) -> None:
        async def test() -> None:
            each = world(Stub("a"), Stub("b"), hedge_after_seconds=2)
            assert await each.words() == ALL_WORDS
            assert len(each.meter.ends()) == 1

        run(test())

    def test_a_whole_answer_is_hedged(self) -> None:
        async def test() -> None:
            each = world(Stub("a", first_seconds=60), Stub("b"), hedge_after_seconds=2)
            assert (await each.gateway.complete(asker(), chat())).backend == "b"
            assert sorted(end[1] for end in each.meter.ends()) == ["disconnected", "done"]

        run(test())

    def test_limits_that_leave_no_room_leave_the_first_alone(self) -> None:
        async def test() -> None:
            each = world(Stub("a", first_seconds=10), Stub("b"), hedge_after_seconds=2)
            each.meter.refusals = [None, RateLimited("no")]
            assert await each.words() == ALL_WORDS
            assert [settled.backend for settled in each.meter.settled] == ["a"]

        run(test())

    def test_when_both_fail_the_call_goes_on(self) -> None:
        async def test() -> None:
            slow = Stub("a", first_seconds=3, breaks=down(), breaks_after=0, opens=False)
            each = world(slow, Stub("b", errors=[down()]), Stub("c"), hedge_after_seconds=2)
            assert await each.words() == ALL_WORDS
            assert [settled.backend for settled in each.meter.settled] == ["b", "a", "c"]

        run(test())

    def test_who_leaves_a_hedged_call_leaves_nothing_open(self) -> None:
        async def test() -> None:
            each = world(Stub("a", first_seconds=10), Stub("b", first_seconds=10), hedge_after_seconds=2)
            waiting = asyncio.ensure_future(each.words())
            await asyncio.sleep(5)
            waiting.cancel()
            await asyncio.wait([waiting])
            await each.quiet()
            assert [end[1] for end in each.meter.ends()] == ["disconnected"] * 2

        run(test())
