"""Anthropic's messages as they are asked for, and the chat request that asks the same. What has no counterpart is refused by name."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import ParameterRefused

MESSAGES_MAX = 2048
BLOCKS_MAX = 512
TOOLS_MAX = 256


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class _Cached(_Strict):
    cache_control: JsonObject | None = Field(default=None, description="Taken as a hint: a backend caches prefixes by itself.")


class TextBlock(_Cached):
    """A piece of text."""

    type: Literal["text"]
    text: str
    citations: list[JsonValue] | None = Field(default=None, max_length=0)


class Base64Source(_Strict):
    """An image in the request itself."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str = Field(pattern=r"^[A-Za-z0-9+/=\r\n]+$")


class UrlSource(_Strict):
    """An image elsewhere; taken only by backends that fetch images themselves."""

    type: Literal["url"]
    url: str = Field(max_length=4096)


class ImageBlock(_Cached):
    """An image."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource, Field(discriminator="type")]


class ToolUseBlock(_Cached):
    """A call of a tool that the model made."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=128)
    input: JsonObject
    caller: JsonObject | None = None
    toolset_name: None = None


class ToolResultBlock(_Cached):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str = Field(min_length=1, max_length=256)
    content: str | list[TextBlock] = Field(default="", description="Text only: a chat request has no images in tool results.")
    is_error: bool = False
    toolset_name: None = None


UserBlock = Annotated[TextBlock | ImageBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ToolUseBlock, Field(discriminator="type")]


class UserTurn(_Strict):
    """What the user says, or what tools answered."""

    role: Literal["user"]
    content: str | Annotated[list[UserBlock], Field(max_length=BLOCKS_MAX)]


class AssistantTurn(_Strict):
    """What the model said."""

    role: Literal["assistant"]
    content: str | Annotated[list[AssistantBlock], Field(max_length=BLOCKS_MAX)]


class ClientTool(_Cached):
    """A tool of the client's; tools that a provider runs are not here."""

    type: Literal["custom"] | None = None
    name: str = Field(min_length=1, max_length=128)
    description: str = ""
    input_schema: JsonObject
    strict: bool | None = None
    eager_input_streaming: bool | None = None


class ToolChoice(_Strict):
    """Whether and which tool must be called."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(_Strict):
    """Reasoning that is shown: only `disabled` is taken."""

    type: Literal["disabled"]


class Metadata(_Strict):
    """Whose request it is, in the client's own words."""

    user_id: str | None = Field(default=None, max_length=256)


class OutputFormat(_Strict):
    """A schema that the answer must satisfy."""

    type: Literal["json_schema"]
    schema_: JsonObject = Field(alias="schema")


class OutputConfig(_Strict):
    """How the answer looks."""

    format: OutputFormat | None = None


class CountRequest(_Strict):
    """`POST /v1/messages/count_tokens`."""

    model: str = Field(min_length=1, max_length=256)
    messages: list[Annotated[UserTurn | AssistantTurn, Field(discriminator="role")]] = Field(min_length=1, max_length=MESSAGES_MAX)
    system: str | list[TextBlock] | None = None
    tools: list[ClientTool] | None = Field(default=None, max_length=TOOLS_MAX)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest):
    """`POST /v1/messages`."""

    max_tokens: int = Field(ge=1)
    stream: bool = False
    stop_sequences: list[str] | None = Field(default=None, max_length=4)
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None


def chat_of(request: CountRequest) -> JsonObject:
    """The chat request that asks the same."""
    body: JsonObject = {"model": request.model, "messages": _messages(request)}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tool_choice is not None and request.tools:
        body |= _choice(request.tool_choice)
    if request.output_config is not None and request.output_config.format is not None:
        named: JsonObject = {"name": "answer", "schema": request.output_config.format.schema_, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if isinstance(request, MessagesRequest):
        body |= _settings(request)
    return body


def _settings(request: MessagesRequest) -> JsonObject:
    body: JsonObject = {"max_tokens": request.max_tokens}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop_sequences:
        body["stop"] = list(request.stop_sequences)
    return body


def _messages(request: CountRequest) -> list[JsonValue]:
    found: list[JsonValue] = []
    if request.system:
        found.append({"role": "system", "content": _joined(request.system)})
    for place, message in enumerate(request.messages):
        if isinstance(message, UserTurn):
            found += _user(message)
        else:
            found.append(_assistant(message, place))
    return found


def _joined(content: str | list[TextBlock]) -> str:
    return content if isinstance(content, str) else "\n".join(block.text for block in content)


def _user(message: UserTurn) -> list[JsonValue]:
    """A user's message: what tools answered goes first, each as a message of its own."""
    if isinstance(message.content, str):
        return [{"role": "user", "content": message.content}]
    answers: list[JsonValue] = [_answer(block) for block in message.content if isinstance(block, ToolResultBlock)]
    parts: list[JsonValue] = [_part(block) for block in message.content if not isinstance(block, ToolResultBlock)]
    return [*answers, {"role": "user", "content": parts}] if parts else answers


def _answer(block: ToolResultBlock) -> JsonObject:
    said = _joined(block.content)
    return {"role": "tool", "tool_call_id": block.tool_use_id, "content": f"The tool failed: {said}" if block.is_error else said}


def _part(block: TextBlock | ImageBlock) -> JsonObject:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    source = block.source
    url = source.url if isinstance(source, UrlSource) else f"data:{source.media_type};base64,{source.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _assistant(message: AssistantTurn, place: int) -> JsonObject:
    if isinstance(message.content, str):
        return {"role": "assistant", "content": message.content}
    said = "".join(block.text for block in message.content if isinstance(block, TextBlock))
    calls: list[JsonValue] = [_call(block) for block in message.content if isinstance(block, ToolUseBlock)]
    if not said and not calls:
        raise ParameterRefused(f"messages[{place}].content", f"Invalid 'messages[{place}].content': it is empty.", code="invalid_value")
    return {"role": "assistant", "content": said or None, **({"tool_calls": calls} if calls else {})}


def _call(block: ToolUseBlock) -> JsonObject:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": json.dumps(block.input)}}


def _tool(tool: ClientTool) -> JsonObject:
    function: JsonObject = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _choice(choice: ToolChoice) -> JsonObject:
    if choice.type == "tool" and not choice.name:
        raise ParameterRefused("tool_choice.name", "Missing required parameter: 'tool_choice.name'.", code="invalid_value")
    chosen: JsonValue = {"any": "required", "auto": "auto", "none": "none"}.get(choice.type)
    body: JsonObject = {"tool_choice": chosen or {"type": "function", "function": {"name": choice.name}}}
    if choice.disable_parallel_tool_use is not None:
        body["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    return body
