"""A chat answer as OpenAI's response: its items, and what it repeats of the request."""

import time

from pydantic import JsonValue

from api.gateway.chunks import Choice, ToolPiece, read
from api.gateway.responses_request import ResponsesRequest
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject

CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}


def usage_of(usage: Usage) -> JsonObject:
    """What was used."""
    return {
        "input_tokens": usage.tokens_in,
        "input_tokens_details": {"cached_tokens": usage.tokens_cached, "cache_write_tokens": usage.tokens_cache_written},
        "output_tokens": usage.tokens_out,
        "output_tokens_details": {"reasoning_tokens": usage.tokens_reasoning},
        "total_tokens": usage.tokens_in + usage.tokens_out,
    }


class Envelope:
    """The response itself, as it stands at each moment: what was asked does not change, the items and the status do."""

    def __init__(self, request: ResponsesRequest, model: str, call_id: str) -> None:
        self._request = request
        self._model = model
        self._call_id = call_id
        self._created = int(time.time())

    def item_id(self, kind: str, place: int) -> str:
        """The name of an item; unique within all responses."""
        return f"{kind}_{self._call_id}{place:02x}"

    def at(self, status: str, output: list[JsonValue], usage: Usage | None = None, *, reason: str | None = None) -> JsonObject:
        """The response now. `reason` says why it is incomplete."""
        return {
            "id": f"resp_{self._call_id}",
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": self._model,
            "output": output,
            **({"usage": usage_of(usage)} if usage else {}),
            **self._asked(),
        }

    def _asked(self) -> JsonObject:
        asked = self._request.model_dump(
            mode="json", by_alias=True, include={"instructions", "max_output_tokens", "metadata", "temperature", "top_p", "tools"}
        )
        # The published document knows no null for `user`, nor for `usage` while nothing is used.
        more = self._request.model_dump(mode="json", by_alias=True, exclude_none=True, include={"tool_choice", "text", "reasoning", "user"})
        return {
            **asked,
            "metadata": asked["metadata"] or {},
            "tools": asked["tools"] or [],
            **({"user": more["user"]} if "user" in more else {}),
            "tool_choice": more.get("tool_choice", "auto"),
            "text": {"format": {"type": "text"}, **more.get("text", {})},
            "reasoning": {"effort": None, "summary": None, **more.get("reasoning", {})},
            "parallel_tool_calls": self._request.parallel_tool_calls is not False,
            "previous_response_id": None,
            "store": False,
            "truncation": "disabled",
        }


def text_part(text: str, tokens: list[JsonValue] | None = None) -> JsonObject:
    """A piece of text that came out."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": tokens or []}


def refusal_part(text: str) -> JsonObject:
    """What a model says when it refuses."""
    return {"type": "refusal", "refusal": text}


def message_item(item_id: str, status: str, content: list[JsonValue]) -> JsonObject:
    """What the model said."""
    return {"type": "message", "id": item_id, "status": status, "role": "assistant", "content": content}


def call_item(item_id: str, status: str, piece: ToolPiece) -> JsonObject:
    """A function that the model called."""
    return {
        "type": "function_call",
        "id": item_id,
        "call_id": piece.id or "",
        "name": piece.function.name or "",
        "arguments": piece.function.arguments or "",
        "status": status,
    }


def response_of(body: JsonObject, usage: Usage, envelope: Envelope) -> JsonObject:
    """A whole answer."""
    choice = read(body) or Choice()
    reason = CUT.get(choice.finish_reason or "")
    status = "incomplete" if reason else "completed"
    content: list[JsonValue] = [text_part(choice.message.content, choice.tokens)] if choice.message.content else []
    if choice.message.refusal:
        content.append(refusal_part(choice.message.refusal))
    output: list[JsonValue] = [message_item(envelope.item_id("msg", 0), status, content)] if content else []
    for piece in choice.message.tool_calls or []:
        output.append(call_item(envelope.item_id("fc", len(output)), status, piece))
    return envelope.at(status, output, usage, reason=reason)
