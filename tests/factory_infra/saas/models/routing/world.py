"""A gateway in memory: upstreams that know the truth of what they produced, and a meter that keeps a record of everything."""

import asyncio
import itertools
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest
import yaml

from factory_infra.errors import LineshaftError, QuotaExceeded, Unavailable
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.saas.metering.meter import Ask, Hold
from factory_infra.saas.metering.models import Attribution, Limit, Outcome, Standing, Usage
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.metering.uses import budget_limit
from factory_infra.saas.models.backend import Backend
from factory_infra.saas.models.calls import Abilities, Answer, Audio, Call, JsonObject, Piece
from factory_infra.saas.models.requests import ChatRequest
from factory_infra.saas.models.routing.answers import Asker, Streamed
from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.gateway import Gateway, Wiring
from factory_infra.saas.models.routing.targets import Targets
from tests.factory_infra.saas.models.routing import virtual

ALL = Abilities(
    can=frozenset({"chat", "stream", "tools", "n", "json_schema", "images", "embeddings", "transcription", "speech"}),
    fields=frozenset({"seed"}),
)
PROMPT_TOKENS = 7
NUMBERS = itertools.count(1)


@dataclass
class Stub:
    """An upstream that says so many words, each a token, and counts what it produced."""

    name: str
    words: int = 5
    first_seconds: float = 1.0
    word_seconds: float = 1.0
    errors: list[LineshaftError] = field(default_factory=list)
    """Raised before anything is said, one a call."""
    breaks: LineshaftError | None = None
    """Raised after `breaks_after` words."""
    breaks_after: int = 2
    tells: bool = True
    opens: bool = True
    """Begin with a chunk that has only the role."""
    able: Abilities = ALL
    calls: list[Call] = field(default_factory=list)
    truth: dict[str, Usage] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)

    def abilities(self, model: str) -> Abilities:
        return self.able

    async def close(self) -> None:
        self.closed.append("all")

    def _begin(self, call: Call) -> None:
        self.calls.append(call)
        self.at.append(virtual.now())
        if self.errors:
            raise self.errors.pop(0)
        self.truth[call.id] = Usage(PROMPT_TOKENS)

    async def complete(self, call: Call) -> Answer:
        self._begin(call)
        try:
            await asyncio.sleep(self.first_seconds + self.words * self.word_seconds)
        except asyncio.CancelledError:
            self.closed.append(call.id)
            raise
        self.truth[call.id] = usage = Usage(PROMPT_TOKENS, self.words)
        message: JsonObject = {"role": "assistant", "content": "word " * self.words}
        choice: JsonObject = {"index": 0, "message": message, "finish_reason": "stop"}
        return Answer({"id": "c1", "object": "chat.completion", "created": 1, "model": call.model, "choices": [choice]}, usage)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        self._begin(call)
        try:
            await asyncio.sleep(self.first_seconds)
            if self.opens:
                yield Piece([chunk(call, {"role": "assistant", "content": ""})], 0)
            for number in range(1, self.words + 1):
                if number > 1:
                    await asyncio.sleep(self.word_seconds)
                if self.breaks is not None and number > self.breaks_after:
                    raise self.breaks
                self.truth[call.id] = Usage(PROMPT_TOKENS, number)
                yield Piece([chunk(call, {"content": f"w{number} "})], number)
            if self.tells:
                told: JsonObject = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": self.words, "total_tokens": 0}
                yield Piece([chunk(call) | {"choices": [], "usage": told}], self.words, Usage(PROMPT_TOKENS, self.words))
        finally:
            self.closed.append(call.id)

    async def embed(self, call: Call) -> Answer:
        self._begin(call)
        texts = call.body["input"]
        count = len(texts) if isinstance(texts, list) else 1
        data: JsonObject = {"data": [{"object": "embedding", "index": index, "embedding": [0.5, -1.0]} for index in range(count)]}
        return Answer(data, Usage(3 * count))

    async def transcribe(self, call: Call) -> Answer:
        self._begin(call)
        return Answer({"text": "hello"}, Usage(audio_seconds=2.0))

    async def speak(self, call: Call) -> Audio:
        self._begin(call)
        return Audio(b"RIFF", "audio/wav", Usage(characters=len(str(call.body["input"]))))


@dataclass
class Recalling(Stub):
    """An upstream that tells afterwards what a call used, once it knows."""

    knows_after: int = 0
    asked: int = 0

    async def usage_of(self, call_id: str) -> Usage | None:
        self.asked += 1
        return self.truth.get(call_id) if self.asked > self.knows_after else None


def chunk(call: Call, delta: JsonObject | None = None) -> JsonObject:
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": call.model,
        "choices": [{"index": 0, "delta": delta or {}}],
    }


@dataclass
class Settlement:
    """How one reservation ended."""

    name: str
    usage: Usage
    outcome: Outcome
    backend: str
    reason: str = ""


class Record:
    """A meter that keeps everything, and fails the test where something is settled twice."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []
        self.settled: list[Settlement] = []
        self.hits: list[tuple[str, Usage]] = []
        self.progressed: list[Usage] = []
        self.refusals: list[QuotaExceeded | None] = []
        self.reserve_seconds = 0.0
        self._open: dict[str, Ask] = {}

    @property
    def open(self) -> list[str]:
        return list(self._open)

    async def reserve(self, ask: Ask) -> Hold:
        if self.reserve_seconds:
            await asyncio.sleep(self.reserve_seconds)
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        assert ask.name not in {known.name for known in self.asks}
        self.asks.append(ask)
        self._open[ask.name] = ask
        return cast(Hold, SimpleNamespace(ask=ask))

    def progress(self, hold: Hold, usage: Usage) -> None:
        assert hold.ask.name in self._open
        self.progressed.append(usage)

    def settle(self, hold: Hold, usage: Usage, outcome: Outcome, reason: str = "") -> Decimal:
        assert self._open.pop(hold.ask.name, None) is not None, "settled twice"
        self.settled.append(Settlement(hold.ask.name, usage, outcome, hold.ask.backend, reason))
        return hold.ask.rate.cost(usage)

    def hit(self, whose: Attribution, subject: str, backend: str, saved: Usage) -> None:
        self.hits.append((whose.tenant, saved))

    def standing(self, limits: tuple[Limit, ...]) -> list[Standing]:
        return [Standing(limit, limit.cap, 60.0) for limit in limits]

    def ends(self) -> list[tuple[str, Outcome, int, int, bool]]:
        """Each settlement: name, outcome, tokens in and out, whether estimated."""
        assert not self._open, "a reservation is open"
        return [(each.name, each.outcome, each.usage.tokens_in, each.usage.tokens_out, each.usage.estimated) for each in self.settled]


BUDGET = budget_limit("vision", Decimal(100))
LIMITS = (
    BUDGET,
    Limit("r", "requests", "minute", Decimal(9), "requests"),
    Limit("t", "tokens", "minute", Decimal(9), "tokens"),
    Limit("p", "parallel", "now", Decimal(9), "parallel"),
)


def caller(tenant: str | None = "vision", models: frozenset[str] | None = None) -> Caller:
    return Caller(Principal(key_id="k1", name="k", role=Role.USER, tenant=tenant), "p1", models, frozenset({"gateway"}), None)


def asker(who: Caller | None = None, *, cacheable: bool = True) -> Asker:
    return Asker(who or caller(), LIMITS, f"call{next(NUMBERS)}", run_id="run1", agent="planner", cacheable=cacheable)


def chat(**fields: object) -> ChatRequest:
    return ChatRequest.parse(cast(JsonObject, {"model": "fast", "messages": [{"role": "user", "content": "Hello"}], **fields}))


@dataclass
class World:
    """A gateway over stubs."""

    gateway: Gateway
    meter: Record
    targets: Targets
    stubs: dict[str, Stub]

    async def words(self, request: ChatRequest | None = None, who: Asker | None = None) -> list[str]:
        """All that a stream says."""
        return [word async for item in self.gateway.stream(who or asker(), request or chat(stream=True)) for word in words_of(item)]

    async def quiet(self) -> None:
        """Wait until nothing goes on in the background."""
        await self.gateway.close()


def words_of(item: Streamed) -> list[str]:
    found = []
    for each in item.chunks:
        for choice in cast(list[dict[str, dict[str, str]]], each["choices"]):
            found += choice["delta"].get("content", "").split()
    return found


def world(*stubs: Stub, drain: bool = False, backends: dict[str, JsonObject] | None = None, **model: object) -> World:
    """A gateway with one virtual model, `fast`, whose route is the stubs in their order."""
    specs: dict[str, JsonObject] = {
        stub.name: {"kind": "scripted", "on_disconnect": "drain" if drain else "cancel", **(backends or {}).get(stub.name, {})}
        for stub in stubs
    }
    route = model.pop("route", [{"backend": stub.name, "model": "m"} for stub in stubs])
    setup = Setup.parse(yaml.safe_dump({"backends": specs, "models": {"fast": {"route": route, **model}}}), "test.yaml")
    meter = Record()
    clock = asyncio.get_running_loop().time
    targets = Targets(setup, cast(dict[str, Backend], {stub.name: stub for stub in stubs}), PriceBook.load(), clock)
    gateway = Gateway(targets, meter, Wiring(clock=clock, chance=random.Random(1)))  # noqa: S311 - not for secrets
    return World(gateway, meter, targets, {stub.name: stub for stub in stubs})


ALL_WORDS = ["w1", "w2", "w3", "w4", "w5"]


def down(code: str = "model_unavailable", after: float | None = None) -> Unavailable:
    """The fault of an upstream that does not answer."""
    return Unavailable("down", code=code, retry_after_seconds=after)


async def left_after(each: World, words: int, *, cancel: bool) -> None:
    """Read some words and leave: by closing the stream, or by a cancellation while the next word is waited for."""
    stream = each.gateway.stream(asker(), chat(stream=True))
    for _ in range(words):
        await anext(stream)
    if not cancel:
        await stream.aclose()
        return
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.25)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
