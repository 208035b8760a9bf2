"""OpenAI's responses as they are asked for, and the chat request that asks the same. What has no counterpart is refused by name."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue, Tag

from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import ParameterRefused

ITEMS_MAX = 2048
PARTS_MAX = 512
Text = Annotated[str, Field(max_length=512)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class InputText(_Strict):
    """A piece of text that goes in."""

    type: Literal["input_text"]
    text: str


class OutputText(_Strict):
    """A piece of text that came out before."""

    type: Literal["output_text"]
    text: str
    annotations: list[JsonValue] = Field(default=[], max_length=0)
    logprobs: list[JsonValue] | None = None


class OutputRefusal(_Strict):
    """A refusal that came out before."""

    type: Literal["refusal"]
    refusal: str


class InputImage(_Strict):
    """An image: a data address, or one that the backend fetches itself where it can."""

    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"] | None = None


Part = Annotated[InputText | OutputText | OutputRefusal | InputImage, Field(discriminator="type")]


class MessageItem(_Strict):
    """What somebody said."""

    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[Part], Field(max_length=PARTS_MAX)]
    id: Text | None = None
    status: Text | None = None
    phase: Text | None = None


class CallItem(_Strict):
    """A call of a function that the model made."""

    type: Literal["function_call"]
    call_id: Text
    name: Text
    arguments: str
    id: Text | None = None
    status: Text | None = None
    caller: JsonObject | None = None
    namespace: None = None


class OutputItem(_Strict):
    """What a function answered."""

    type: Literal["function_call_output"]
    call_id: Text
    output: str | list[InputText] = Field(description="Text only: a chat request has no images in tool results.")
    id: Text | None = None
    status: Text | None = None


Item = CallItem | OutputItem | MessageItem


def _kind_of(item: object) -> str:
    """Which item it is; a message need not say so."""
    kind = item.get("type", "message") if isinstance(item, dict) else getattr(item, "type", "")
    return kind if isinstance(kind, str) else ""


AnyItem = Annotated[
    Annotated[CallItem, Tag("function_call")] | Annotated[OutputItem, Tag("function_call_output")] | Annotated[MessageItem, Tag("message")],
    Discriminator(_kind_of),
]


class FunctionTool(_Strict):
    """A function of the client's; tools that a provider runs are not here."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=128)]
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class FunctionChoice(_Strict):
    """The one function that must be called."""

    type: Literal["function"]
    name: Annotated[str, Field(min_length=1, max_length=128)]


class PlainFormat(_Strict):
    """Text, or any JSON object."""

    type: Literal["text", "json_object"]


class TextSchema(_Strict):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    schema_: JsonObject = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextConfig(_Strict):
    """How the text looks."""

    format: Annotated[PlainFormat | TextSchema, Field(discriminator="type")] | None = None


class Effort(_Strict):
    """How hard a model thinks; what it thinks is not told."""

    effort: Text | None = None
    summary: None = None


class EventOptions(_Strict):
    """How the stream looks; nothing is obfuscated."""

    include_obfuscation: Literal[False] | None = None


class ResponsesRequest(_Strict):
    """`POST /v1/responses`. Nothing is stored, so nothing of an earlier response can be named."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: str | Annotated[list[AnyItem], Field(min_length=1, max_length=ITEMS_MAX)]
    instructions: str | None = None
    stream: bool = False
    stream_options: EventOptions | None = None
    store: Literal[False] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    max_output_tokens: int | None = Field(default=None, ge=1)
    tools: list[FunctionTool] | None = Field(default=None, max_length=256)
    tool_choice: Literal["auto", "none", "required"] | FunctionChoice | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Effort | None = None
    metadata: dict[Annotated[str, Field(max_length=64)], Text] | None = Field(default=None, max_length=16)
    user: Text | None = None
    safety_identifier: Text | None = None
    prompt_cache_key: Text | None = None
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    truncation: Literal["disabled"] | None = None
    service_tier: Literal["auto", "default"] | None = None


STORED = ("previous_response_id", "conversation", "prompt", "background", "store")
"""Fields that need something to be kept here."""


def refuse_stored(body: JsonObject) -> None:
    """Refuse by name what would need a stored response. Raises ParameterRefused."""
    for name in STORED:
        if body.get(name):
            reason = f"'{name}' is not supported: nothing said earlier can be named here. Send the earlier items as input."
            raise ParameterRefused(name, reason, code="unsupported_parameter")
    for name in STORED[:-1]:
        body.pop(name, None)


def chat_of(request: ResponsesRequest) -> JsonObject:
    """The chat request that asks the same."""
    body: JsonObject = {"model": request.model, "messages": _messages(request)}
    plain: JsonObject = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_completion_tokens": request.max_output_tokens,
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
    }
    body |= {name: value for name, value in plain.items() if value is not None}
    return body | _tools(request) | _format(request.text) | _probabilities(request)


def _tools(request: ResponsesRequest) -> JsonObject:
    if not request.tools:
        return {}
    body: JsonObject = {"tools": [_tool(tool) for tool in request.tools]}
    if isinstance(request.tool_choice, FunctionChoice):
        body["tool_choice"] = {"type": "function", "function": {"name": request.tool_choice.name}}
    elif request.tool_choice is not None:
        body["tool_choice"] = request.tool_choice
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls
    return body


def _tool(tool: FunctionTool) -> JsonObject:
    given: JsonObject = {"description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    return {"type": "function", "function": {"name": tool.name, **{name: value for name, value in given.items() if value is not None}}}


def _format(text: TextConfig | None) -> JsonObject:
    wanted = text.format if text else None
    if wanted is None or (isinstance(wanted, PlainFormat) and wanted.type == "text"):
        return {}
    if isinstance(wanted, PlainFormat):
        return {"response_format": {"type": "json_object"}}
    named: JsonObject = {"name": wanted.name, "schema": wanted.schema_}
    if wanted.description is not None:
        named["description"] = wanted.description
    if wanted.strict is not None:
        named["strict"] = wanted.strict
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _probabilities(request: ResponsesRequest) -> JsonObject:
    if request.top_logprobs:
        return {"logprobs": True, "top_logprobs": request.top_logprobs}
    return {"logprobs": True} if "message.output_text.logprobs" in (request.include or []) else {}


def _messages(request: ResponsesRequest) -> list[JsonValue]:
    found: list[JsonValue] = []
    if request.instructions:
        found.append({"role": "system", "content": request.instructions})
    if isinstance(request.input, str):
        return [*found, {"role": "user", "content": request.input}]
    for item in request.input:
        _append(found, item)
    return found


def _append(messages: list[JsonValue], item: Item) -> None:
    """Add an item. The calls that the model made at one time stand in one message of the assistant."""
    if isinstance(item, MessageItem):
        messages.append({"role": item.role, "content": _content(item)})
    elif isinstance(item, OutputItem):
        said = item.output if isinstance(item.output, str) else "".join(part.text for part in item.output)
        messages.append({"role": "tool", "tool_call_id": item.call_id, "content": said})
    else:
        call: JsonObject = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
        last = messages[-1] if messages else None
        if not isinstance(last, dict) or last.get("role") != "assistant":
            last = {"role": "assistant", "content": None}
            messages.append(last)
        calls = last.setdefault("tool_calls", [])
        if isinstance(calls, list):
            calls.append(call)


def _content(item: MessageItem) -> JsonValue:
    """A message's content: plain text where it is only text, as every backend reads it."""
    if isinstance(item.content, str):
        return item.content
    if not any(isinstance(part, InputImage) for part in item.content):
        return "".join(
            part.refusal if isinstance(part, OutputRefusal) else part.text for part in item.content if not isinstance(part, InputImage)
        )
    return [_part(part) for part in item.content]


def _part(part: InputText | OutputText | OutputRefusal | InputImage) -> JsonObject:
    if isinstance(part, InputImage):
        return {"type": "image_url", "image_url": {"url": part.image_url, **({"detail": part.detail} if part.detail else {})}}
    return {"type": "text", "text": part.refusal if isinstance(part, OutputRefusal) else part.text}
