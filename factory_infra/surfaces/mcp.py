"""The MCP door: every tool that reads, called by the attacker with the victim's names; in plain JSON-RPC, as any client may."""

import itertools
import json
from collections.abc import AsyncIterator

import httpx
from pydantic import JsonValue

from factory_infra.iaas.isolation.models import Attempt, Door
from factory_infra.surfaces.bait import Bait, Party
from factory_infra.surfaces.filling import Filler, JsonObject

SECONDS = 30.0
VERSION = "2025-06-18"
ACCEPT = "application/json, text/event-stream"
TOOLS_MAX = 200


class McpDoor:
    """Attacks `/mcp` of the API.

    Args:
        http: a client of the API.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._numbers = itertools.count(1)

    async def attack(self, attacker: Party, bait: Bait) -> AsyncIterator[Attempt]:
        """Open a session and call what only reads; effects become plans of the attacker's own team, and REST tries those."""
        headers = {"authorization": f"Bearer {attacker.key}", "accept": ACCEPT}
        hello: JsonObject = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "isolation audit", "version": "1"}}
        try:
            opened, session = await self._ask(headers, "initialize", hello)
            if session:
                headers |= {"mcp-session-id": session}
            headers |= {"mcp-protocol-version": str(opened.get("protocolVersion", VERSION))}
            await self._tell(headers, "notifications/initialized")
            listed, _ = await self._ask(headers, "tools/list", {})
        except (httpx.HTTPError, ValueError) as error:
            yield Attempt(door="see", through="mcp", tried="open a session", refused=True, by=f"no answer ({type(error).__name__})")
            return
        tools = listed.get("tools", [])
        for tool in tools[:TOOLS_MAX] if isinstance(tools, list) else []:
            if isinstance(tool, dict) and reads(tool):
                yield await self._call(headers, tool, bait)

    async def _call(self, headers: dict[str, str], tool: JsonObject, bait: Bait) -> Attempt:
        name = str(tool["name"])
        schema = tool.get("inputSchema", {})
        definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
        filler = Filler(definitions if isinstance(definitions, dict) else {}, bait.ids)
        arguments = filler.fill(schema)
        tried = f"{name}({json.dumps(arguments)})"
        door: Door = "read_logs" if "log" in name or "event" in name else "see"
        try:
            answer, _ = await self._ask(headers, "tools/call", {"name": name, "arguments": arguments})
        except (httpx.HTTPError, ValueError) as error:
            return Attempt(door=door, through="mcp", tried=tried, refused=True, by=str(error)[:200] or type(error).__name__)
        text, asked = json.dumps(answer), json.dumps(arguments)
        failed = answer.get("isError") is True or says_failed(text)
        # A refusal may name what it was asked for; the word itself never.
        marks = [mark for mark in bait.marks if mark in text and not (failed and mark in asked)]
        by = "an error that shows nothing" if failed else "the answer holds nothing of the other team"
        return Attempt(door=door, through="mcp", tried=tried, refused=not marks, by=by if not marks else "")

    async def _ask(self, headers: dict[str, str], method: str, parameters: JsonValue) -> tuple[JsonObject, str]:
        """Send a request; returns its result and the session. Raises ValueError for an error of the protocol, httpx.HTTPError."""
        body = {"jsonrpc": "2.0", "id": next(self._numbers), "method": method, "params": parameters}
        answer = await self._http.post("/mcp", json=body, headers=headers, timeout=SECONDS)
        told = parsed(answer)
        if "error" in told:
            raise ValueError(f"refused: {json.dumps(told['error'])[:200]}")
        result = told.get("result", {})
        return (result if isinstance(result, dict) else {}), answer.headers.get("mcp-session-id", "")

    async def _tell(self, headers: dict[str, str], method: str) -> None:
        await self._http.post("/mcp", json={"jsonrpc": "2.0", "method": method}, headers=headers, timeout=SECONDS)


def says_failed(text: str) -> bool:
    """Whether an observation tells that the call failed."""
    return '"outcome": "failed"' in text.replace('\\"', '"')


def reads(tool: JsonObject) -> bool:
    """Whether a tool says that it changes nothing."""
    hints = tool.get("annotations", {})
    return isinstance(hints, dict) and hints.get("readOnlyHint") is True


def parsed(answer: httpx.Response) -> JsonObject:
    """The message of an answer, which is JSON or the last event of a stream. Raises ValueError."""
    text = answer.text
    if answer.headers.get("content-type", "").startswith("text/event-stream"):
        data = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("data:")]
        text = next((each for each in reversed(data) if each), "")
    if not text:
        raise ValueError(f"{answer.status_code} without a message")
    found = json.loads(text)
    if not isinstance(found, dict) or not answer.is_success:
        raise ValueError(f"{answer.status_code}: {text[:160]}")
    return found
