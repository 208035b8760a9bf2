"""A client that goes: at any chunk, before the first, in a whole answer, while it is reserved; and what is charged then."""

import asyncio

import pytest

from factory_infra.saas.models.routing.attempts import Attempt
from tests.factory_infra.saas.models.routing.virtual import now, run
from tests.factory_infra.saas.models.routing.world import (
    PROMPT_TOKENS,
    Recalling,
    Stub,
    asker,
    chat,
    down,
    left_after,
    world,
)


class TestDisconnect:
    @pytest.mark.parametrize("cancel", [False, True])
    @pytest.mark.parametrize("words", [1, 2, 4])
    def test_cancel_closes_the_upstream_and_charges_what_came(self, words: int, cancel: bool) -> None:
        async def test() -> None:
            each = world(Stub("a"))
            await left_after(each, words, cancel=cancel)
            await each.quiet()
            name = each.meter.asks[0].name
            assert [end[1:] for end in each.meter.ends()] == [("disconnected", each.meter.asks[0].tokens_in_estimated, words, True)]
            assert each.stubs["a"].truth[name].tokens_out == words
            assert each.stubs["a"].closed == [name, "all"]

        run(test())

    @pytest.mark.parametrize("cancel", [False, True])
    def test_the_upstream_is_asked_where_it_can_tell(self, cancel: bool) -> None:
        async def test() -> None:
            each = world(Recalling("a", knows_after=3))
            await left_after(each, 2, cancel=cancel)
            assert each.meter.open
            await each.quiet()
            assert [end[1:] for end in each.meter.ends()] == [("disconnected", PROMPT_TOKENS, 2, False)]

        run(test())

    def test_an_upstream_that_has_forgotten_leaves_our_count(self) -> None:
        async def test() -> None:
            each = world(Recalling("a", knows_after=1000))
            await left_after(each, 2, cancel=False)
            await each.quiet()
            assert [(end[1], end[3], end[4]) for end in each.meter.ends()] == [("disconnected", 2, True)]

        run(test())

    def test_a_shutdown_while_the_upstream_is_asked_settles_what_is_known(self) -> None:
        async def test() -> None:
            each = world(Recalling("a", knows_after=1000))
            await left_after(each, 2, cancel=False)
            await each.gateway.close(0.1)
            assert [(end[1], end[3], end[4]) for end in each.meter.ends()] == [("disconnected", 2, True)]

        run(test())

    @pytest.mark.parametrize("cancel", [False, True])
    @pytest.mark.parametrize("words", [1, 2, 4])
    def test_drain_reads_to_the_end_and_charges_all(self, words: int, cancel: bool) -> None:
        async def test() -> None:
            each = world(Stub("a"), drain=True)
            await left_after(each, words, cancel=cancel)
            assert each.meter.open
            await each.quiet()
            assert [end[1:] for end in each.meter.ends()] == [("disconnected", PROMPT_TOKENS, 5, False)]

        run(test())

    def test_drain_is_bounded_by_the_deadline(self) -> None:
        async def test() -> None:
            each = world(Stub("a", words=10_000), drain=True, deadline_seconds=30)
            await left_after(each, 2, cancel=False)
            began = now()
            await each.gateway.close(1000)
            assert now() - began < 30
            assert [(end[1], end[4]) for end in each.meter.ends()] == [("failed", True)]
            assert 25 <= each.meter.settled[0].usage.tokens_out <= 30

        run(test())

    def test_drain_is_cut_off_and_settled_at_a_shutdown(self) -> None:
        async def test() -> None:
            each = world(Stub("a", words=100), drain=True)
            await left_after(each, 2, cancel=False)
            await each.gateway.close(10)
            assert [(end[1], end[4]) for end in each.meter.ends()] == [("disconnected", True)]
            assert 10 <= each.meter.settled[0].usage.tokens_out <= 13

        run(test())

    def test_who_reads_slowly_holds_up_a_draining_stream_and_loses_nothing(self) -> None:
        async def test() -> None:
            each = world(Stub("a", words=200, word_seconds=0.01), drain=True)
            said = 0
            async for item in each.gateway.stream(asker(), chat(stream=True)):
                await asyncio.sleep(0.05)
                said += len(item.chunks)
            assert said == 201
            assert [end[1:] for end in each.meter.ends()] == [("done", PROMPT_TOKENS, 200, False)]

        run(test())

    def test_before_the_first_piece_the_prompt_is_charged(self) -> None:
        async def test() -> None:
            each = world(Stub("a"))
            waiting = asyncio.ensure_future(anext(each.gateway.stream(asker(), chat(stream=True))))
            await asyncio.sleep(0.5)
            waiting.cancel()
            await asyncio.wait([waiting])
            await each.quiet()
            assert [end[1:] for end in each.meter.ends()] == [("disconnected", each.meter.asks[0].tokens_in_estimated, 0, True)]

        run(test())

    def test_a_whole_answer_that_nobody_waits_for(self) -> None:
        """Closed: asked for, else guessed by the time, never zero. Drained: charged as it is."""

        async def test() -> None:
            for stub, drain, expected in (
                (Stub("a"), False, ("disconnected", 150, True)),
                (Recalling("a"), False, ("disconnected", 0, False)),
                (Stub("a"), True, ("disconnected", 5, False)),
            ):
                each = world(stub, drain=drain)
                waiting = asyncio.ensure_future(each.gateway.complete(asker(), chat()))
                await asyncio.sleep(3 - 1e-3)
                waiting.cancel()
                await asyncio.wait([waiting])
                await each.quiet()
                assert [(end[1], end[3], end[4]) for end in each.meter.ends()] == [expected]
                assert each.meter.settled[0].usage.tokens_in > 0

        run(test())

    def test_a_cancellation_while_reserving_or_waiting_leaves_nothing_open(self) -> None:
        async def test() -> None:
            each = world(Stub("a", errors=[down(after=50.0)] * 2))
            each.meter.reserve_seconds = 1.0
            for wait in (0.5, 10.0):
                waiting = asyncio.ensure_future(each.gateway.complete(asker(), chat()))
                await asyncio.sleep(wait)
                waiting.cancel()
                await asyncio.wait([waiting])
                assert waiting.cancelled()
            await each.quiet()
            assert [end[1] for end in each.meter.ends()] == ["failed"]

        run(test())

    def test_control_without_settlement_on_disconnect_reservations_stay_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def test() -> None:
            each = world(Stub("a"))
            await left_after(each, 2, cancel=True)
            await each.quiet()
            each.meter.ends()

        monkeypatch.setattr(Attempt, "left", lambda *_: None)
        monkeypatch.setattr(Attempt, "failed", lambda *_: None)
        with pytest.raises(AssertionError, match="open"):
            run(test())
