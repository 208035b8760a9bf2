"""The gateway's calls: each attempt is reserved before it and settled after it, exactly once, whatever happens."""

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest

from factory_infra.errors import BudgetExceeded, EffectFailed, InvalidInput, NotFound, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import Abilities, Call, Piece
from factory_infra.saas.models.requests import EmbeddingsRequest, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing import gateway
from factory_infra.saas.models.routing.cache import key_of
from tests.factory_infra.saas.models.routing.virtual import live, now, run
from tests.factory_infra.saas.models.routing.world import (
    ALL_WORDS,
    LIMITS,
    PROMPT_TOKENS,
    Stub,
    asker,
    caller,
    chat,
    chunk,
    down,
    left_after,
    world,
)


class TestComplete:
    @staticmethod
    @live
    async def test_an_answer_is_reserved_settled_and_told() -> None:
        each = world(Stub("a"))
        who = asker()
        told = await each.gateway.complete(who, chat())
        ask = each.meter.asks[0]
        assert (ask.name, ask.limits, ask.backend, ask.subject) == (f"{who.call_id}/1", LIMITS, "a", "m")
        assert (ask.whose.tenant, ask.whose.project, ask.whose.key_id, ask.whose.plan_id, ask.whose.agent) == (
            "vision",
            "p1",
            "k1",
            "run1",
            "planner",
        )
        assert each.meter.ends() == [(f"{who.call_id}/1", "done", PROMPT_TOKENS, 5, False)]
        assert (told.body["model"], told.model, told.backend, told.cache, told.head.attempts) == ("fast", "fast", "a", "off", 1)
        assert told.body["usage"] is not None
        assert told.amount > 0
        assert [standing.limit for standing in told.standings] == list(LIMITS)

    @staticmethod
    @live
    async def test_the_upstream_is_bound_to_what_is_reserved() -> None:
        each = world(Stub("a"))
        await each.gateway.complete(asker(), chat(n=2))
        await each.gateway.complete(asker(), chat(max_completion_tokens=9))
        assert [call.body.get("max_tokens") for call in each.stubs["a"].calls] == [4096, 9]
        assert "max_completion_tokens" not in each.stubs["a"].calls[1].body
        assert [ask.tokens_out_max for ask in each.meter.asks] == [2 * 4096, 9]
        assert each.stubs["a"].calls[0].id == each.meter.asks[0].name

    @staticmethod
    @live
    async def test_a_refusal_of_the_meter_reaches_no_upstream() -> None:
        each = world(Stub("a"))
        each.meter.refusals = [BudgetExceeded("no money")]
        with pytest.raises(BudgetExceeded):
            await each.gateway.complete(asker(), chat())
        assert each.stubs["a"].calls == []
        assert each.meter.ends() == []

    @staticmethod
    @live
    async def test_a_fault_falls_back_at_once_and_both_attempts_are_accounted() -> None:
        each = world(Stub("a", errors=[down()]), Stub("b"))
        who, began = asker(), now()
        told = await each.gateway.complete(who, chat())
        assert (told.backend, told.head.attempts) == ("b", 2)
        assert each.meter.ends() == [(f"{who.call_id}/1", "failed", 0, 0, False), (f"{who.call_id}/2", "done", PROMPT_TOKENS, 5, False)]
        assert [limit.resource for limit in each.meter.asks[1].limits] == ["money", "tokens", "parallel"]
        assert each.stubs["b"].at[0] == pytest.approx(began, abs=0.01)

    @staticmethod
    @live
    async def test_what_is_wrong_with_the_request_is_not_tried_elsewhere() -> None:
        each = world(Stub("a", errors=[InvalidInput("no", code="model_call_refused")]), Stub("b"))
        with pytest.raises(InvalidInput):
            await each.gateway.complete(asker(), chat())
        assert each.stubs["b"].calls == []
        assert [outcome for _, outcome, *_ in each.meter.ends()] == ["failed"]

    @staticmethod
    @live
    async def test_a_refused_key_is_tried_elsewhere_and_not_again() -> None:
        each = world(Stub("a", errors=[EffectFailed("key", code="model_key_refused")] * 3), Stub("b", errors=[down()] * 9))
        with pytest.raises(Unavailable):
            await each.gateway.complete(
                asker(),
                chat(),
            )
        assert (len(each.stubs["a"].calls), len(each.stubs["b"].calls)) == (1, 1)

    @staticmethod
    @live
    async def test_retry_after_is_kept_to_and_the_deadline_never_passed() -> None:
        each = world(Stub("a", errors=[down(after=7.0)]))
        began = now()
        await each.gateway.complete(asker(), chat())
        assert each.stubs["a"].at[1] - began == pytest.approx(7.0, abs=0.01)
        each = world(Stub("a", errors=[down(after=7.0)]), deadline_seconds=5)
        began = now()
        with pytest.raises(Unavailable):
            await each.gateway.complete(asker(), chat())
        assert now() - began < 1

    @staticmethod
    @live
    async def test_a_slow_upstream_is_cut_off_at_the_deadline() -> None:
        each = world(Stub("a", first_seconds=100), deadline_seconds=20, retries={"attempts_max": 1})
        began = now()
        with pytest.raises(Unavailable) as caught:
            await each.gateway.complete(asker(), chat())
        assert caught.value.error_code == "model_timeout"
        assert now() - began == pytest.approx(20, abs=0.1)
        assert [outcome for _, outcome, *_ in each.meter.ends()] == ["failed"]

    @staticmethod
    @live
    async def test_what_a_target_cannot_do_is_left_out_or_refused_by_name() -> None:
        lame = Abilities(can=frozenset({"chat", "stream"}))
        tools = [{"type": "function", "function": {"name": "f"}}]
        each = world(Stub("a", able=lame), Stub("b"))
        assert (await each.gateway.complete(asker(), chat(tools=tools))).backend == "b"
        each = world(Stub("a", able=lame))
        with pytest.raises(InvalidInput) as caught:
            await each.gateway.complete(asker(), chat(tools=tools, seed=1))
        assert caught.value.error_code == "ability_missing"
        assert "tools" in caught.value.reason
        assert "seed" in caught.value.reason
        assert each.meter.asks == []

    @staticmethod
    @live
    async def test_a_prompt_beyond_the_context_is_refused_uncharged() -> None:
        each = world(Stub("a"))
        with pytest.raises(InvalidInput) as caught:
            await each.gateway.complete(asker(), chat(messages=[{"role": "user", "content": "a b " * 1_000_000}]))
        assert caught.value.error_code == "context_length_exceeded"
        assert each.meter.asks == []


class TestStream:
    @staticmethod
    @live
    async def test_a_stream_is_settled_by_the_upstreams_usage() -> None:
        each = world(Stub("a"))
        items = [item async for item in each.gateway.stream(asker(), chat(stream=True, stream_options={"include_usage": True}))]
        assert items[0].head is not None
        assert items[0].head.backend == "a"
        assert all(chunk["model"] == "fast" for item in items for chunk in item.chunks)
        assert items[-1].usage == Usage(PROMPT_TOKENS, 5)
        assert items[-1].chunks[0]["choices"] == []
        assert items[-1].chunks[0]["usage"]["completion_tokens"] == 5  # type: ignore[index,call-overload]
        assert [end[1:] for end in each.meter.ends()] == [("done", PROMPT_TOKENS, 5, False)]
        assert each.meter.progressed[-1] == Usage(PROMPT_TOKENS, 5)
        assert items[-1].amount == each.meter.asks[0].rate.cost(Usage(PROMPT_TOKENS, 5))

    @staticmethod
    @live
    async def test_usage_is_shown_only_to_who_asked() -> None:
        each = world(Stub("a"))
        items = [item async for item in each.gateway.stream(asker(), chat(stream=True))]
        assert not [chunk for item in items for chunk in item.chunks if "usage" in chunk]

    @staticmethod
    @live
    async def test_a_stream_that_never_tells_is_settled_by_our_count() -> None:
        each = world(Stub("a", tells=False))
        await each.words()
        estimated = each.meter.asks[0].tokens_in_estimated
        assert [end[1:] for end in each.meter.ends()] == [("done", estimated, 5, True)]

    @staticmethod
    @live
    async def test_a_fault_in_mid_stream_charges_what_came_and_is_not_tried_elsewhere() -> None:
        each = world(Stub("a", breaks=down("model_stream_broken")), Stub("b"))
        said = []
        with pytest.raises(Unavailable) as caught:
            async for item in each.gateway.stream(asker(), chat(stream=True)):
                said.append(item)
        assert caught.value.error_code == "model_stream_broken"
        assert each.stubs["b"].calls == []
        assert [(end[1], end[3]) for end in each.meter.ends()] == [("failed", 2)]

    @staticmethod
    @live
    async def test_a_fault_after_the_opening_only_is_tried_elsewhere() -> None:
        each = world(Stub("a", breaks=down("model_stream_broken"), breaks_after=0), Stub("b"))
        assert await each.words() == ALL_WORDS
        assert [(end[1], end[3]) for end in each.meter.ends()] == [("failed", 0), ("done", 5)]

    @staticmethod
    @live
    async def test_a_stream_ends_at_its_deadline() -> None:
        each = world(Stub("a", words=1000), deadline_seconds=10)
        with pytest.raises(Unavailable) as caught:
            await each.words()
        assert caught.value.error_code == "model_stream_broken"
        await each.quiet()
        assert [end[1] for end in each.meter.ends()] == ["failed"]
        assert each.stubs["a"].closed == [each.meter.asks[0].name, "all"]


class TestFaultsOfOurs:
    def test_a_fault_of_ours_is_settled_too(self) -> None:
        async def test() -> None:
            each = world(Stub("a", errors=[ZeroDivisionError()]))  # type: ignore[list-item]
            with pytest.raises(ZeroDivisionError):
                await each.gateway.complete(asker(), chat())
            each.stubs["a"].errors = [ZeroDivisionError()]  # type: ignore[list-item]
            with pytest.raises(ZeroDivisionError):
                await each.words()
            assert [(end[1], end[3]) for end in each.meter.ends()] == [("failed", 0)] * 2

        run(test())

    def test_in_the_middle_of_a_stream_too_and_nobody_waits_for_what_does_not_come(self) -> None:
        class Odd(Stub):
            async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
                self._begin(call)
                yield Piece([chunk(call, {"content": "w1 "})], 1)
                raise ZeroDivisionError

        async def test(drain: bool) -> None:
            each = world(Odd("a"), drain=drain)
            async with asyncio.timeout(60):
                with pytest.raises((ZeroDivisionError, Unavailable)):
                    await each.words()
            await each.quiet()
            assert [end[1] for end in each.meter.ends()] == ["failed"]

        for drain in (False, True):
            run(test(drain))


class TestVisibility:
    @staticmethod
    @live
    async def test_unknown_and_forbidden_are_the_same() -> None:
        each = world(Stub("a"), tenants=["speech"])
        refusals = []
        for who, request in ((caller(), chat()), (caller("speech", frozenset({"x"})), chat()), (caller("speech"), chat(model="nope"))):
            with pytest.raises(NotFound) as caught:
                await each.gateway.complete(asker(who), request)
            refusals.append((caught.value.error_code, str(caught.value).replace("nope", "fast")))
        assert len(set(refusals)) == 1
        assert refusals[0][0] == "model_not_found"
        assert each.meter.asks == []
        assert each.gateway.cards(caller()) == []
        for who in (caller("speech"), caller("speech", frozenset({"fast"})), caller(None)):
            assert [card.id for card in each.gateway.cards(who)] == ["fast"]
            await each.gateway.complete(asker(who), chat())
        assert each.meter.asks[-1].whose.tenant == "platform"

    @staticmethod
    @live
    async def test_cards_tell_abilities_and_prices() -> None:
        each = world(Stub("a"), Stub("b", able=Abilities(can=frozenset({"chat", "logprobs"}), context_tokens=99_999)))
        card = each.gateway.cards(caller())[0]
        assert {"chat", "logprobs", "tools"} <= set(card.abilities)
        assert card.context_tokens == 99_999
        assert card.prices[0].million_out > Decimal(0)


class TestCache:
    @staticmethod
    @live
    async def test_the_same_request_is_answered_from_the_cache_and_noted() -> None:
        each = world(Stub("a"), cache_seconds=60)
        first = await each.gateway.complete(asker(), chat())
        again = await each.gateway.complete(asker(), chat())
        assert (first.cache, again.cache, again.amount) == ("miss", "hit", Decimal(0))
        assert again.body == first.body
        assert again.usage == Usage(PROMPT_TOKENS, 5)
        assert each.meter.hits == [("vision", Usage(PROMPT_TOKENS, 5))]
        assert len(each.stubs["a"].calls) == 1
        await asyncio.sleep(61)
        assert (await each.gateway.complete(asker(), chat())).cache == "miss"

    @staticmethod
    @live
    async def test_a_stream_is_played_again_as_a_stream() -> None:
        each = world(Stub("a"), cache_seconds=60)
        request = chat(stream=True, stream_options={"include_usage": True})
        first = [item async for item in each.gateway.stream(asker(), request)]
        again = [item async for item in each.gateway.stream(asker(), request)]
        assert [chunk for item in again for chunk in item.chunks] == [chunk for item in first for chunk in item.chunks]
        assert again[0].head is not None
        assert again[0].head.cache == "hit"
        assert (again[-1].usage, again[-1].amount) == (Usage(PROMPT_TOKENS, 5), Decimal(0))
        assert len(each.stubs["a"].calls) == 1

    @staticmethod
    @live
    async def test_another_team_another_field_or_a_wish_misses() -> None:
        each = world(Stub("a"), cache_seconds=60)
        await each.gateway.complete(asker(), chat())
        for who, request in (
            (asker(caller("speech")), chat()),
            (asker(), chat(temperature=0.1)),
            (asker(), chat(user="x")),
            (asker(), chat(messages=[{"role": "user", "content": "Hello "}])),
        ):
            assert (await each.gateway.complete(who, request)).cache == "miss"
        assert (await each.gateway.complete(asker(cacheable=False), chat())).cache == "off"
        assert each.meter.hits == []

    @staticmethod
    @live
    async def test_what_broke_or_was_left_is_not_kept() -> None:
        each = world(Stub("a", breaks=down("model_stream_broken")), cache_seconds=60)
        with pytest.raises(Unavailable):
            await each.words()
        each.stubs["a"].breaks = None
        await left_after(each, 2, cancel=False)
        assert await each.words() == ALL_WORDS
        assert each.meter.hits == []

    @staticmethod
    @live
    async def test_off_by_default() -> None:
        each = world(Stub("a"))
        await each.gateway.complete(asker(), chat())
        assert (await each.gateway.complete(asker(), chat())).cache == "off"
        assert len(each.stubs["a"].calls) == 2


class TestOthers:
    @staticmethod
    @live
    async def test_vectors_as_floats_and_as_base64() -> None:
        each = world(Stub("a"))
        floats = await each.gateway.embed(asker(), EmbeddingsRequest.parse({"model": "fast", "input": ["a", "b"]}))
        packed = await each.gateway.embed(asker(), EmbeddingsRequest.parse({"model": "fast", "input": "a", "encoding_format": "base64"}))
        assert floats.body["data"][1]["embedding"] == [0.5, -1.0]  # type: ignore[index,call-overload]
        assert packed.body["data"][0]["embedding"] == "AAAAPwAAgL8="  # type: ignore[index,call-overload]
        assert [end[1:4] for end in each.meter.ends()] == [("done", 6, 0), ("done", 3, 0)]
        assert "encoding_format" not in each.stubs["a"].calls[1].body

    @staticmethod
    @live
    async def test_sound_is_reserved_by_its_longest_and_charged_by_its_seconds() -> None:
        each = world(Stub("a"))
        told = await each.gateway.transcribe(asker(), TranscriptionRequest.parse({"model": "fast"}, b"x" * 5000, "audio/mpeg"))
        ask = each.meter.asks[0]
        assert ask.money_floor == ask.rate.audio_second * 10
        assert told.amount == ask.rate.audio_second * 2
        assert each.stubs["a"].calls[0].audio_type == "audio/mpeg"

    @staticmethod
    @live
    async def test_speech_is_reserved_and_charged_by_the_character() -> None:
        each = world(Stub("a"))
        spoken = await each.gateway.speak(asker(), SpeechRequest.parse({"model": "fast", "input": "hello", "voice": "joanna"}))
        ask = each.meter.asks[0]
        assert spoken.audio.data == b"RIFF"
        assert spoken.amount == ask.money_floor == ask.rate.character * 5


class TestMetrics:
    @staticmethod
    @live
    async def test_calls_attempts_tokens_and_breakers_are_counted() -> None:
        each = world(Stub("a", errors=[down()]), Stub("b"))
        await each.words()
        with pytest.raises(NotFound):
            await each.gateway.complete(asker(), chat(model="made-up-by-a-stranger"))

        def value(name: str, **labels: str) -> float | None:
            return each.gateway.metrics.value(name, **labels)

        assert value("calls_total", model="fast", outcome="done", cache="off") == 1
        assert value("calls_total", model="", outcome="refused", cache="off") == 1
        assert value("attempts_total", model="fast", backend="a", outcome="failed") == 1
        assert value("tokens_total", model="fast", backend="b", direction="out") == 5
        assert value("first_piece_seconds_count", model="fast", backend="b") == 1
        assert value("breaker_state", model="fast", backend="b") == 0


class TestResting:
    @staticmethod
    @live
    async def test_a_target_that_fails_is_left_alone_and_tried_again() -> None:
        each = world(Stub("a", errors=[down()] * 4), Stub("b"), breaker={"calls_min": 4, "open_seconds": 30})
        for _ in range(6):
            await each.gateway.complete(asker(), chat())
        assert len(each.stubs["a"].calls) == 4
        await asyncio.sleep(30)
        assert (await each.gateway.complete(asker(), chat())).backend == "a"

    @staticmethod
    @live
    async def test_when_all_are_left_alone_the_client_is_told_when() -> None:
        each = world(Stub("a", errors=[down()] * 9), breaker={"calls_min": 1, "open_seconds": 30}, retries={"attempts_max": 1})
        with pytest.raises(Unavailable):
            await each.gateway.complete(asker(), chat())
        with pytest.raises(Unavailable) as caught:
            await each.gateway.complete(asker(), chat())
        assert caught.value.retry_after_seconds == pytest.approx(30, abs=0.1)
        assert len(each.stubs["a"].calls) == 1

    @staticmethod
    @live
    async def test_a_refusal_of_the_meter_gives_the_trial_back() -> None:
        each = world(Stub("a", errors=[down()]), breaker={"calls_min": 1, "open_seconds": 30}, retries={"attempts_max": 1})
        with pytest.raises(Unavailable):
            await each.gateway.complete(asker(), chat())
        await asyncio.sleep(31)
        each.meter.refusals = [BudgetExceeded("no")]
        with pytest.raises(BudgetExceeded):
            await each.gateway.complete(asker(), chat())
        assert (await each.gateway.complete(asker(), chat())).backend == "a"

    @staticmethod
    @live
    async def test_control_without_a_breaker_it_is_asked_each_time() -> None:
        each = world(Stub("a", errors=[down()] * 9), Stub("b"), breaker={"calls_min": 1000})
        for _ in range(6):
            await each.gateway.complete(asker(), chat())
        assert len(each.stubs["a"].calls) == 6


def test_control_a_key_without_the_team_serves_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        each = world(Stub("a"), cache_seconds=60)
        await each.gateway.complete(asker(), chat())
        assert (await each.gateway.complete(asker(caller("speech")), chat())).cache == "hit"

    monkeypatch.setattr(gateway, "key_of", lambda tenant, *rest: key_of("", *rest))
    run(test())
