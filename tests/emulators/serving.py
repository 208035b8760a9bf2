"""Serves an emulator on a free port of the loopback interface, in a thread with a loop of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

START_SECONDS_MAX = 20.0


@contextmanager
def serving(make: Callable[[], web.Application]) -> Iterator[str]:
    """Serve an application until the block ends; gives its address. Open requests are cut off at the end."""
    served = _Served(make)
    thread = threading.Thread(target=asyncio.run, args=(served.serve(),), daemon=True)
    thread.start()
    assert served.started.wait(START_SECONDS_MAX), "the emulator did not start"
    try:
        yield served.address
    finally:
        served.loop.call_soon_threadsafe(served.ended.set)
        thread.join(10)


class _Served:
    def __init__(self, make: Callable[[], web.Application]) -> None:
        self.address = ""
        self.started = threading.Event()
        self.loop: asyncio.AbstractEventLoop
        self.ended: asyncio.Event
        self._make = make

    async def serve(self) -> None:
        self.loop, self.ended = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(self._make(), access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self.started.set()
        await self.ended.wait()
        await runner.cleanup()
