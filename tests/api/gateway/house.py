"""The gateway's doors over a stand-in for the routing: what it answers and how it fails is told by each test."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import uvicorn

from api.gateway.edge import GatewayApp
from api.gateway.metrics import Metrics
from api.gateway.service import Service
from factory_infra.errors import LineshaftError
from factory_infra.paas.tenants.keyring import Caller
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.proof import invalid_key
from factory_infra.saas.metering.models import Limit, Standing, Usage
from factory_infra.saas.models.calls import Audio, JsonObject
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing.answers import Answered, Asker, CardPrice, Head, ModelCard, Spoken, Streamed

KEY = "ls_0123456789ab_" + "k" * 43
USED = Usage(tokens_in=20, tokens_out=7, tokens_cached=5, tokens_cache_written=2, tokens_reasoning=3)
REQUESTS = Limit(id="r", resource="requests", window="minute", cap=Decimal(60), title="requests of team vision")
TOKENS = Limit(id="t", resource="tokens", window="minute", cap=Decimal(9000), title="tokens of team vision")
STANDINGS = (Standing(REQUESTS, Decimal(59), 30.0), Standing(TOKENS, Decimal(8000), 90.5))
CARD = ModelCard(
    id="fast",
    abilities=("chat", "stream", "tools"),
    context_tokens=8192,
    tokens_out_max=1024,
    created_at=1_790_000_000,
    prices=(CardPrice("qwen-7b", "EUR", "2026-01", Decimal("0.2"), Decimal("0.6"), Decimal("0.1"), Decimal(0), Decimal(0)),),
)


def head(call_id: str = "c") -> Head:
    """The head of an answer."""
    return Head(call_id=call_id, model="fast", backend="house", upstream_model="qwen", cache="miss", attempts=1, standings=STANDINGS)


def completion(text: str | None = "Hello.", *, finish: str = "stop", calls: list[JsonObject] | None = None) -> JsonObject:
    """A whole chat completion."""
    message: JsonObject = {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {})}
    usage: JsonObject = {"prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27}
    choices: list[Any] = [{"index": 0, "message": message, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "fast", "choices": choices, "usage": usage}


def call(index: int, name: str, arguments: str, call_id: str) -> JsonObject:
    """A call of a tool."""
    return {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def chunk(delta: JsonObject | None = None, finish: str | None = None) -> JsonObject:
    """A chunk of a chat completion."""
    choices: list[Any] = [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fast", "choices": choices}


def streamed(*chunks: JsonObject) -> list[Streamed]:
    """A stream of these chunks, with its head and its end."""
    items = [Streamed([each]) for each in chunks]
    return [Streamed(items[0].chunks, head=head()), *items[1:], Streamed([], usage=USED, amount=Decimal("0.0012"))]


WORDS = streamed(chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo."}), chunk({}, "stop"))


@dataclass
class Script:
    """A stand-in for the routing: what it answers, how it fails, and what it saw."""

    answer: JsonObject = field(default_factory=completion)
    items: list[Streamed] = field(default_factory=lambda: list(WORDS))
    error: Exception | None = None
    """Raised by whole answers at once, and by streams after their items."""
    hangs: bool = False
    """Whole answers never come, and streams do not go on after their items."""
    asked: list[tuple[Asker, Any]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    """How calls that did not end by themselves were ended."""
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def _whole(self, asker: Asker, request: Any) -> Answered:
        self.asked.append((asker, request))
        self.began.set()
        await self._end()
        return Answered(self.answer, USED, Decimal("0.0012"), head(asker.call_id))

    async def _end(self) -> None:
        if self.error is not None:
            raise self.error
        try:
            if self.hangs:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise

    async def complete(self, asker: Asker, request: ChatRequest) -> Answered:
        return await self._whole(asker, request)

    async def stream(self, asker: Asker, request: ChatRequest) -> AsyncGenerator[Streamed, None]:
        self.asked.append((asker, request))
        try:
            for item in self.items:
                yield item
                self.began.set()
                await asyncio.sleep(0)
        except (GeneratorExit, asyncio.CancelledError) as error:
            self.ended.append(type(error).__name__)
            raise
        await self._end()

    async def embed(self, asker: Asker, request: EmbeddingsRequest) -> Answered:
        return await self._whole(asker, request)

    async def transcribe(self, asker: Asker, request: TranscriptionRequest) -> Answered:
        return await self._whole(asker, request)

    async def speak(self, asker: Asker, request: SpeechRequest) -> Spoken:
        answered = await self._whole(asker, request)
        return Spoken(Audio(b"RIFF sound", "audio/wav", Usage(characters=5)), answered.amount, answered.head)

    def cards(self, caller: Caller) -> list[ModelCard]:
        return [CARD] if caller.models is None or CARD.id in caller.models else []


@dataclass
class Keys:
    """One key, with terms that a test may change."""

    role: Role = Role.USER
    scopes: frozenset[str] = frozenset({"gateway", "manage"})
    project: str = ""
    models: frozenset[str] | None = None
    tenant: str | None = "vision"

    async def authenticate(self, key: str) -> Caller:
        if key != KEY:
            raise invalid_key()
        principal = Principal(key_id="0123456789ab", name="k", role=self.role, tenant=self.tenant)
        return Caller(principal=principal, project=self.project, models=self.models, scopes=self.scopes, expires_at=None)


@dataclass
class Limits:
    """Two limits, and how they stand."""

    asked: list[tuple[str, str, str]] = field(default_factory=list)
    ailment: str = ""

    async def limits_of(self, tenant: str, project: str = "", key_id: str = "") -> tuple[Limit, ...]:
        self.asked.append((tenant, project, key_id))
        return (REQUESTS, TOKENS)

    def standing(self, limits: tuple[Limit, ...]) -> list[Standing]:
        return list(STANDINGS)


@dataclass
class Gate:
    """The doors of one test."""

    app: GatewayApp
    script: Script
    keys: Keys
    limits: Limits
    metrics: Metrics
    http: httpx.AsyncClient

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        """Send JSON under the key."""
        return await self.http.post(path, json=body, headers={"authorization": f"Bearer {KEY}", **headers})


def gate(*, loopback: bool = True, body_bytes_max: int = 10_000) -> Gate:
    """Doors over a stand-in, connected, reached without a socket."""
    script, keys, limits, metrics = Script(), Keys(), Limits(), Metrics(1)
    service = Service(script, keys, limits, limits, lambda: metrics.text().encode(), body_bytes_max)

    @asynccontextmanager
    async def connect() -> AsyncIterator[Service]:
        yield service

    app = GatewayApp(connect, metrics, loopback=loopback)
    app.service = service
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://127.0.0.1:8405")
    return Gate(app, script, keys, limits, metrics, http)


class Quiet(uvicorn.Server):
    """A server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: GatewayApp) -> AsyncIterator[str]:
    """Serve the doors on a real socket of this machine; yields the address."""
    opened = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="warning", lifespan="on", ws="none", timeout_graceful_shutdown=1, http="httptools")
    server = Quiet(config)
    task = asyncio.create_task(server.serve(sockets=[opened]))
    while not server.started:
        assert not task.done(), "the server ended"
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def events(text: str) -> list[tuple[str, str]]:
    """The events of a stream: name and data."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if fields:
            found.append((fields.get("event", ""), fields.get("data", "")))
    return found


class Odd(LineshaftError):
    """An error that no table foresees."""
