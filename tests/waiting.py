"""Waiting for a condition with a limit, in place of sleeping."""

import asyncio
import time
from collections.abc import Callable


async def eventually(holds: Callable[[], object], seconds_max: float = 30.0) -> None:
    """Return once a condition holds; fails after the limit."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)
