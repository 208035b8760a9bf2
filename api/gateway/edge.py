"""The gateway as an ASGI application: which door a path leads to, what every request passes first, and how every fault is told."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import InterfaceError, OperationalError
from starlette.types import Receive, Scope, Send

from api.gateway import anthropic_messages, audio, embeddings, models, openai_chat, openai_responses, system
from api.gateway.auth import refuse_foreign_host, refuse_key_in_address
from api.gateway.errors import ClientGone, NotServed, Shape, body_of, retry_after_of, told
from api.gateway.exchange import Exchange, Header
from api.gateway.metrics import DOORS, Metrics, outcome_of
from api.gateway.service import Service
from factory_infra.errors import LineshaftError, Unauthenticated, Unavailable

log = structlog.get_logger("gateway")

SETTLE_SECONDS_MAX = 3.0
"""How long the end of the process waits for calls that were cut off to settle."""
Handler = Callable[[Exchange, Service], Awaitable[None]]
Connect = Callable[[], AbstractAsyncContextManager[Service]]


@dataclass(frozen=True, slots=True)
class Door:
    """What answers at a path."""

    name: str
    method: str
    shape: Shape
    handle: Handler
    number: int = 0


def _door(name: str, method: str, shape: Shape, handle: Handler) -> Door:
    return Door(name, method, shape, handle, DOORS.index(name))


ROUTES: dict[str, Door] = {
    "/v1/chat/completions": _door("chat", "POST", "openai", openai_chat.chat),
    "/v1/responses": _door("responses", "POST", "openai", openai_responses.responses),
    "/v1/embeddings": _door("embeddings", "POST", "openai", embeddings.embeddings),
    "/v1/audio/transcriptions": _door("transcriptions", "POST", "openai", audio.transcriptions),
    "/v1/audio/speech": _door("speech", "POST", "openai", audio.speech),
    "/v1/messages": _door("messages", "POST", "anthropic", anthropic_messages.messages),
    "/v1/messages/count_tokens": _door("count_tokens", "POST", "anthropic", anthropic_messages.count_tokens),
    models.PATH: _door("models", "GET", "openai", models.listed),
    "/health": _door("other", "GET", "openai", system.health),
    "/metrics": _door("other", "GET", "openai", system.metrics),
    "/openapi.json": _door("other", "GET", "openai", system.openapi),
}
ONE_MODEL = _door("models", "GET", "openai", models.one)
NOWHERE = DOORS.index("other")


class GatewayApp:
    """Connects when it starts, not before. One instance a process."""

    def __init__(self, connect: Connect, metrics: Metrics, *, loopback: bool) -> None:
        self._connect = connect
        self._metrics = metrics
        self._loopback = loopback
        self.service: Service | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the process's start and end."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            task = asyncio.current_task()
            assert task is not None  # noqa: S101  (an application is always run by a task)
            self._open.add(task)
            try:
                await self._count(Exchange(scope, receive, send))
            finally:
                self._open.discard(task)

    async def _live(self, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as stack:
            await receive()
            try:
                self.service = await stack.enter_async_context(self._connect())
            except (LineshaftError, OSError, OperationalError) as error:
                log.error("not started", reason=str(as_ours(error)))
                await send({"type": "lifespan.startup.failed", "message": ""})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if self._open:
                await asyncio.wait(self._open, timeout=SETTLE_SECONDS_MAX)
        await send({"type": "lifespan.shutdown.complete"})

    async def _count(self, exchange: Exchange) -> None:
        """Answer, and count how it went."""
        door = self._find(exchange.path)
        number, started = door.number if door else NOWHERE, time.monotonic()
        self._metrics.begin(number)
        try:
            await self._answer(exchange, door)
        finally:
            self._metrics.end(number, outcome_of(exchange.status), time.monotonic() - started)

    def _find(self, path: str) -> Door | None:
        found = ROUTES.get(path)
        return ONE_MODEL if found is None and path.startswith(f"{models.PATH}/") else found

    async def _answer(self, exchange: Exchange, door: Door | None) -> None:
        shape = shape_of(exchange, door)
        try:
            await self._enter(exchange, door)
        except ClientGone:
            exchange.status = 0
        except asyncio.CancelledError:
            await refuse(exchange, Unavailable("The gateway is stopping.", remedy="Send it again.", code="gateway_stopping"), shape)
            raise
        except Exception as error:  # noqa: BLE001  (the edge: what nobody foresaw is told in the client's shape, without a word of it)
            await refuse(exchange, as_ours(error), shape)

    async def _enter(self, exchange: Exchange, door: Door | None) -> None:
        """Let a request through to its door."""
        if self._loopback:
            refuse_foreign_host(exchange)
        refuse_key_in_address(exchange)
        if door is None:
            raise NotServed(f"Unknown request URL: {exchange.method} {exchange.path[:100]}.", 404)
        if exchange.method != door.method:
            raise NotServed(f"{exchange.method} is not served at {exchange.path[:100]}.", 405)
        if self.service is None:
            raise Unavailable("The gateway is starting.", remedy="Send it again.")
        await door.handle(exchange, self.service)


def shape_of(exchange: Exchange, door: Door | None) -> Shape:
    """The shape that the client reads: that of the door, or of what it says of itself where doors are shared."""
    if door is not None and door.shape == "anthropic":
        return "anthropic"
    return "anthropic" if b"anthropic-version" in exchange.headers and (door is None or door.name == "models") else "openai"


def as_ours(error: Exception) -> LineshaftError:
    """What a fault is told as."""
    if isinstance(error, LineshaftError):
        return error
    if isinstance(error, OperationalError | InterfaceError | TimeoutError):
        log.warning("the database does not answer", error=type(error).__name__)
        return Unavailable("The ledger's database does not answer.", remedy="See 'lineshaft status'.", code="database_unavailable")
    log.error("unforeseen", exc_info=error)
    return LineshaftError("Something went wrong here.", remedy="Try again; the gateway's log says more.")


async def refuse(exchange: Exchange, error: LineshaftError, shape: Shape) -> None:
    """Say an error: as the answer, or in the stream that is open, which then ends. After a whole answer there is nothing to say."""
    if exchange.ending is not None:
        await exchange.finish(exchange.ending(error))
    elif not exchange.status:
        await exchange.answer(told(error, shape).status, body_of(error, shape, exchange.id), refusal_headers(exchange, error, shape))


def refusal_headers(exchange: Exchange, error: LineshaftError, shape: Shape) -> list[Header]:
    """When to try again and whether at all, how the limits stand, and what the protocol wants."""
    seen = told(error, shape)
    found: list[Header] = [(b"x-should-retry", b"true" if seen.retry else b"false"), *exchange.on_refusal()]
    seconds = retry_after_of(error)
    if seconds is not None:
        found += [(b"retry-after", str(max(math.ceil(seconds), 1)).encode()), (b"retry-after-ms", str(math.ceil(seconds * 1000)).encode())]
    if isinstance(error, Unauthenticated):
        found.append((b"www-authenticate", b"Bearer"))
    if seen.status == 405:
        door = ROUTES.get(exchange.path, ONE_MODEL)
        found.append((b"allow", door.method.encode()))
    return found
