"""An OpenAI chat request in the shape of Bedrock's Converse."""

import base64
import binascii
import re
from dataclasses import dataclass

import orjson
from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backends.abilities import ability_missing
from factory_infra.saas.models.backends.shapes import messages_of, schema_of, tokens_out_max, tools_of
from factory_infra.saas.models.backends.spec import Guardrail
from factory_infra.saas.models.calls import JsonObject

ANSWER_TOOL = "answer"
IMAGE = re.compile(r"^data:image/(png|jpe?g|gif|webp);base64,", re.IGNORECASE)
Block = dict[str, object]
_EMPTY: Block = {"text": ""}


@dataclass(frozen=True, slots=True)
class ConverseRequest:
    """The arguments of Converse, and the tool whose arguments are the answer where a schema was asked for."""

    arguments: dict[str, object]
    answer_tool: str | None


def converse_request(model: str, body: JsonObject, guardrail: Guardrail | None, *, stream: bool) -> ConverseRequest:
    """Translate a request. Raises InvalidInput for what Converse cannot say; nothing that was asked for is left out."""
    system, messages = _conversation(body)
    arguments: dict[str, object] = {"modelId": model, "messages": messages}
    if system:
        arguments["system"] = system
    if inference := _inference(body):
        arguments["inferenceConfig"] = inference
    tools, answer_tool = _tool_config(body)
    if tools:
        arguments["toolConfig"] = tools
    if guardrail is not None:
        config: Block = {"guardrailIdentifier": guardrail.id, "guardrailVersion": guardrail.version}
        # Words are judged before they leave, not after.
        arguments["guardrailConfig"] = config | ({"streamProcessingMode": "sync"} if stream else {})
    return ConverseRequest(arguments, answer_tool)


def _inference(body: JsonObject) -> Block:
    config: Block = {"maxTokens": tokens_out_max(body), "temperature": body.get("temperature"), "topP": body.get("top_p")}
    stop = body.get("stop")
    config["stopSequences"] = [stop] if isinstance(stop, str) else stop or None
    return {name: value for name, value in config.items() if value is not None}


def _conversation(body: JsonObject) -> tuple[list[Block], list[Block]]:
    """The system's blocks, and messages that alternate between user and assistant, as Converse wants them."""
    system: list[Block] = []
    messages: list[dict[str, object]] = []
    blocks: list[Block] = []
    speaker = ""
    for message in messages_of(body):
        role = message.get("role")
        said = _blocks(message)
        if role in {"system", "developer"}:
            system += said
            continue
        speaks = "assistant" if role == "assistant" else "user"
        if speaks != speaker:
            blocks, speaker = [], speaks
            messages.append({"role": speaks, "content": blocks})
        blocks += said
    return system, [message for message in messages if message["content"]]


def _blocks(message: JsonObject) -> list[Block]:
    content: list[Block] = [block for part in _parts(message.get("content")) if (block := _block(part)) is not None]
    if message.get("role") == "tool":
        return [{"toolResult": {"toolUseId": message.get("tool_call_id"), "content": content or [_EMPTY]}}]
    calls = message.get("tool_calls")
    return content + [_tool_use(call) for call in (calls if isinstance(calls, list) else []) if isinstance(call, dict)]


def _parts(content: JsonValue) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _block(part: JsonObject) -> Block | None:
    """One part as a block; None for an empty text, which Converse refuses."""
    if part.get("type") == "image_url":
        image = part.get("image_url")
        return _image(image.get("url") if isinstance(image, dict) else image)
    text = part.get("text") if part.get("type") == "text" else part.get("refusal")
    if not isinstance(text, str):
        raise ability_missing(f"Bedrock takes no part of type '{part.get('type')}'.")
    return {"text": text} if text else None


def _image(url: JsonValue) -> Block:
    found = IMAGE.match(url) if isinstance(url, str) else None
    if not isinstance(url, str) or found is None:
        raise ability_missing("Bedrock takes images as data URLs of PNG, JPEG, GIF or WebP.", remedy="Send the image itself, in base64.")
    try:
        data = base64.b64decode(url[found.end() :], validate=True)
    except binascii.Error as error:
        raise InvalidInput("An image is not valid base64.", remedy="Encode it again.", code="model_call_refused") from error
    kind = found[1].lower()
    return {"image": {"format": "jpeg" if kind == "jpg" else kind, "source": {"bytes": data}}}


def _tool_use(call: JsonObject) -> Block:
    function = call.get("function")
    given = function.get("arguments") if isinstance(function, dict) else None
    try:
        arguments = orjson.loads(given) if isinstance(given, str) and given.strip() else {}
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(function, dict) or not isinstance(arguments, dict):
        raise InvalidInput(
            "A tool call of the conversation has arguments that are no JSON object.",
            remedy="Send them as the model gave them.",
            code="model_call_refused",
        )
    return {"toolUse": {"toolUseId": call.get("id"), "name": function.get("name"), "input": arguments}}


def _tool_config(body: JsonObject) -> tuple[Block, str | None]:
    """The tools and the choice among them. A schema is a further tool that has to be called, unless another one is."""
    tools, schema, choice = tools_of(body), schema_of(body), body.get("tool_choice")
    if choice == "none" and tools:
        if any(message.get("tool_calls") for message in messages_of(body)):
            reason = "Bedrock cannot keep a model from calling tools once it has called some."
            raise ability_missing(reason, remedy="Leave tool_choice out.")
        tools = []
    specs: list[Block] = [_tool_spec(tool) for tool in tools]
    named = choice.get("function") if isinstance(choice, dict) else None
    if tools and isinstance(named, dict):
        return {"tools": specs, "toolChoice": {"tool": {"name": named.get("name")}}}, None
    if tools and choice == "required":
        return {"tools": specs, "toolChoice": {"any": {}}}, None
    if schema is None:
        return ({"tools": specs, "toolChoice": {"auto": {}}} if choice == "auto" else {"tools": specs}) if specs else {}, None
    name = _free_name(tools)
    specs.append({"toolSpec": {"name": name, "description": "Give the answer.", "inputSchema": {"json": schema}}})
    forced: Block = {"any": {}} if tools else {"tool": {"name": name}}
    return {"tools": specs, "toolChoice": forced}, name


def _tool_spec(tool: JsonObject) -> Block:
    function = tool.get("function")
    held: JsonObject = function if isinstance(function, dict) else {}
    parameters = held.get("parameters") or {"type": "object", "properties": {}}
    spec: Block = {"name": held.get("name"), "inputSchema": {"json": parameters}}
    if held.get("description"):
        spec["description"] = held["description"]
    return {"toolSpec": spec}


def _free_name(tools: list[JsonObject]) -> str:
    taken = {held.get("name") for tool in tools if isinstance(held := tool.get("function"), dict)}
    name = ANSWER_TOOL
    while name in taken:
        name += "_"
    return name
