"""The tools of the registry, and of this face, as MCP shows and calls them."""

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from mcp import types
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, JsonValue, ValidationError

from api.client import JsonObject
from api.mcp.door import Context, Door
from api.mcp.own import OWN, OwnTool
from api.schemas.tools import Proposed
from factory_infra.errors import LineshaftError

NAME_MAX = 64
TEAM = "for_team"
"""What an administrator's key, which belongs to no team, says beside a tool's own arguments."""
TEAM_SCHEMA: JsonObject = {"type": "string", "description": "The team that it is for: needed with an administrator's key."}
PROPOSED: JsonObject = Proposed.model_json_schema(mode="serialization")
BY_NAME = {tool.name: tool for tool in OWN}


def legal(name: str) -> str:
    """A registry name as clients take it: letters, digits, '_' and '-', at most 64, and none of this face's own."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    plain = f"tool_{plain}" if plain in BY_NAME else plain
    return plain if len(plain) <= NAME_MAX else f"{plain[:55]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def named(cards: Iterable[JsonObject]) -> dict[str, JsonObject]:
    """Cards by their legal names; two that would be alike are told apart by a digest of the full name."""
    found: dict[str, JsonObject] = {}
    for card in cards:
        name = legal(str(card["name"]))
        if name in found:
            name = f"{name[:55]}_{hashlib.sha256(str(card['name']).encode()).hexdigest()[:8]}"
        found[name] = card
    return found


async def cards(door: Door, context: Context) -> dict[str, JsonObject]:
    """The registry's tools that the caller may see."""
    return named(await door.list(context, "/v1/tools", limit=500))


def shown(name: str, card: JsonObject, *, team: bool) -> types.Tool:
    """A tool of the registry. One with an effect answers with the plan that it became."""
    reads = card["effect"] == "read"
    note = "" if reads else " Nothing is done at once: it becomes a plan, which policy judges and a person approves by its digest."
    return types.Tool(
        name=name,
        title=str(card["name"]),
        description=f"{card['description']}{note}",
        input_schema=with_team(card["arguments"]) if team else as_object(card["arguments"]),
        output_schema=as_object(card["result"]) if reads else PROPOSED,
        annotations=types.ToolAnnotations(
            read_only_hint=reads,
            destructive_hint=card["effect"] == "destructive",
            idempotent_hint=reads,
            open_world_hint=bool(card["source"]),
        ),
    )


def as_object(schema: JsonValue) -> dict[str, Any]:
    """A schema, which the registry keeps as an object's."""
    return schema if isinstance(schema, dict) else {"type": "object"}


def with_team(schema: JsonValue) -> dict[str, Any]:
    """A schema that also takes the team."""
    whole = as_object(schema)
    properties = whole.get("properties")
    return {**whole, "properties": {**(properties if isinstance(properties, dict) else {}), TEAM: TEAM_SCHEMA}}


def shown_own(tool: OwnTool) -> types.Tool:
    """A tool of this face."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(),
        output_schema=tool.result.model_json_schema(mode="serialization"),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.reads, destructive_hint=tool.destroys, idempotent_hint=tool.repeatable, open_world_hint=False
        ),
    )


class Toolset:
    """Lists and calls."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        """Every tool that the caller's key may see."""
        team = (await self._door.object(context, "GET", "/v1/me")).get("tenant") is None
        registry = await cards(self._door, context)
        return types.ListToolsResult(tools=[*map(shown_own, OWN), *(shown(name, card, team=team) for name, card in registry.items())])

    async def call(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        """Call a tool; what the product refuses is a result that a model can act on, not a fault of the protocol."""
        arguments: JsonObject = dict(params.arguments or {})
        try:
            if own := BY_NAME.get(params.name):
                return await self._own(context, own, arguments)
            return await self._registry(context, params.name, arguments)
        except LineshaftError as error:
            return refusal(error.error_code, error.reason, error.remedy)

    async def _own(self, context: Context, tool: OwnTool, arguments: JsonObject) -> types.CallToolResult:
        try:
            asked = tool.arguments.model_validate(arguments)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "arguments"
            return refusal("invalid_input", f"{tool.name}: {field}: {first['msg']}.", "Correct the argument.")
        return answer(await tool.call(self._door, context, asked))

    async def _registry(self, context: Context, name: str, arguments: JsonObject) -> types.CallToolResult:
        card = (await cards(self._door, context)).get(name)
        if card is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name[:80]}")
        body: JsonObject = {"tenant": arguments.pop(TEAM, None), "arguments": arguments}
        told = await self._door.object(context, "POST", f"/v1/tools/{card['name']}/call", body)
        if card["effect"] != "read":
            return answer(told)
        if told.get("outcome") != "ok":
            return refusal(str(told.get("code")), str(told.get("reason")), str(told.get("remedy")))
        return answer(told.get("result"))


def answer(result: BaseModel | JsonValue) -> types.CallToolResult:
    """A result, typed, and as text for clients that read nothing else."""
    structured = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    text = json.dumps(structured, ensure_ascii=False)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=structured)


def refusal(code: str, reason: str, remedy: str) -> types.CallToolResult:
    """What was not done, why, and what would help."""
    text = f"error [{code}]: {reason} {remedy}".strip()
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)
