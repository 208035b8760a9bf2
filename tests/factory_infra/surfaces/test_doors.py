"""The gateway's, the MCP's and the command line's doors: what counts as refused."""

import json
from collections.abc import Callable

import httpx
import pytest

from factory_infra.iaas.isolation.models import Attempt
from factory_infra.surfaces import command
from factory_infra.surfaces.bait import WORD, Bait, Party
from factory_infra.surfaces.gateway import GatewayDoor
from factory_infra.surfaces.mcp import McpDoor

ATTACKER = Party("attacker", "k1", "ls_k1_secret1")
BAIT = Bait(Party("victim", "k2", "ls_k2_secret2"), {"name": "reader", "key_id": "k2", "job_id": "job-victim", "tenant": "victim"})
Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://gateway")


async def tried(door: GatewayDoor | McpDoor) -> list[Attempt]:
    return [each async for each in door.attack(ATTACKER, BAIT)]


class TestGateway:
    async def test_that_refuses_is_told_so(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            forged = request.headers["authorization"] == "Bearer ls_k2_secret1"
            if forged:
                return httpx.Response(401, json={"error": {"code": "invalid_api_key"}})
            return (
                httpx.Response(200, json={"data": []}) if request.method == "GET" else httpx.Response(404, json={"code": "model_not_found"})
            )

        found = await tried(GatewayDoor(client(answer)))
        assert [each for each in found if not each.refused] == []
        assert {each.door for each in found} == {"see", "use_data", "spend"}

    @pytest.mark.parametrize("through", ["models", "endpoint", "forged"])
    async def test_that_lets_something_through_is_found(self, through: str) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            forged = request.headers["authorization"] == "Bearer ls_k2_secret1"
            if forged:
                return httpx.Response(404 if through == "forged" else 401)
            if request.method == "GET":
                return httpx.Response(200, json={"data": [WORD] if through == "models" else []})
            return httpx.Response(200 if through == "endpoint" else 404)

        assert [each.tried for each in await tried(GatewayDoor(client(answer))) if not each.refused]

    async def test_that_is_away_is_told_so(self) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("refused")

        assert {each.by for each in await tried(GatewayDoor(client(answer)))} == {"no answer (ConnectError)"}


def mcp(told: object, *, failed: bool = False) -> Answer:
    """A server of MCP with one tool that reads and one that does not."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        schema = {"type": "object", "properties": {"job_id": {"type": "string"}}, "required": ["job_id"]}
        tools = [
            {"name": name, "inputSchema": schema, "annotations": {"readOnlyHint": name == "jobs_log"}}
            for name in ("jobs_log", "jobs_cancel")
        ]
        results = {
            "initialize": {"protocolVersion": "2025-06-18"},
            "tools/list": {"tools": tools},
            "tools/call": {"content": [{"type": "text", "text": told}], "isError": failed},
        }
        if "id" not in asked:
            return httpx.Response(202)
        message = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": results[asked["method"]]})
        return httpx.Response(
            200, text=f"event: message\ndata: {message}\n\n", headers={"content-type": "text/event-stream", "mcp-session-id": "s"}
        )

    return answer


class TestMcp:
    @pytest.mark.parametrize(
        ("told", "failed", "refused"),
        [
            ("There is no job job-victim.", True, True),
            ("nothing", False, True),
            (f"the log says {WORD}", False, False),
            (f"an error about {WORD}", True, False),
            ("the state of job-victim is running", False, False),
        ],
    )
    async def test_only_what_reads_is_called_and_judged(self, told: str, failed: bool, refused: bool) -> None:
        [found] = await tried(McpDoor(client(mcp(told, failed=failed))))
        assert found.tried == 'jobs_log({"job_id": "job-victim"})'
        assert found.refused is refused


@pytest.mark.parametrize(
    ("words", "code", "text", "refused"),
    [
        ("lineshaft jobs list", 0, "No job yet.", True),
        ("lineshaft jobs list", 0, "job-victim running", False),
        ("lineshaft jobs cancel job-victim", 1, "error [job_unknown]: There is no job 'job-victim'.", True),
        ("lineshaft jobs cancel job-victim", 0, "job job-victim is cancelled", False),
        ("lineshaft jobs logs job-victim", 1, f"{WORD}", False),
    ],
)
def test_a_command_is_refused_where_it_shows_nothing(words: str, code: int, text: str, refused: bool) -> None:
    assert command.judged("see", words, code, text, BAIT).refused is refused


def test_commands_are_asked_only_for_what_is_there() -> None:
    asked = [" ".join(words) for _, words in command.commands(BAIT)]
    assert "jobs cancel job-victim" in asked
    assert not any("plans show" in each for each in asked)
