"""The OpenAI chat shape: our models to JSON and back."""

import json

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from factory_infra.errors import EffectFailed
from factory_infra.saas.models.checks import prompt_tokens_estimated, tokens_estimated
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall

_ARGUMENTS = TypeAdapter(dict[str, JsonValue])


class _PromptDetails(BaseModel):
    cached_tokens: int | None = 0


class _Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _PromptDetails | None = None


class _Function(BaseModel):
    name: str
    arguments: str = "{}"


class _Call(BaseModel):
    id: str
    function: _Function


class _Message(BaseModel):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    message: _Message


class Completion(BaseModel):
    """The part of an OpenAI chat completion that is used here."""

    choices: list[_Choice]
    usage: _Usage | None = None


def message_to_wire(message: ChatMessage) -> dict[str, JsonValue]:
    """One message in the OpenAI shape."""
    wire: dict[str, JsonValue] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": json.dumps(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def answer_from_wire(call: ChatCall, body: object, model: str) -> ChatAnswer:
    """Read a completion; our own token counts where it has none. Raises EffectFailed `model_protocol` for another shape."""
    try:
        completion = Completion.model_validate(body)
        message = completion.choices[0].message
        tool_calls = [
            ToolCall(id=item.id, name=item.function.name, arguments=_ARGUMENTS.validate_json(item.function.arguments or "{}"))
            for item in message.tool_calls or []
        ]
    except (ValidationError, IndexError) as error:
        raise EffectFailed(
            f"The answer of {model} is not an OpenAI chat completion.", remedy="Check the address of the model.", code="model_protocol"
        ) from error
    content = message.content or ""
    usage = completion.usage
    if usage is None:
        tokens_in, tokens_out = prompt_tokens_estimated(call.messages), tokens_estimated(content)
        return ChatAnswer(content=content, tool_calls=tool_calls, tokens_in=tokens_in, tokens_out=tokens_out, model=model, estimated=True)
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    return ChatAnswer(
        content=content,
        tool_calls=tool_calls,
        tokens_in=usage.prompt_tokens,
        tokens_out=usage.completion_tokens,
        tokens_cached=cached or 0,
        model=model,
    )
