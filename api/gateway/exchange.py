"""One request and its answer on bare ASGI: headers, a bounded body, an answer at once or piece by piece, and a client that may leave."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from typing import TypeVar

from starlette.types import Message, Receive, Scope, Send

from api.gateway.errors import ClientGone
from factory_infra.errors import InvalidInput, LineshaftError, TooLarge

Header = tuple[bytes, bytes]
T = TypeVar("T")

JSON: Header = (b"content-type", b"application/json")
EVENTS: tuple[Header, ...] = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no"))
ALWAYS: tuple[Header, ...] = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
DECLARED = re.compile(rb"[0-9]{1,12}")
BODY_SECONDS_MAX = 60.0
WRITE_SECONDS_MAX = 30.0
"""A client that stops reading holds a reservation and a connection to an upstream; after this it counts as gone."""


class Exchange:
    """One request. Not shared between tasks."""

    __slots__ = ("_receive", "_send", "ending", "headers", "id", "method", "on_refusal", "path", "query", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.id = os.urandom(16).hex()
        """Ours, never the client's: the reservations of the call are named by it."""
        self.on_refusal: Callable[[], list[Header]] = list
        """What a refusal carries besides its own headers."""
        self.ending: Callable[[LineshaftError], bytes] | None = None
        """How an error is said in the stream that is open; None while none is."""
        self.status = 0

    def header(self, name: bytes) -> str:
        """A header's text; empty where it is not sent."""
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX) -> bytes:
        """Read the whole body. Raises TooLarge before reading more than is allowed, ClientGone, InvalidInput when it comes too slowly."""
        if self.headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidInput("A compressed body is not taken.", remedy="Send it as it is.", code="encoding_refused")
        declared = self.headers.get(b"content-length", b"0")
        if not DECLARED.fullmatch(declared) or int(declared) > bytes_max:
            raise too_large(bytes_max)
        try:
            async with asyncio.timeout(seconds_max):
                return await self._joined(await self._receive(), bytes_max)
        except TimeoutError as error:
            raise InvalidInput(f"The body did not come within {seconds_max:.0f} s.", remedy="Send it at once.", code="body_slow") from error

    async def _joined(self, message: Message, bytes_max: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while message["type"] == "http.request":
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > bytes_max:
                raise too_large(bytes_max)
            if not message.get("more_body"):
                return b"".join(pieces)
            message = await self._receive()
        raise ClientGone("The caller is gone.")

    async def answer(self, status: int, body: bytes, headers: list[Header], media: Header = JSON) -> None:
        """Send a whole answer."""
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [media, length, *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def open_events(self, headers: list[Header], ending: Callable[[LineshaftError], bytes]) -> None:
        """Begin a stream of events, and remember how an error is said in it."""
        self.ending = ending
        await self._start(200, [*EVENTS, *headers])

    async def write(self, data: bytes) -> None:
        """Send a piece of a stream; waits while the client reads more slowly. Raises ClientGone for one that reads no more."""
        try:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError as error:
            raise ClientGone("The caller does not read.") from error

    async def finish(self, data: bytes) -> None:
        """Send the last piece of a stream."""
        self.ending = None
        await self._send({"type": "http.response.body", "body": data})

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.status = status
        whole = [*headers, (b"x-request-id", self.id.encode()), *ALWAYS]
        await self._send({"type": "http.response.start", "status": status, "headers": whole})

    async def while_connected(self, work: Coroutine[None, None, T]) -> T:
        """Wait for some work, and end it as soon as the client is gone. Raises ClientGone, and what the work raises.

        The body must have been read. The work sees a CancelledError, and is waited for: when this returns it has tidied up.
        """
        task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(self._left())
        try:
            await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone("The caller is gone.")
            return task.result()
        finally:
            leaving.cancel()
            if not task.done():
                await _ended(task)

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _ended(task: asyncio.Future[T]) -> None:
    """Cancel a task and wait until it is over; what it says at its end is nobody's any more."""
    task.cancel()
    with suppress(asyncio.CancelledError, LineshaftError):
        await task


async def closed(items: AsyncGenerator[T, None]) -> None:
    """Close a generator that may have ended by itself; an error that it raises while it closes is its own affair."""
    with suppress(LineshaftError):
        await items.aclose()


def too_large(bytes_max: int) -> TooLarge:
    """The refusal of a body."""
    return TooLarge(f"The body is larger than {bytes_max} bytes.", remedy="Send less.")
