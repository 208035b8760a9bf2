"""MCP as the official client sees it, over the application without a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import pytest_asyncio
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client

from api.mcp.own import OWN
from api.mcp.toolset import legal
from tests.api.house import DIGEST, SECRET, Doors, furnish
from tools.plan import Effect
from tools.toolbox import TOOLS

pytestmark = pytest.mark.stack

URL = "http://127.0.0.1:8400/mcp"
ACCEPT = {"accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest_asyncio.fixture(scope="module", autouse=True, loop_scope="session")
async def face(doors: Doors) -> AsyncIterator[None]:
    """Serve for all tests of the file, in a task of its own as the lifespan does."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with doors.app.state.mcp.manager.run():
            ready.set()
            await over.wait()

    task = asyncio.create_task(serve())
    await ready.wait()
    yield
    over.set()
    await task


@asynccontextmanager
async def client(doors: Doors, who: str = "user") -> AsyncIterator[Client]:
    """The official client under a key."""
    headers = {"authorization": f"Bearer {doors.keys[who]}"}
    async with (
        httpx2.AsyncClient(transport=httpx2.ASGITransport(doors.app), headers=headers) as http,
        Client(streamable_http_client(URL, http_client=http), cache=None) as opened,
    ):
        yield opened


async def call(opened: Client, name: str, **arguments: object) -> types.CallToolResult:
    return await opened.call_tool(name, arguments)


def text(result: types.CallToolResult) -> str:
    return "".join(part.text for part in result.content if part.type == "text")


class TestTools:
    async def test_every_tool_is_there_under_a_legal_name_with_types(self, doors: Doors) -> None:
        async with client(doors) as opened:
            listed = {tool.name: tool for tool in (await opened.list_tools()).tools}
        assert set(listed) == {tool.name for tool in OWN} | {legal(name) for name in TOOLS}
        assert all(tool.output_schema and tool.description and tool.annotations for tool in listed.values())
        for name, tool in TOOLS.items():
            hints = listed[legal(name)].annotations
            assert hints is not None
            assert hints.read_only_hint == (tool.effect is Effect.READ)
            assert hints.destructive_hint == (tool.effect is Effect.DESTRUCTIVE)

    async def test_a_reading_tool_answers_with_types(self, doors: Doors) -> None:
        async with client(doors, "viewer") as opened:
            result = await call(opened, "leases_list")
        assert not result.is_error
        assert result.structured_content["quota_slots"] == 3
        assert json.loads(text(result)) == result.structured_content

    async def test_wrong_arguments_are_told_to_the_model(self, doors: Doors) -> None:
        async with client(doors) as opened:
            for name, arguments in (("leases_list", {"surprise": 1}), ("plans_show", {"plan_id": "../x"})):
                result = await call(opened, name, **arguments)
                assert result.is_error and "invalid_input" in text(result)

    async def test_an_effect_that_cannot_work_is_refused_with_its_remedy(self, doors: Doors) -> None:
        async with client(doors) as opened:
            result = await call(opened, "leases_acquire", slots=99, purpose="p")
        assert result.is_error and "capacity_exceeded" in text(result)

    async def test_a_viewer_may_not_ask_for_an_effect(self, doors: Doors) -> None:
        async with client(doors, "viewer") as opened:
            result = await call(opened, "leases_acquire", slots=1)
        assert result.is_error and "forbidden" in text(result)

    async def test_an_administrator_names_the_team(self, doors: Doors) -> None:
        async with client(doors, "admin") as opened:
            listed = {tool.name: tool for tool in (await opened.list_tools()).tools}
            assert "for_team" in listed["leases_list"].input_schema["properties"]
            result = await call(opened, "leases_list", for_team="vision")
            unnamed = await call(opened, "leases_acquire", slots=1)
        assert result.structured_content["quota_slots"] == 3
        assert unnamed.is_error and "team" in text(unnamed)


class TestWalls:
    async def test_no_key_no_answer(self, doors: Doors) -> None:
        for headers in ({}, {"authorization": "Bearer ls_000000000000_" + "a" * 43}, {"authorization": "Basic eA=="}):
            answer = await doors.http.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **headers})
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"

    async def test_a_strange_origin_or_host_is_refused(self, doors: Doors) -> None:
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            answer = await doors.ask("POST", "/mcp", json=INITIALIZE, headers={**ACCEPT, **headers})
            assert 400 <= answer.status_code < 500
        told = await doors.ask("POST", "/mcp", json=INITIALIZE, headers={**ACCEPT, "origin": "http://127.0.0.1:8400"})
        assert told.status_code == 200

    async def test_a_session_answers_to_the_key_that_opened_it_only(self, doors: Doors) -> None:
        opened = await doors.ask("POST", "/mcp", json=INITIALIZE, headers=ACCEPT)
        session = {"mcp-session-id": opened.headers["mcp-session-id"], **ACCEPT}
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        assert (await doors.ask("POST", "/mcp", json=ping, headers=session)).status_code == 200
        assert (await doors.ask("POST", "/mcp", "stranger", json=ping, headers=session)).status_code == 404
        assert (await doors.ask("POST", "/mcp", None, json=ping, headers=session)).status_code == 401

    async def test_nothing_of_another_team_is_seen_or_decided(self, doors: Doors) -> None:
        await furnish(doors.factory)
        async with client(doors, "approver") as opened:
            for name, arguments in (
                ("plans_show", {"plan_id": "plan-language"}),
                ("plans_approve", {"plan_id": "plan-language", "digest": DIGEST}),
                ("plans_refuse", {"plan_id": "plan-language"}),
                ("plans_cancel", {"plan_id": "plan-language"}),
                ("chat_read", {"thread_id": "thread-language"}),
                ("chat_send", {"thread_id": "thread-language", "text": "hello"}),
                ("plans_list", {"team": "language"}),
                ("leases_list", {"for_team": "language"}),
            ):
                result = await call(opened, name, **arguments)
                assert result.is_error and SECRET not in text(result), name
            assert (await call(opened, "plans_list")).structured_content == {"plans": []}
            assert not [each for each in (await opened.list_resources()).resources if "language" in str(each.uri)]
            with pytest.raises(Exception, match="There is no plan"):
                await opened.read_resource("lineshaft://plans/plan-language")

    async def test_control_its_own_team_sees_it(self, doors: Doors) -> None:
        await furnish(doors.factory)
        async with client(doors, "stranger") as opened:
            assert (await call(opened, "plans_list")).structured_content["plans"][0]["plan_id"] == "plan-language"
            told = await opened.read_resource("lineshaft://plans/plan-language")
        assert SECRET in told.contents[0].model_dump_json()

    async def test_a_viewer_may_not_approve(self, doors: Doors) -> None:
        async with client(doors, "viewer") as opened:
            result = await call(opened, "plans_approve", plan_id="plan-language", digest=DIGEST)
        assert result.is_error and "forbidden" in text(result)


class TestPages:
    async def test_documents_and_templates_are_resources(self, doors: Doors) -> None:
        async with client(doors, "viewer") as opened:
            uris = {str(each.uri) for each in (await opened.list_resources()).resources}
            page = await opened.read_resource("lineshaft://docs/mcp")
            assert {each.uri_template for each in (await opened.list_resource_templates()).resource_templates}
        assert "lineshaft://docs/mcp" in uris
        assert "MCP" in page.contents[0].model_dump_json()

    @pytest.mark.parametrize(
        "uri", ["lineshaft://docs/../SECURITY", "file:///etc/passwd", "lineshaft://plans/a/../b", "lineshaft://keys/1"]
    )
    async def test_nothing_else_is(self, doors: Doors, uri: str) -> None:
        async with client(doors, "admin") as opened:
            with pytest.raises(Exception, match="not found"):
                await opened.read_resource(uri)

    async def test_prompts_take_their_argument(self, doors: Doors) -> None:
        async with client(doors, "viewer") as opened:
            assert [each.name for each in (await opened.list_prompts()).prompts] == ["ask_factory", "review_plan"]
            told = await opened.get_prompt("ask_factory", {"request": "two slots, {please}"})
        assert "two slots, {please}" in told.messages[0].model_dump_json()


async def test_the_older_handshake_works_too(doors: Doors) -> None:
    opened = await doors.ask("POST", "/mcp", json=INITIALIZE, headers=ACCEPT)
    assert opened.status_code == 200
    line = next(line for line in opened.text.splitlines() if line.startswith("data: {"))
    assert json.loads(line[6:])["result"]["serverInfo"]["name"] == "lineshaft"
