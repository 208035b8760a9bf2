"""Bedrock's runtime with a small deterministic model behind it: Converse whole and streamed, embeddings, guardrails, faults."""

import asyncio
import hashlib
import json
import re
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from tests.emulators.event_stream import frame

DIMENSIONS = 256
WORD = re.compile(r"\s*\S+")
FORBIDDEN = "forbidden"


@dataclass
class Fault:
    """How the next call goes wrong; the first in the list is used up by it."""

    code: str = ""
    status: int = 400
    message: str = "told to fail"
    headers: dict[str, str] = field(default_factory=dict)
    after: int | None = None
    """The error comes as a frame in the stream, after so many pieces; without a code the connection is cut there."""


@dataclass
class Bedrock:
    """The model says `words`; it calls a tool that it has to call, or whose name the last message says."""

    words: str = "The sky is blue."
    reasoning: str = ""
    piece_seconds: float = 0.0
    cache_read: int = 0
    cache_written: int = 0
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def app(self) -> web.Application:
        """The server."""
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post(r"/model/{model:.+}/{operation:converse|converse-stream|invoke}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        model, operation, body = unquote(request.match_info["model"]), request.match_info["operation"], await request.json()
        self.asked.append((operation, model, body))
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and fault.after is None:
            return error(fault)
        if operation == "invoke":
            return embeddings(model, body)
        blocks, stop = self._said(body)
        usage = self._usage(body, blocks)
        if operation == "converse":
            message = {"role": "assistant", "content": blocks}
            return answered({"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}})
        return await self._stream(request, list(events(blocks, stop, usage)), fault)

    async def _stream(self, request: web.Request, said: list[tuple[str, dict[str, Any]]], fault: Fault | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.amazon.eventstream", "x-amzn-RequestId": str(uuid.uuid4())})
        await response.prepare(request)
        try:
            for number, (name, payload) in enumerate(said):
                if fault is not None and fault.after == number:
                    if fault.code:
                        await response.write(frame(fault.code, {"message": fault.message}, exception=True))
                    elif request.transport is not None:
                        request.transport.close()
                    return response
                await response.write(frame(name, payload))
                await asyncio.sleep(self.piece_seconds)
        except ConnectionError:
            self.gone.set()
        return response

    def _said(self, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str]:
        text = last_text(body)
        if "guardrailConfig" in body and FORBIDDEN in text:
            return [{"text": "Sorry, no."}], "guardrail_intervened"
        thought: list[dict[str, Any]] = (
            [{"reasoningContent": {"reasoningText": {"text": self.reasoning, "signature": "s"}}}] if self.reasoning else []
        )
        called = tools_called(body, text)
        if called:
            uses = [{"toolUseId": f"tooluse_{number}", "name": name, "input": given} for number, (name, given) in enumerate(called)]
            return [*thought, *({"toolUse": use} for use in uses)], "tool_use"
        words = WORD.findall(self.words)
        most = body.get("inferenceConfig", {}).get("maxTokens", len(words))
        return [*thought, {"text": "".join(words[:most])}], "end_turn" if most >= len(words) else "max_tokens"

    def _usage(self, body: dict[str, Any], blocks: list[dict[str, Any]]) -> dict[str, int]:
        tokens_in = len(WORD.findall(json.dumps([body.get("system"), body["messages"]])))
        tokens_out = sum(len(pieces) for _, pieces in map(cut, blocks))
        usage = {"inputTokens": tokens_in, "outputTokens": tokens_out, "totalTokens": tokens_in + tokens_out}
        if self.cache_read or self.cache_written:
            usage |= {"cacheReadInputTokens": self.cache_read, "cacheWriteInputTokens": self.cache_written}
        return usage


def answered(body: dict[str, Any]) -> web.Response:
    """A whole answer."""
    return web.json_response(body, headers={"x-amzn-RequestId": str(uuid.uuid4())})


def error(fault: Fault) -> web.Response:
    """An error as AWS's REST services tell one."""
    return web.json_response({"message": fault.message}, status=fault.status, headers={"x-amzn-ErrorType": fault.code, **fault.headers})


def last_text(body: dict[str, Any]) -> str:
    """The words of the last message."""
    return " ".join(block["text"] for block in body["messages"][-1]["content"] if "text" in block)


def tools_called(body: dict[str, Any], text: str) -> list[tuple[str, dict[str, Any]]]:
    """The tools that have to be called, or that the words name; never again once their results have come."""
    config = body.get("toolConfig") or {}
    specs = {tool["toolSpec"]["name"]: tool["toolSpec"]["inputSchema"]["json"] for tool in config.get("tools", [])}
    choice = config.get("toolChoice") or {}
    if "tool" in choice:
        names = [choice["tool"]["name"]]
    else:
        names = [name for name in specs if re.search(rf"\b{re.escape(name)}\b", text)]
        if "any" in choice and not names:
            names = list(specs)[-1:]
    return [(name, smallest(specs[name], text)) for name in names]


def smallest(schema: dict[str, Any], text: str) -> Any:
    """A small value that fits a schema, with the first number of the text where one is wanted."""
    if "anyOf" in schema:
        return smallest(schema["anyOf"][0], text)
    if "enum" in schema:
        return schema["enum"][0]
    number = re.search(r"\d+", text)
    match schema.get("type"):
        case "object":
            return {name: smallest(held, text) for name, held in schema.get("properties", {}).items()}
        case "integer" | "number":
            return int(number[0]) if number else 0
        case "boolean":
            return True
        case "array":
            return [smallest(schema.get("items", {}), text)]
        case _:
            return "word"


def cut(block: dict[str, Any]) -> tuple[str, list[str]]:
    """The kind of a block, and its text in pieces."""
    if "text" in block:
        return "text", WORD.findall(block["text"])
    if "toolUse" in block:
        given = json.dumps(block["toolUse"]["input"])
        return "toolUse", [given[start : start + 8] for start in range(0, len(given), 8)]
    return "reasoningContent", WORD.findall(block["reasoningContent"]["reasoningText"]["text"])


def events(blocks: list[dict[str, Any]], stop: str, usage: dict[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a stream that says the blocks."""
    yield "messageStart", {"role": "assistant"}
    for index, block in enumerate(blocks):
        kind, pieces = cut(block)
        place = {"contentBlockIndex": index}
        if kind == "toolUse":
            start = {name: block["toolUse"][name] for name in ("toolUseId", "name")}
            yield "contentBlockStart", place | {"start": {"toolUse": start}}
        for piece in pieces:
            delta = {"input": piece} if kind == "toolUse" else {"text": piece}
            yield "contentBlockDelta", place | {"delta": {"text": piece} if kind == "text" else {kind: delta}}
        yield "contentBlockStop", place
    yield "messageStop", {"stopReason": stop}
    yield "metadata", {"usage": usage, "metrics": {"latencyMs": 1}}


def embeddings(model: str, body: dict[str, Any]) -> web.Response:
    """Titan's and Cohere's shapes."""
    if "titan-embed" in model:
        text = body["inputText"]
        vector = vector_of(text, body.get("dimensions", DIMENSIONS))
        return answered({"embedding": vector, "inputTextTokenCount": len(WORD.findall(text))})
    if "cohere.embed" in model:
        vectors = [vector_of(text, DIMENSIONS) for text in body["texts"]]
        response = answered({"embeddings": vectors, "id": "x", "response_type": "embeddings_floats", "texts": body["texts"]})
        response.headers["x-amzn-bedrock-input-token-count"] = str(sum(len(WORD.findall(text)) for text in body["texts"]))
        return response
    return error(Fault("ValidationException", 400, "The provided model identifier is invalid."))


def vector_of(text: str, dimensions: int) -> list[float]:
    """The same vector for the same words, of length one."""
    vector = [0.0] * dimensions
    for word in WORD.findall(text.lower()):
        vector[int(hashlib.sha256(word.strip().encode()).hexdigest(), 16) % dimensions] += 1.0
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return [value / length for value in vector]
