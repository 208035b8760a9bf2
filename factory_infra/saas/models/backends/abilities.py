"""What each kind of backend can do, and the one place where what it cannot do is refused, before anything is reserved."""

from collections.abc import Iterator

from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import Abilities, Ability, Call, JsonObject, Kind

CHAT: tuple[Ability, ...] = ("chat", "stream", "tools", "parallel_tools", "json_schema")
OF_KIND: dict[Kind, Ability] = {"chat": "chat", "embeddings": "embeddings", "transcription": "transcription", "speech": "speech"}
ALWAYS: dict[Kind, frozenset[str]] = {
    "chat": frozenset({"messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "user", "metadata"}),
    "embeddings": frozenset({"input", "encoding_format", "user"}),
    "transcription": frozenset({"file", "language", "response_format"}),
    "speech": frozenset({"input", "voice", "response_format"}),
}
"""Fields that every backend of the kind honours, and those that change no answer."""
GUARDED = frozenset({"tools", "tool_choice", "parallel_tool_calls", "response_format", "logprobs", "top_logprobs", "n"})
"""Fields of chat that an ability stands for."""
INERT: dict[str, JsonValue] = {"store": False, "frequency_penalty": 0, "presence_penalty": 0, "speed": 1, "modalities": ["text"]}
"""Values that are the same as leaving the field out."""
DATA_URL = "data:"
REMEDY = "Leave it out, or choose a model that can: /v1/models tells what each can do."
ANOTHER = "Choose another model: GET /v1/models tells which can."


def refuse_missing(call: Call, abilities: Abilities, *, stream: bool = False) -> None:
    """Raise InvalidInput `ability_missing`, naming all that the call asks for and the model cannot do; else return.

    A model that cannot do this kind of call at all is refused for that alone: nothing that is left out would help.
    """
    kind = OF_KIND[call.kind]
    if kind not in abilities.can:
        raise ability_missing(f"The model '{call.model}' cannot do {kind}.", remedy=ANOTHER)
    missing = list(dict.fromkeys(wanted for wanted in _wanted(call, stream=stream) if wanted not in abilities.can))
    fields = _unhonoured(call, abilities)
    if any(part != DATA_URL for part in _image_schemes(call.body)) and "images" not in missing and not abilities.image_hosts:
        fields.append("image_url of another host")
    if missing or fields:
        named = ", ".join([*missing, *fields])
        raise ability_missing(f"The model '{call.model}' cannot do what the request asks: {named}.")


def ability_missing(reason: str, remedy: str = REMEDY) -> InvalidInput:
    """The refusal of what a backend cannot do."""
    return InvalidInput(reason, remedy=remedy, code="ability_missing")


def _wanted(call: Call, *, stream: bool) -> Iterator[Ability]:
    """The abilities that a call of the model's kind needs, in the order in which they are told."""
    if call.kind != "chat":
        return
    body = call.body
    if stream:
        yield "stream"
    if body.get("tools"):
        yield "tools"
    if body.get("tools") and body.get("parallel_tool_calls") is True:
        yield "parallel_tools"
    form = body.get("response_format")
    wanted = form.get("type") if isinstance(form, dict) else None
    if wanted == "json_schema":
        yield "json_schema"
    if wanted == "json_object":
        yield "json_object"
    if body.get("logprobs") or body.get("top_logprobs"):
        yield "logprobs"
    if _above_one(body.get("n")):
        yield "n"
    if next(_image_schemes(body), None) is not None:
        yield "images"


def _above_one(value: JsonValue) -> bool:
    return isinstance(value, int) and value > 1


def _unhonoured(call: Call, abilities: Abilities) -> list[str]:
    """Optional fields that are set and that the model would ignore, with parts of messages that no backend takes."""
    known = ALWAYS[call.kind] | abilities.fields | (GUARDED if call.kind == "chat" else frozenset())
    found = [name for name, value in call.body.items() if name not in known and value is not None and not _inert(name, value)]
    if _one_at_a_time(call.body) and "parallel_tools" in abilities.can and "parallel_tool_calls" not in abilities.fields:
        found.append("parallel_tool_calls: false")
    return found + sorted({str(part.get("type")) for part in parts(call.body) if part.get("type") not in {"text", "image_url", "refusal"}})


def _one_at_a_time(body: JsonObject) -> bool:
    return bool(body.get("tools")) and body.get("parallel_tool_calls") is False


def _inert(name: str, value: JsonValue) -> bool:
    return name in INERT and INERT[name] == value


def parts(body: JsonObject) -> Iterator[JsonObject]:
    """Every content part of every message that has parts."""
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            yield from (part for part in content if isinstance(part, dict))


def _image_schemes(body: JsonObject) -> Iterator[str]:
    for part in parts(body):
        if part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            yield DATA_URL if isinstance(url, str) and url.startswith(DATA_URL) else "other"


def abilities_of(*can: Ability, fields: frozenset[str] = frozenset(), context: int = 32_768) -> Abilities:
    """Abilities of a kind, before the file's overrides."""
    return Abilities(can=frozenset(can), context_tokens=context, fields=fields)
