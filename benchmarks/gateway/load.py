"""Calls of the gateway as clients make them: whole or streamed, by any of its doors, and left at any chunk."""

import asyncio
from dataclasses import dataclass, field
from typing import cast

import aiohttp
import orjson

from benchmarks.gateway.script import MARK, JsonObject

CALL_SECONDS_MAX = 60.0
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
ENDS = {"chat": b"[DONE]", "responses": b"response.completed", "messages": b"message_stop"}


@dataclass(frozen=True)
class Order:
    """One call to make."""

    model: str
    text: str
    door: str = "chat"
    stream: bool = False
    leave_at: int | None = None
    """Go away after so many events of a stream."""
    leave_seconds: float | None = None
    """Go away after so long, whatever came."""
    tools: bool = False
    tokens_max: int = 64
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> JsonObject:
        """In the shape of its door."""
        messages: JsonObject = {"model": self.model, "stream": self.stream, "messages": [{"role": "user", "content": self.text}]}
        match self.door:
            case "responses":
                return {"model": self.model, "stream": self.stream, "input": self.text, "max_output_tokens": self.tokens_max}
            case "messages":
                return {**messages, "max_tokens": self.tokens_max}
            case _:
                return {**messages, "max_completion_tokens": self.tokens_max, **(TOOLS if self.tools else {})}


TOOLS: JsonObject = {
    "tool_choice": "required",
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "lookup",
                "description": "Look a part up.",
                "parameters": {"type": "object", "properties": {"part": {"type": "string"}}, "required": ["part"]},
            },
        }
    ],
}


@dataclass
class Told:
    """What the client saw of one call."""

    status: int = 0
    code: str = ""
    events: int = 0
    left: bool = False
    whole: bool = False
    body: JsonObject | None = None
    headers: dict[str, str] = field(default_factory=dict)


async def call(session: aiohttp.ClientSession, url: str, key: str, order: Order, body: JsonObject | None = None) -> Told:
    """Make one call; never raises for what a gateway may do to a client, its death included."""
    told = Told()
    try:
        async with asyncio.timeout(order.leave_seconds or CALL_SECONDS_MAX):
            await _call(session, url + PATHS[order.door], key, (order, body or order.body()), told)
    except TimeoutError:
        told.left, told.code = True, "" if order.leave_seconds else "timeout"
    except (aiohttp.ClientError, ConnectionError, OSError) as error:
        told.code = told.code or type(error).__name__
    return told


async def _call(session: aiohttp.ClientSession, url: str, key: str, what: tuple[Order, JsonObject], told: Told) -> None:
    order, body = what
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json", **order.headers}
    async with session.post(url, data=orjson.dumps(body), headers=headers) as response:
        told.status, told.headers = response.status, dict(response.headers)
        if not order.stream or response.status != 200:
            told.body = cast(JsonObject, orjson.loads(await response.read()))
            told.whole = response.status == 200
            told.code = code_of(told.body)
            return
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            told.events += 1
            told.whole = told.whole or ENDS[order.door] in line
            if order.leave_at is not None and told.events > order.leave_at:
                told.left = True
                response.close()
                return


def code_of(body: JsonObject) -> str:
    """The error's code, by any door."""
    error = body.get("error")
    if not isinstance(error, dict):
        return ""
    return str(error.get("code") or error.get("type") or "")


def scripted(text: str, **script: object) -> str:
    """A text that fixes what the scripted upstream does with it."""
    return f"{text} {MARK}{orjson.dumps(script).decode()}"


def loop_on(order: Order, answer: JsonObject) -> JsonObject:
    """The second call of a tool loop: the tool's result beside its call. Raises KeyError where no tool was called."""
    message = cast(JsonObject, cast(list[JsonObject], answer["choices"])[0]["message"])
    made = cast(list[JsonObject], message["tool_calls"])
    results: list[JsonObject] = [{"role": "tool", "tool_call_id": each["id"], "content": "it is on shelf 4"} for each in made]
    first: JsonObject = {"role": "user", "content": order.text}
    body = order.body()
    return {**body, "messages": [first, message, *results], "tool_choice": "auto"}
