"""A witness between clients and the gateway: passes everything on as it comes, and remembers every exchange."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

HOP = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer"})
BODY_BYTES_MAX = 32 * 1024 * 1024


@dataclass(slots=True)
class Exchange:
    """What went over the wire for one request."""

    method: str
    path: str
    request_type: str = ""
    request: bytes = b""
    status: int = 0
    """0 where no answer came."""
    kind: str = ""
    """The answer's content type, without its parameters."""
    answer: bytes = b""


@dataclass
class Witness:
    """What was seen."""

    upstream: str
    url: str = ""
    exchanges: list[Exchange] = field(default_factory=list)

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Hand one request on and its answer back, byte for byte as they come."""
        seen = Exchange(request.method, request.path_qs, request.headers.get("Content-Type", ""), await request.read())
        self.exchanges.append(seen)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            aiohttp.ClientSession(auto_decompress=False, timeout=timeout, trust_env=False) as session,
            session.request(request.method, self.upstream + request.path_qs, headers=headers, data=seen.request or None) as answer,
        ):
            seen.status, seen.kind = answer.status, answer.content_type
            back = {name: value for name, value in answer.headers.items() if name.lower() not in HOP}
            response = web.StreamResponse(status=answer.status, headers=back)
            await response.prepare(request)
            async for data in answer.content.iter_any():
                seen.answer += data
                await response.write(data)
            await response.write_eof()
            return response

    async def serve(self, started: threading.Event, end: asyncio.Event) -> None:
        """Listen until told to end."""
        app = web.Application(client_max_size=BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", self.pass_on)
        runner = web.AppRunner(app, shutdown_timeout=0.5, handler_cancellation=True, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await end.wait()
        await runner.cleanup()


@contextmanager
def witnessing(upstream: str) -> Iterator[Witness]:
    """A witness before that address, in a thread of its own."""
    witness, started = Witness(upstream), threading.Event()
    loop, end = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(witness.serve(started, end)))
    thread.start()
    try:
        if not started.wait(30):
            raise TimeoutError("the witness does not listen")
        yield witness
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()
