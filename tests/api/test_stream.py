"""The stream of a thread's events, over a real connection: resumed after any break without loss or repeat."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn

from factory_infra.database import utcnow
from factory_infra.records.models import NewEvent, Thread
from tests.api.house import Doors

pytestmark = pytest.mark.stack


@asynccontextmanager
async def served(doors: Doors) -> AsyncIterator[str]:
    """Serve the application on a free port of the loopback interface."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(doors.app, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await running


async def write(doors: Doors, thread: str, *numbers: int) -> None:
    for number in numbers:
        event = NewEvent(key=f"{thread}/{number}", tenant="vision", thread_id=thread, kind="test", payload={"number": number})
        await doors.factory.records.write_event(event)


async def open_thread(doors: Doors, name: str) -> str:
    await doors.factory.records.create_thread(Thread(id=name, tenant="vision", created_by="ann", title="", created_at=utcnow()))
    return name


async def listen(doors: Doors, url: str, thread: str, count: int, last: str | None = None) -> list[tuple[str, int]]:
    """Read so many events and break the connection; return each one's id and number."""
    headers = {"authorization": f"Bearer {doors.keys['viewer']}", "accept": "text/event-stream"}
    headers |= {"last-event-id": last} if last else {}
    seen: list[tuple[str, int]] = []
    address = f"{url}/v1/threads/{thread}/events"
    async with (
        asyncio.timeout(15),
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", address, headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        identity = ""
        async for line in answer.aiter_lines():
            identity = line[4:] if line.startswith("id: ") else identity
            if line.startswith("data: "):
                event = json.loads(line[6:])
                assert str(event["id"]) == identity
                seen.append((identity, event["payload"]["number"]))
            if len(seen) == count:
                break
    return seen


async def test_a_broken_stream_is_resumed_without_loss_or_repeat(doors: Doors) -> None:
    thread, seen = await open_thread(doors, "thread-breaks"), list[tuple[str, int]]()
    async with served(doors) as url:
        await write(doors, thread, 1, 2, 3)
        writing = asyncio.create_task(write(doors, thread, *range(4, 31)))
        while len(seen) < 30:
            seen += await listen(doors, url, thread, min(7, 30 - len(seen)), seen[-1][0] if seen else None)
        await writing
    assert [number for _, number in seen] == list(range(1, 31))


async def test_what_happens_later_arrives_while_listening(doors: Doors) -> None:
    thread = await open_thread(doors, "thread-later")
    async with served(doors) as url:
        listening = asyncio.create_task(listen(doors, url, thread, 2))
        await asyncio.sleep(0.3)
        await write(doors, thread, 1, 2)
        assert [number for _, number in await listening] == [1, 2]


async def test_the_header_wins_over_the_address_and_a_page_is_json(doors: Doors) -> None:
    thread = await open_thread(doors, "thread-page")
    await write(doors, thread, 1, 2, 3)
    everything = (await doors.ask("GET", f"/v1/threads/{thread}/events")).json()
    assert [each["payload"]["number"] for each in everything] == [1, 2, 3]
    first = str(everything[0]["id"])
    rest = (await doors.ask("GET", f"/v1/threads/{thread}/events?after={first}")).json()
    assert [each["payload"]["number"] for each in rest] == [2, 3]
    none = await doors.ask("GET", f"/v1/threads/{thread}/events?after={first}", headers={"last-event-id": str(everything[2]["id"])})
    assert none.json() == []


async def test_another_teams_stream_does_not_begin(doors: Doors) -> None:
    thread = await open_thread(doors, "thread-foreign")
    answer = await doors.ask("GET", f"/v1/threads/{thread}/events", "stranger", headers={"accept": "text/event-stream"})
    assert answer.status_code == 404


async def test_a_stream_does_not_outlive_its_key(doors: Doors) -> None:
    thread = await open_thread(doors, "thread-revoked")
    key = doors.keys["viewer"]
    headers = {"authorization": f"Bearer {key}", "accept": "text/event-stream"}
    async with (
        served(doors) as url,
        asyncio.timeout(15),
        httpx.AsyncClient(trust_env=False) as http,
        http.stream("GET", f"{url}/v1/threads/{thread}/events", headers=headers) as answer,
    ):
        lines = answer.aiter_lines()
        await anext(lines)
        await doors.factory.tenants.revoke_key(key.split("_")[1])
        await write(doors, thread, 1)
        rest = [line async for line in lines]  # ends only because the stream does
    assert len([line for line in rest if line.startswith("event:")]) <= 1
