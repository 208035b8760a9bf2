"""The gateway with a keeper: what is kept, of whom, and that an answer is the same with and without."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from typing import Any

import pytest

from factory_infra.errors import Unavailable
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.requests import ChatRequest
from factory_infra.saas.models.routing.answers import Answered, Asker, Head, Streamed
from factory_infra.saas.models.transcripts.models import Kept
from factory_infra.saas.models.transcripts.recorded import Joined, Recorded

HEAD = Head("c1", "fast", "house", "m", "off", 1)
REQUEST = ChatRequest({"model": "fast", "messages": [{"role": "user", "content": "hi"}]})


def chunk(**delta: Any) -> JsonObject:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


class Chats:
    """Says two words; breaks after the first where it is told to."""

    embed = transcribe = speak = cards = None

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.closed = False

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        if self.breaks:
            raise Unavailable("down")
        return Answered({"choices": [{"message": {"content": "one two"}}]}, Usage(), Decimal(0), HEAD)

    async def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        try:
            yield Streamed([chunk(content="one ")], HEAD)
            if self.breaks:
                raise Unavailable("broken")
            yield Streamed([chunk(content="two")])
        finally:
            self.closed = True


class Keeping:
    """Remembers what it was given."""

    def __init__(self, *teams: str) -> None:
        self.teams = teams
        self.kept: list[Kept] = []

    async def wanted(self, tenant: str) -> bool:
        return tenant in self.teams

    def keep(self, call: Kept) -> None:
        self.kept.append(call)


def asker(tenant: str = "vision") -> Asker:
    principal = Principal(key_id="k1", name="n", role=Role.USER, tenant=tenant)
    return Asker(Caller(principal, "", None, frozenset({"gateway"}), None), (), "c1")


async def heard(recorded: Recorded, tenant: str = "vision") -> list[Streamed]:
    return [item async for item in recorded.stream(asker(tenant), REQUEST)]


def text(kept: Kept) -> tuple[Any, Any]:
    answer: Any = kept.answer
    return answer["whole"], answer["choices"][0]["message"]["content"]


async def test_a_team_that_did_not_ask_is_not_kept() -> None:
    keeper = Keeping("language")
    recorded = Recorded(Chats(), keeper)  # type: ignore[arg-type]
    assert len(await heard(recorded)) == 2
    await recorded.complete(asker(), REQUEST)
    assert keeper.kept == []


async def test_a_whole_answer() -> None:
    keeper = Keeping("vision")
    answered = await Recorded(Chats(), keeper).complete(asker(), REQUEST)  # type: ignore[arg-type]
    assert [(kept.id, kept.key_id, kept.request, kept.answer) for kept in keeper.kept] == [("c1", "k1", REQUEST.sent, answered.body)]


async def test_a_stream_is_joined() -> None:
    keeper = Keeping("vision")
    await heard(Recorded(Chats(), keeper))  # type: ignore[arg-type]
    assert text(keeper.kept[0]) == (True, "one two")


async def test_a_stream_that_broke_is_kept_as_far_as_it_got() -> None:
    keeper = Keeping("vision")
    with pytest.raises(Unavailable):
        await heard(Recorded(Chats(breaks=True), keeper))  # type: ignore[arg-type]
    assert text(keeper.kept[0]) == (False, "one ")


async def test_a_stream_that_was_left_closes_what_is_behind_at_once() -> None:
    keeper, chats = Keeping("vision"), Chats()
    async with aclosing(Recorded(chats, keeper).stream(asker(), REQUEST)) as items:  # type: ignore[arg-type]
        await anext(items)
    assert chats.closed
    assert text(keeper.kept[0]) == (False, "one ")


async def test_a_call_that_failed_before_anything_is_not_kept() -> None:
    keeper = Keeping("vision")
    with pytest.raises(Unavailable):
        await Recorded(Chats(breaks=True), keeper).complete(asker(), REQUEST)  # type: ignore[arg-type]
    assert keeper.kept == []


def test_tool_calls_are_joined_by_their_index() -> None:
    joined = Joined()
    joined.add([chunk(tool_calls=[{"index": 0, "id": "t1", "function": {"name": "now", "arguments": '{"a"'}}])])
    joined.add([chunk(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}])])
    told: Any = joined.answer()
    assert told["choices"][0]["message"]["tool_calls"] == [{"id": "t1", "name": "now", "arguments": '{"a": 1}'}]
