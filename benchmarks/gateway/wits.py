"""Answers of the scripted upstream that make sense to a client's own tests: tool calls by schema, JSON by schema, words otherwise."""

import re
from dataclasses import dataclass, field
from typing import cast

import orjson
from pydantic import JsonValue

from benchmarks.gateway.script import JsonObject, texts

WORDS = ("shaft", "belt", "line", "wheel", "mill", "loom", "gear", "steam")
QUOTED = re.compile(r"['\"“]([^'\"”]+)['\"”]")
NUMBER = re.compile(r"-?\d+")
DEPTH_MAX = 8


@dataclass
class Reply:
    """A text, or calls of tools."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Name and arguments (JSON) of each call."""


def reply(body: JsonObject, tokens: int) -> Reply:
    """What a sensible model would answer; a plain text has about so many words."""
    messages = cast(list[JsonObject], body.get("messages") or [])
    last = messages[-1] if messages else {}
    said = texts({"messages": [last]}) if last else []
    asked = said[-1] if said else ""
    tools = tools_of(body)
    chosen = body.get("tool_choice")
    if (
        tools
        and chosen != "none"
        and (last.get("role") != "tool" or chosen in ("required",))
        and (chosen != "auto" or wanted(tools, asked))
    ):
        return Reply(calls=calls(tools, chosen, asked, parallel=body.get("parallel_tool_calls") is not False))
    if last.get("role") == "tool":
        return Reply(text=f"The tool says: {asked[:200]}")
    form = cast(JsonObject, body.get("response_format") or {})
    if form.get("type") == "json_schema":
        schema = cast(JsonObject, cast(JsonObject, form["json_schema"]).get("schema") or {})
        return Reply(text=orjson.dumps(example(schema, asked, schema)).decode())
    if form.get("type") == "json_object":
        keys = QUOTED.findall(asked) or ["answer"]
        return Reply(text=orjson.dumps({key: f"a {key}" for key in keys}).decode())
    return Reply(text=" ".join(WORDS[index % len(WORDS)] for index in range(max(1, tokens))))


def tools_of(body: JsonObject) -> list[JsonObject]:
    """The functions that the request offers."""
    return [cast(JsonObject, cast(JsonObject, each)["function"]) for each in cast(list[JsonValue], body.get("tools") or [])]


def wanted(tools: list[JsonObject], asked: str) -> bool:
    """Whether a free choice would be a tool: the request speaks of one, or it asks something."""
    return "tool" in asked or "?" in asked or any(str(tool["name"]) in asked for tool in tools)


def calls(tools: list[JsonObject], chosen: JsonValue, asked: str, *, parallel: bool) -> list[tuple[str, str]]:
    """Call the tool that is named, by the choice or in words; two where the request says `both`."""
    name = cast(JsonObject, chosen["function"])["name"] if isinstance(chosen, dict) and "function" in chosen else None
    named = [tool for tool in tools if tool["name"] == name] or [tool for tool in tools if str(tool["name"]) in asked] or tools
    number = 2 if parallel and "both" in asked else 1
    picked = (named * 2)[:number]
    return [(str(tool["name"]), orjson.dumps(arguments(tool, asked)).decode()) for tool in picked]


def arguments(tool: JsonObject, asked: str) -> JsonValue:
    """Arguments that fit the tool's schema, from the request's own numbers and quoted words where it has any."""
    schema = cast(JsonObject, tool.get("parameters") or {})
    return example(schema, asked, schema)


def example(schema: JsonObject, asked: str, root: JsonObject, depth: int = 0) -> JsonValue:
    """A value that fits a JSON schema."""
    if depth > DEPTH_MAX:
        return None
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        defined = cast(dict[str, JsonObject], root.get("$defs") or root.get("definitions") or {})
        return example(defined[name], asked, root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return cast(list[JsonValue], schema["enum"])[0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return example(cast(list[JsonObject], schema[key])[0], asked, root, depth + 1)
    return by_type(schema, asked, root, depth)


def by_type(schema: JsonObject, asked: str, root: JsonObject, depth: int) -> JsonValue:
    """A value of the schema's type."""
    kind = schema.get("type")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "integer" | "number":
            numbers = NUMBER.findall(asked)
            return int(numbers[-1]) if numbers else 1
        case "boolean":
            return True
        case "array":
            return [example(cast(JsonObject, schema.get("items") or {"type": "string"}), asked, root, depth + 1)]
        case "null":
            return None
        case "string":
            quoted = QUOTED.search(asked)
            return quoted[1] if quoted else "shaft"
        case _:
            fields = cast(dict[str, JsonObject], schema.get("properties") or {})
            return {name: example(each, asked, root, depth + 1) for name, each in fields.items()}
