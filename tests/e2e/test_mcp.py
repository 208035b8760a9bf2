"""The demo by an official MCP client: ask, read the plan, approve it by its digest, see it done; over HTTP and over stdio."""

import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters, types
from mcp.client.streamable_http import streamable_http_client
from pydantic import JsonValue

from api.client import ApiClient
from tests.live import LiveStack

pytestmark = pytest.mark.stack


@asynccontextmanager
async def over_http(url: str, key: str) -> AsyncIterator[Client]:
    """The official client at `/mcp`."""
    async with (
        httpx2.AsyncClient(headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=120) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), cache=None) as opened,
    ):
        yield opened


async def call(opened: Client, name: str, **arguments: object) -> dict[str, Any]:
    """Call a tool that must succeed."""
    result = await opened.call_tool(name, arguments)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


async def refused(opened: Client, name: str, **arguments: object) -> str:
    """Call a tool that must be refused."""
    result: types.CallToolResult = await opened.call_tool(name, arguments)
    assert result.is_error
    return "".join(part.text for part in result.content if part.type == "text")


@pytest.fixture
def approver(client: ApiClient) -> str:
    """A key of team vision that may approve."""
    return str(client.post("/v1/tenants/vision/keys", {"name": "desktop", "role": "approver"})["secret"])


async def test_ask_plan_approve_done_read(live: LiveStack, client: ApiClient, approver: str) -> None:
    async with over_http(client.url, approver) as opened:
        turn = await call(opened, "chat_send", text="Lease one slot for 10 minutes for a test of the desktop.")
        plan = turn["plan"]
        assert turn["over"] and plan is not None, turn
        assert plan["state"] == "proposed"
        assert "digest_mismatch" in await refused(opened, "plans_approve", plan_id=plan["plan_id"], digest="0" * 64)
        await call(opened, "plans_approve", plan_id=plan["plan_id"], digest=plan["digest"])
        told: list[str | None] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append(message)

        waited = await opened.call_tool("plans_wait", {"plan_id": plan["plan_id"]}, progress_callback=hear)
        assert waited.structured_content["state"] == "done", waited
        assert told
        leases = (await call(opened, "leases_list"))["leases"]
        assert len(leases) == 1
        read = await call(opened, "chat_read", thread_id=turn["thread_id"], after=turn["position"])
        assert read["said"]
        given_back = await call(opened, "leases_release", lease_id=leases[0]["lease_id"])
        await call(opened, "plans_approve", plan_id=given_back["plan_id"], digest=given_back["digest"])
        assert (await call(opened, "plans_wait", plan_id=given_back["plan_id"]))["state"] == "done"
        assert (await call(opened, "leases_list"))["leases"] == []
        assert (await call(opened, "runs_list"))["runs"]


async def test_a_tool_with_an_effect_is_a_plan_and_nothing_before(live: LiveStack, client: ApiClient, approver: str) -> None:
    issued = client.post("/v1/tenants/vision/keys", {"name": "reader", "role": "user"})
    async with over_http(client.url, str(issued["secret"])) as opened:
        proposed = await call(opened, "leases_acquire", slots=1, seconds=120, purpose="by a tool")
        assert proposed["outcome"] == "needs_approval" and proposed["state"] == "proposed" and float(proposed["price_high"]) > 0
        assert (await call(opened, "leases_list"))["leases"] == []
        assert "forbidden" in await refused(opened, "plans_approve", plan_id=proposed["plan_id"], digest=proposed["digest"])
    async with over_http(client.url, approver) as opened:
        await call(opened, "plans_refuse", plan_id=proposed["plan_id"], reason="not now")
        assert (await call(opened, "plans_wait", plan_id=proposed["plan_id"]))["state"] == "refused"
        assert "conflict" in await refused(opened, "plans_approve", plan_id=proposed["plan_id"], digest=proposed["digest"])


async def test_a_program_proposes_a_whole_plan_once(live: LiveStack, client: ApiClient, approver: str) -> None:
    steps: list[JsonValue] = [
        {"id": "take", "tool": "leases.acquire", "arguments": {"slots": 1, "seconds": 120}},
        {"id": "give", "tool": "leases.release", "arguments": {"lease_id": {"from_step": "take", "field": "lease_id"}}, "after": ["take"]},
    ]
    body: dict[str, JsonValue] = {"title": "Take and give", "steps": steps, "call_id": f"call-{uuid.uuid4().hex}"}
    with ApiClient(client.url, approver) as program:
        first, again = program.post("/v1/plans", body), program.post("/v1/plans", body)
        assert (first["plan_id"], first["digest"]) == (again["plan_id"], again["digest"])
        program.post(f"/v1/plans/{first['plan_id']}/approve", {"digest": first["digest"]})
        ended = [
            event["payload"]
            for event in heard(program, str(first["thread_id"]))
            if event["kind"] == "plan.ended" and isinstance(event["payload"], dict)
        ]
        assert [payload["state"] for payload in ended] == ["done"]
        assert program.get_list("/v1/leases") == []


def heard(program: ApiClient, thread: str) -> list[dict[str, Any]]:
    """A thread's events up to the words about its plan's end."""
    events: list[dict[str, Any]] = []
    for event in program.events(thread, seconds_max=60):
        events.append(event)
        if event["kind"] == "message.assistant":
            return events
    raise AssertionError(f"the end was not told: {[event['kind'] for event in events]}")


async def test_over_stdio_under_the_homes_key(live: LiveStack) -> None:
    command = StdioServerParameters(command=sys.executable, args=["-m", "cli", "mcp"], env=live.environment)
    async with Client(command, cache=None) as opened:
        names = {tool.name for tool in (await opened.list_tools()).tools}
        assert {"chat_send", "plans_approve", "leases_acquire"} <= names
        assert (await call(opened, "leases_list", for_team="vision"))["quota_slots"] == 2
