"""Server-sent events from the record of events: the id of each is where a broken stream resumes."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from fastapi import Request

from factory_infra.errors import Unauthenticated
from factory_infra.records.models import Event
from factory_infra.records.service import Records

POLL_SECONDS = 0.1
QUIET_SECONDS = 15.0
ALLOWED_SECONDS = 1.0

Allowed = Callable[[], Awaitable[object]]
"""Raises Unauthenticated once the listener's key was revoked or has expired: a stream must not outlive it."""


def frame(event: Event) -> str:
    """One event in the form of the standard (WHATWG, server-sent events)."""
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"


async def event_stream(request: Request, records: Records, thread_id: str, after: int, allowed: Allowed) -> AsyncIterator[str]:
    """Yield a thread's events as they come, until the client leaves; a comment now and then keeps the connection."""
    position, quiet = after, 0.0
    asked = time.monotonic()
    yield "retry: 500\n\n"
    while not await request.is_disconnected():
        if time.monotonic() - asked >= ALLOWED_SECONDS:
            asked = time.monotonic()
            try:
                await allowed()
            except Unauthenticated:
                return
        events = await records.read_events(thread_id, position)
        for event in events:
            position = event.id
            yield frame(event)
        quiet = 0.0 if events else quiet + POLL_SECONDS
        if quiet >= QUIET_SECONDS:
            quiet = 0.0
            yield ": still here\n\n"
        if not events:
            await asyncio.sleep(POLL_SECONDS)
