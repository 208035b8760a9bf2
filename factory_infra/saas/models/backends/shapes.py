"""Builds OpenAI's chat shapes for backends that do not speak them by themselves."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.counts import usage_to_wire
from factory_infra.saas.models.calls import Answer, JsonObject

Finish = str


@dataclass(slots=True)
class Said:
    """What a model said in one choice."""

    content: str | None = None
    tool_calls: list[JsonObject] = field(default_factory=list)
    reasoning: str = ""
    finish: Finish = "stop"


def tool_call(identity: str, name: str, arguments: str) -> JsonObject:
    """A whole tool call; `arguments` is JSON."""
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def completion(identity: str, model: str, said: Said, usage: Usage) -> Answer:
    """A chat completion of one choice."""
    message: JsonObject = {"role": "assistant", "content": said.content}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.tool_calls:
        message["tool_calls"] = list[JsonValue](said.tool_calls)
    choice: JsonObject = {"index": 0, "message": message, "logprobs": None, "finish_reason": said.finish}
    body: JsonObject = {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage_to_wire(usage),
    }
    return Answer(body, usage)


class Chunks:
    """Makes the chunks of one stream: they share an id, a moment and a model."""

    def __init__(self, identity: str, model: str) -> None:
        self._head: JsonObject = {
            "id": f"chatcmpl-{identity}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }

    def delta(self, delta: JsonObject, finish: Finish | None = None) -> JsonObject:
        """A chunk of the one choice."""
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    def usage(self, usage: Usage) -> JsonObject:
        """The last chunk, which has no choice and tells the usage."""
        return {**self._head, "choices": [], "usage": usage_to_wire(usage)}

    def whole(self, said: Said, usage: Usage) -> list[JsonObject]:
        """A whole answer as a stream of few chunks."""
        first: JsonObject = {"role": "assistant", "content": said.content or ""}
        if said.tool_calls:
            first["tool_calls"] = [{"index": index, **call} for index, call in enumerate(said.tool_calls)]
        return [self.delta(first), self.delta({}, said.finish), self.usage(usage)]


def said_in(answer: Answer) -> Said:
    """The first choice of a whole answer."""
    choices = answer.body["choices"]
    choice = choices[0] if isinstance(choices, list) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        return Said()
    content, calls = message.get("content"), message.get("tool_calls")
    return Said(
        content=content if isinstance(content, str) else None,
        tool_calls=[call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else [],
        finish=str(choice.get("finish_reason") or "stop"),
    )


def schema_of(body: JsonObject) -> JsonObject | None:
    """The JSON Schema that a request's `response_format` names; None where it names none."""
    form = body.get("response_format")
    if not isinstance(form, dict) or form.get("type") != "json_schema":
        return None
    holder = form.get("json_schema")
    schema = holder.get("schema") if isinstance(holder, dict) else None
    return schema if isinstance(schema, dict) else {"type": "object"}


def tools_of(body: JsonObject) -> list[JsonObject]:
    """A request's tools."""
    tools = body.get("tools")
    return [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []


def tokens_out_max(body: JsonObject) -> int | None:
    """How many tokens the answer may have, by either of the field's names."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if isinstance(value, int):
            return value
    return None


def messages_of(body: JsonObject) -> Sequence[JsonObject]:
    """A request's messages."""
    messages = body.get("messages")
    return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
