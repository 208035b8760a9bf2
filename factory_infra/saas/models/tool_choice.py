"""Tool calls for models too small for native ones: one constrained JSON object, read back as a call."""

import json
from collections.abc import Sequence

from pydantic import BaseModel, JsonValue, ValidationError

from factory_infra.errors import EffectFailed, InvalidInput
from factory_infra.saas.models.models import ChatAnswer, ChatMessage, ToolCall

REPLY = "reply"


class _Function(BaseModel):
    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = {"type": "object", "properties": {}}


class _Tool(BaseModel):
    function: _Function


class _Chosen(BaseModel):
    tool: str
    arguments: dict[str, JsonValue]


def functions_of(tools: Sequence[dict[str, JsonValue]]) -> list[_Function]:
    """Read OpenAI function schemas. Raises InvalidInput for another shape."""
    try:
        return [_Tool.model_validate(tool).function for tool in tools]
    except ValidationError as error:
        raise InvalidInput(
            "A tool is not an OpenAI function schema.", remedy='Give {"type": "function", "function": {"name": …}}.'
        ) from error


def choice_schema(tools: Sequence[dict[str, JsonValue]]) -> dict[str, JsonValue]:
    """The JSON Schema of one choice: a tool with its arguments, or a reply in words."""
    reply = _Function(
        name=REPLY,
        parameters={"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False},
    )
    return {"anyOf": [_branch(function) for function in (*functions_of(tools), reply)]}


def _branch(function: _Function) -> JsonValue:
    return {
        "type": "object",
        "properties": {"tool": {"const": function.name}, "arguments": function.parameters},
        "required": ["tool", "arguments"],
        "additionalProperties": False,
    }


def instruction(tools: Sequence[dict[str, JsonValue]]) -> ChatMessage:
    """A system message that lists the tools, in the order given: it belongs first, where a prompt cache keeps it."""
    lines = [
        f"- {function.name}: {function.description} Arguments: {json.dumps(function.parameters.get('properties', {}), sort_keys=True)}"
        for function in functions_of(tools)
    ]
    text = "Answer with one JSON object: the tool to call and its arguments, or the tool 'reply' with a text.\nTools:\n"
    return ChatMessage(role="system", content=text + "\n".join(lines))


def as_tool_call(answer: ChatAnswer) -> ChatAnswer:
    """Turn the constrained JSON into a tool call or a plain text. Raises EffectFailed `model_nonsense` for anything else."""
    try:
        chosen = _Chosen.model_validate_json(answer.content)
    except ValidationError as error:
        raise EffectFailed(
            f"The answer of {answer.model} is not a tool choice.", remedy="Ask again with more tokens_max.", code="model_nonsense"
        ) from error
    if chosen.tool == REPLY:
        return answer.model_copy(update={"content": str(chosen.arguments.get("text", ""))})
    call = ToolCall(id=f"call-{chosen.tool}", name=chosen.tool, arguments=chosen.arguments)
    return answer.model_copy(update={"content": "", "tool_calls": [call]})
