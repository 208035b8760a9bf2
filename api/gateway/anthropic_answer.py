"""A chat answer as Anthropic's message: whole, and as the events of a stream."""

import orjson
from pydantic import JsonValue

from api.gateway.chunks import Choice, ToolPiece, protocol_broken, read
from api.gateway.errors import body_of
from api.gateway.sse import event
from factory_infra.errors import EffectFailed, LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.answers import Streamed

STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "function_call": "tool_use", "content_filter": "refusal"}


def message_of(body: JsonObject, usage: Usage, model: str, call_id: str) -> JsonObject:
    """A whole answer. Raises EffectFailed where the arguments of a tool are not an object."""
    choice = read(body) or Choice()
    said = choice.message.content or choice.message.refusal
    content: list[JsonValue] = [{"type": "text", "text": said}] if said else []
    content += [_tool_use(piece) for piece in choice.message.tool_calls or []]
    return {**_envelope(model, call_id), "content": content, **_ending(choice), "usage": usage_of(usage)}


def usage_of(usage: Usage) -> JsonObject:
    """What was used; Anthropic counts what came from a cache, or went into one, apart from `input_tokens`."""
    fresh = usage.tokens_in - usage.tokens_cached - usage.tokens_cache_written
    return {
        "input_tokens": max(fresh, 0),
        "cache_read_input_tokens": usage.tokens_cached,
        "cache_creation_input_tokens": usage.tokens_cache_written,
        "output_tokens": usage.tokens_out,
    }


def _envelope(model: str, call_id: str) -> JsonObject:
    return {"id": f"msg_{call_id}", "type": "message", "role": "assistant", "model": model}


def _ending(choice: Choice) -> JsonObject:
    """Why it ended. Which stop sequence it was is known only where the backend tells it."""
    if choice.finish_reason == "stop" and isinstance(choice.stop_reason, str):
        return {"stop_reason": "stop_sequence", "stop_sequence": choice.stop_reason}
    return {"stop_reason": STOPS.get(choice.finish_reason or "stop", "end_turn"), "stop_sequence": None}


def _tool_use(piece: ToolPiece) -> JsonObject:
    try:
        arguments = orjson.loads(piece.function.arguments or "{}")
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict):
        raise EffectFailed("The model called a tool with something that is not JSON.", remedy="Ask again.", code="model_nonsense")
    return {"type": "tool_use", "id": piece.id or "", "name": piece.function.name or "", "input": arguments}


class MessageEvents:
    """Writes a chat stream as Anthropic's events: one block after the other, each opened, filled and closed."""

    def __init__(self, model: str, call_id: str, tokens_in_estimated: int) -> None:
        self._model = model
        self._call_id = call_id
        self._tokens_in = tokens_in_estimated
        self._block = -1
        self._open: int | str | None = None
        """What the open block holds: `text`, or the index of a tool call."""
        self._last = Choice()
        self._usage = Usage()

    def begin(self) -> bytes:
        """The message without content. Its input tokens are our estimate; the exact count comes with `message_delta`."""
        empty: JsonObject = {"content": [], "stop_reason": None, "stop_sequence": None}
        message = {**_envelope(self._model, self._call_id), **empty, "usage": usage_of(Usage(tokens_in=self._tokens_in))}
        return event("message_start", {"type": "message_start", "message": message}) + event("ping", {"type": "ping"})

    def add(self, item: Streamed) -> bytes:
        """What an item adds."""
        self._usage = item.usage or self._usage
        found: list[bytes] = []
        for chunk in item.chunks:
            choice = read(chunk)
            if choice is not None:
                found += self._text(choice.delta.content or choice.delta.refusal)
                for piece in choice.delta.tool_calls or []:
                    found += self._tool(piece)
                self._last = choice if choice.finish_reason else self._last
        return b"".join(found)

    def end(self) -> bytes:
        """Close what is open, and tell why it ended and what was used."""
        delta: JsonObject = {"type": "message_delta", "delta": _ending(self._last), "usage": usage_of(self._usage)}
        return b"".join([*self._close(), event("message_delta", delta), event("message_stop", {"type": "message_stop"})])

    def error(self, error: LineshaftError) -> bytes:
        """The error event after which the stream ends."""
        return b"event: error\ndata: " + body_of(error, "anthropic", self._call_id) + b"\n\n"

    def _text(self, text: str | None) -> list[bytes]:
        if not text:
            return []
        opened = [] if self._open == "text" else self._start("text", {"type": "text", "text": ""})
        return [*opened, self._delta({"type": "text_delta", "text": text})]

    def _tool(self, piece: ToolPiece) -> list[bytes]:
        opened: list[bytes] = []
        if piece.function.name and self._open != piece.index:
            opened = self._start(piece.index, {"type": "tool_use", "id": piece.id or "", "name": piece.function.name, "input": {}})
        if self._open != piece.index:
            raise protocol_broken("its tool calls mixed up")
        arguments = piece.function.arguments
        return [*opened, self._delta({"type": "input_json_delta", "partial_json": arguments})] if arguments else opened

    def _start(self, holds: int | str, block: JsonObject) -> list[bytes]:
        closing = self._close()
        self._open, self._block = holds, self._block + 1
        return [*closing, event("content_block_start", {"type": "content_block_start", "index": self._block, "content_block": block})]

    def _delta(self, delta: JsonObject) -> bytes:
        return event("content_block_delta", {"type": "content_block_delta", "index": self._block, "delta": delta})

    def _close(self) -> list[bytes]:
        if self._open is None:
            return []
        self._open = None
        return [event("content_block_stop", {"type": "content_block_stop", "index": self._block})]
