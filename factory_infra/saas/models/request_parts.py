"""The shapes inside a request: messages, their parts, tools and formats, as OpenAI's chat API has them."""

from collections.abc import Callable
from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, with_config
from typing_extensions import TypedDict

MESSAGES_MAX = 2048
TOOLS_MAX = 128
PARTS_MAX = 512
TAG = "<"
"""How the tag of a choice between shapes begins, so that it is told from a field's name in the place of an error."""

STRICT = ConfigDict(extra="forbid", strict=True)
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
Short = Annotated[str, StringConstraints(max_length=512)]
Schema = dict[str, object]


def tagged(key: str, *known: str) -> Callable[[object], str | None]:
    """Choose a shape by a field whose value is one of the known; any other value is no shape."""
    tags = {value: f"{TAG}{value}" for value in known}

    def tag(value: object) -> str | None:
        found = value.get(key) if isinstance(value, dict) else None
        return tags.get(found) if isinstance(found, str) else None

    return tag


def text_or(other: str) -> Callable[[object], str]:
    """Choose between a plain text and another shape."""
    return lambda value: "<text" if isinstance(value, str) else other


@with_config(STRICT)
class CacheControl(TypedDict):
    """A hint that what stands before may be kept; it changes no answer, and whoever does not know it passes it over."""

    type: Literal["ephemeral"]
    ttl: NotRequired[Literal["5m", "1h"] | None]


@with_config(STRICT)
class TextPart(TypedDict):
    """A text. LangChain's client and others send the hint to every server that speaks OpenAI's shape."""

    type: Literal["text"]
    text: str
    cache_control: NotRequired[CacheControl | None]


@with_config(STRICT)
class RefusalPart(TypedDict):
    """What an assistant said when it refused."""

    type: Literal["refusal"]
    refusal: str


@with_config(STRICT)
class ImageUrl(TypedDict):
    """An image as a data URL; an address only where the backend fetches it by itself."""

    url: str
    detail: NotRequired[Literal["auto", "low", "high"] | None]


@with_config(STRICT)
class ImagePart(TypedDict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


@with_config(STRICT)
class InputAudio(TypedDict):
    """Sound in Base64."""

    data: str
    format: Literal["wav", "mp3"]


@with_config(STRICT)
class AudioPart(TypedDict):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


UserPart = Annotated[
    Annotated[TextPart, Tag("<text")] | Annotated[ImagePart, Tag("<image_url")] | Annotated[AudioPart, Tag("<input_audio")],
    Discriminator(tagged("type", "text", "image_url", "input_audio")),
]
SaidPart = Annotated[
    Annotated[TextPart, Tag("<text")] | Annotated[RefusalPart, Tag("<refusal")], Discriminator(tagged("type", "text", "refusal"))
]
Texts = Annotated[
    Annotated[str, Tag("<text")] | Annotated[list[TextPart], Field(min_length=1, max_length=PARTS_MAX, fail_fast=True), Tag("<parts")],
    Discriminator(text_or("<parts")),
]
UserContent = Annotated[
    Annotated[str, Tag("<text")] | Annotated[list[UserPart], Field(min_length=1, max_length=PARTS_MAX, fail_fast=True), Tag("<parts")],
    Discriminator(text_or("<parts")),
]
SaidContent = Annotated[
    Annotated[str, Tag("<text")] | Annotated[list[SaidPart], Field(max_length=PARTS_MAX, fail_fast=True), Tag("<parts")],
    Discriminator(text_or("<parts")),
]


@with_config(STRICT)
class CalledFunction(TypedDict):
    """A function that the assistant called; the arguments are JSON in a text, as the model wrote it."""

    name: Name
    arguments: str


@with_config(STRICT)
class CalledTool(TypedDict):
    """One call of a tool."""

    id: Short
    type: Literal["function"]
    function: CalledFunction
    index: NotRequired[int]


@with_config(STRICT)
class SystemMessage(TypedDict):
    """What the operator of the conversation says; `developer` is OpenAI's newer word for it."""

    role: Literal["system", "developer"]
    content: Texts
    name: NotRequired[Short | None]


@with_config(STRICT)
class UserMessage(TypedDict):
    """What the user says."""

    role: Literal["user"]
    content: UserContent
    name: NotRequired[Short | None]


@with_config(STRICT)
class AssistantMessage(TypedDict):
    """What the model said before. Clients send its whole message back, so the fields of an answer that say nothing are taken, too."""

    role: Literal["assistant"]
    content: NotRequired[SaidContent | None]
    name: NotRequired[Short | None]
    refusal: NotRequired[str | None]
    tool_calls: NotRequired[Annotated[list[CalledTool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None]
    reasoning_content: NotRequired[str | None]
    annotations: NotRequired[Annotated[list[object], Field(max_length=0)] | None]
    audio: NotRequired[None]
    function_call: NotRequired[None]


@with_config(STRICT)
class ToolMessage(TypedDict):
    """What a tool answered."""

    role: Literal["tool"]
    content: Texts
    tool_call_id: Short
    name: NotRequired[Short | None]


Message = Annotated[
    Annotated[SystemMessage, Tag("<system")]
    | Annotated[SystemMessage, Tag("<developer")]
    | Annotated[UserMessage, Tag("<user")]
    | Annotated[AssistantMessage, Tag("<assistant")]
    | Annotated[ToolMessage, Tag("<tool")],
    Discriminator(tagged("role", "system", "developer", "user", "assistant", "tool")),
]


@with_config(STRICT)
class Function(TypedDict):
    """A function that the model may call."""

    name: Name
    description: NotRequired[str | None]
    parameters: NotRequired[Schema | None]
    strict: NotRequired[bool | None]


@with_config(STRICT)
class Tool(TypedDict):
    """A tool: a function. OpenAI's custom tools with a grammar are refused by name."""

    type: Literal["function"]
    function: Function


@with_config(STRICT)
class NamedFunction(TypedDict):
    """The name of one function."""

    name: Name


@with_config(STRICT)
class NamedTool(TypedDict):
    """The choice of exactly one tool."""

    type: Literal["function"]
    function: NamedFunction


@with_config(STRICT)
class NamedSchema(TypedDict):
    """The JSON Schema that an answer keeps to."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    schema: NotRequired[Schema | None]
    description: NotRequired[str | None]
    strict: NotRequired[bool | None]


@with_config(STRICT)
class TextFormat(TypedDict):
    """Plain text."""

    type: Literal["text"]


@with_config(STRICT)
class JsonFormat(TypedDict):
    """Any JSON object."""

    type: Literal["json_object"]


@with_config(STRICT)
class SchemaFormat(TypedDict):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("<text")] | Annotated[JsonFormat, Tag("<json_object")] | Annotated[SchemaFormat, Tag("<json_schema")],
    Discriminator(tagged("type", "text", "json_object", "json_schema")),
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<text")] | Annotated[NamedTool, Tag("<tool")], Discriminator(text_or("<tool"))
]


@with_config(STRICT)
class StreamOptions(TypedDict):
    """What a stream tells besides its pieces."""

    include_usage: NotRequired[bool | None]
    include_obfuscation: NotRequired[bool | None]
