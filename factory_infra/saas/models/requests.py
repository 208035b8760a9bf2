"""What a client may ask of the gateway: OpenAI's requests, each field of them known by name, kept as they were sent."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal, NotRequired, Self

from pydantic import Discriminator, Field, JsonValue, StringConstraints, Tag, TypeAdapter, with_config
from typing_extensions import TypedDict

from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import ParameterRefused, checked_messages, checked_schemas, validated
from factory_infra.saas.models.request_parts import (
    MESSAGES_MAX,
    STRICT,
    TOOLS_MAX,
    Message,
    ResponseFormat,
    Short,
    StreamOptions,
    Tool,
    ToolChoice,
    text_or,
)

N_MAX = 16
TOKENS_MAX = 10_000_000
INPUTS_MAX = 2048
SPEECH_CHARACTERS_MAX = 4096
OURS = frozenset({"model", "stream", "stream_options", "store", "modalities", "audio_type"})
"""Fields of a request that are answered here and never reach a backend."""
HINTS = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"})
"""Fields that change no answer: they reach only a backend that says it honours them, and are left out for any other."""

Model = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Positive = Annotated[int, Field(ge=1, le=TOKENS_MAX)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
Stop = Annotated[
    Annotated[Short, Tag("<text")] | Annotated[list[Short], Field(max_length=4), Tag("<texts")], Discriminator(text_or("<texts"))
]


@with_config(STRICT)
class ChatBody(TypedDict):
    """A chat request as it is sent. What OpenAI has and no backend here does is told apart from what nobody knows: see REFUSED."""

    model: Model
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_MAX, fail_fast=True)]
    stream: NotRequired[bool | None]
    stream_options: NotRequired[StreamOptions | None]
    n: NotRequired[Annotated[int, Field(ge=1, le=N_MAX)] | None]
    max_tokens: NotRequired[Positive | None]
    max_completion_tokens: NotRequired[Positive | None]
    temperature: NotRequired[Annotated[float, Field(ge=0, le=2)] | None]
    top_p: NotRequired[Annotated[float, Field(ge=0, le=1)] | None]
    stop: NotRequired[Stop | None]
    seed: NotRequired[Annotated[int, Field(ge=-(2**63), lt=2**63)] | None]
    frequency_penalty: NotRequired[Penalty | None]
    presence_penalty: NotRequired[Penalty | None]
    logit_bias: NotRequired[Annotated[dict[Annotated[str, StringConstraints(pattern=r"^\d{1,9}$")], Bias], Field(max_length=1024)] | None]
    logprobs: NotRequired[bool | None]
    top_logprobs: NotRequired[Annotated[int, Field(ge=0, le=20)] | None]
    tools: NotRequired[Annotated[list[Tool], Field(max_length=TOOLS_MAX, fail_fast=True)] | None]
    tool_choice: NotRequired[ToolChoice | None]
    parallel_tool_calls: NotRequired[bool | None]
    response_format: NotRequired[ResponseFormat | None]
    reasoning_effort: NotRequired[Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None]
    verbosity: NotRequired[Literal["low", "medium", "high"] | None]
    modalities: NotRequired[Annotated[list[Literal["text"]], Field(max_length=1)] | None]
    store: NotRequired[bool | None]
    user: NotRequired[Short | None]
    metadata: NotRequired[
        Annotated[
            dict[Annotated[str, StringConstraints(max_length=64)], Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)
        ]
        | None
    ]
    service_tier: NotRequired[Literal["auto", "default"] | None]
    safety_identifier: NotRequired[Short | None]
    prompt_cache_key: NotRequired[Short | None]
    prompt_cache_retention: NotRequired[Literal["in_memory", "in-memory", "24h"] | None]


Input = Annotated[
    Annotated[str, StringConstraints(min_length=1), Tag("<text")]
    | Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(max_length=INPUTS_MAX, fail_fast=True), Tag("<texts")]
    | Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=TOKENS_MAX, fail_fast=True), Tag("<tokens")]
    | Annotated[
        list[Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]],
        Field(max_length=INPUTS_MAX, fail_fast=True),
        Tag("<lists"),
    ],
    Discriminator(lambda value: _input_kind(value)),
]


def _input_kind(value: object) -> str | None:
    if isinstance(value, list) and value:
        return {str: "<texts", int: "<tokens", list: "<lists"}.get(type(value[0]))
    return "<text" if isinstance(value, str) else None


@with_config(STRICT)
class EmbeddingsBody(TypedDict):
    """An embeddings request as it is sent."""

    model: Model
    input: Input
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    dimensions: NotRequired[Annotated[int, Field(ge=1, le=65_536)] | None]
    user: NotRequired[Short | None]


@with_config(STRICT)
class SpeechBody(TypedDict):
    """A request to speak."""

    model: Model
    input: Annotated[str, StringConstraints(min_length=1, max_length=SPEECH_CHARACTERS_MAX)]
    voice: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    instructions: NotRequired[Annotated[str, StringConstraints(max_length=4096)] | None]
    response_format: NotRequired[Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None]
    speed: NotRequired[Annotated[float, Field(ge=0.25, le=4)] | None]
    stream_format: NotRequired[Literal["audio"] | None]


@with_config(STRICT)
class TranscriptionBody(TypedDict):
    """The fields of a transcription's form, without its file."""

    model: Model
    language: NotRequired[Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] | None]
    prompt: NotRequired[Annotated[str, StringConstraints(max_length=4096)] | None]
    response_format: NotRequired[Literal["json", "text", "srt", "verbose_json", "vtt"] | None]
    temperature: NotRequired[Annotated[float, Field(ge=0, le=1)] | None]
    timestamp_granularities: NotRequired[Annotated[list[Literal["word", "segment"]], Field(max_length=2)] | None]
    stream: NotRequired[Literal[False] | None]


REFUSED = {
    "functions": "Send 'tools'.",
    "function_call": "Send 'tool_choice'.",
    "audio": "Leave it out: answers are text.",
    "web_search_options": "Leave it out: models here do not search by themselves.",
    "prediction": "Leave it out.",
    "moderation": "Leave it out.",
    "prompt_cache_options": "Leave it out.",
}
"""Fields that OpenAI has and that are refused as unsupported, each with what to do."""

_CHAT = TypeAdapter(ChatBody)
_EMBEDDINGS = TypeAdapter(EmbeddingsBody)
_SPEECH = TypeAdapter(SpeechBody)
_TRANSCRIPTION = TypeAdapter(TranscriptionBody)


@dataclass(frozen=True)
class Request:
    """What all requests have. `sent` is the whole of what the client sent, checked and not changed."""

    sent: JsonObject

    @property
    def model(self) -> str:
        """The virtual model that is asked for."""
        return str(self.sent["model"])

    def body(self, fields: frozenset[str]) -> JsonObject:
        """What a backend that honours some optional fields is handed: nothing that is ours, no null, and no hint that it does not know."""
        return {
            name: value
            for name, value in self.sent.items()
            if value is not None and name not in OURS and (name not in HINTS or name in fields)
        }


@dataclass(frozen=True)
class ChatRequest(Request):
    """A chat request."""

    @classmethod
    def parse(cls, sent: JsonObject) -> Self:
        """Check what was sent. Raises ParameterRefused with OpenAI's code and the field's place; nothing is changed or filled in."""
        validated(_CHAT, sent, REFUSED)
        _consistent(sent)
        checked_messages(sent)
        checked_schemas(sent)
        return cls(sent)

    @cached_property
    def stream(self) -> bool:
        """Whether the answer comes piece by piece."""
        return self.sent.get("stream") is True

    @property
    def include_usage(self) -> bool:
        """Whether the last chunk of a stream tells the usage."""
        options = self.sent.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    @property
    def n(self) -> int:
        """How many answers are wanted."""
        return _integer(self.sent.get("n")) or 1

    @property
    def tokens_out_asked(self) -> int | None:
        """The bound of one answer that the client set."""
        return _integer(self.sent.get("max_completion_tokens")) or _integer(self.sent.get("max_tokens"))

    @property
    def tokens_out_field(self) -> str:
        """The name of the field by which the client set it."""
        return "max_completion_tokens" if self.sent.get("max_completion_tokens") is not None else "max_tokens"


@dataclass(frozen=True)
class EmbeddingsRequest(Request):
    """A request to embed texts, or tokens where the backend takes them."""

    @classmethod
    def parse(cls, sent: JsonObject) -> Self:
        """Check what was sent. Raises ParameterRefused."""
        validated(_EMBEDDINGS, sent)
        return cls(sent)

    @property
    def base64(self) -> bool:
        """Whether the vectors are wanted in Base64, as OpenAI's own clients ask."""
        return self.sent.get("encoding_format") == "base64"


@dataclass(frozen=True)
class SpeechRequest(Request):
    """A request to speak."""

    @classmethod
    def parse(cls, sent: JsonObject) -> Self:
        """Check what was sent. Raises ParameterRefused."""
        validated(_SPEECH, sent)
        return cls(sent)

    @property
    def characters(self) -> int:
        """What is to be said, in characters."""
        return len(str(self.sent["input"]))


@dataclass(frozen=True)
class TranscriptionRequest(Request):
    """A file to be written down."""

    audio: bytes
    audio_type: str

    @classmethod
    def parse(cls, sent: JsonObject, audio: bytes, audio_type: str) -> Self:
        """Check the form's fields (numbers as numbers) and that there is a file. Raises ParameterRefused."""
        validated(_TRANSCRIPTION, sent)
        if not audio:
            raise ParameterRefused("file", "The file is empty.", code="invalid_value")
        return cls(sent, audio, audio_type)


def _integer(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None


def _consistent(sent: JsonObject) -> None:
    """Refuse what contradicts itself."""
    if sent.get("store") is True:
        raise ParameterRefused("store", "Answers are not stored here.", code="unsupported_value")
    if sent.get("stream_options") is not None and sent.get("stream") is not True:
        raise ParameterRefused("stream_options", "'stream_options' is only for a stream.", code="invalid_value")
    if sent.get("max_tokens") is not None and sent.get("max_completion_tokens") is not None:
        raise ParameterRefused("max_tokens", "'max_tokens' and 'max_completion_tokens' cannot be set both.", code="invalid_value")
    if sent.get("top_logprobs") is not None and sent.get("logprobs") is not True:
        raise ParameterRefused("top_logprobs", "'top_logprobs' is only with 'logprobs'.", code="invalid_value")
    if not sent.get("tools") and sent.get("tool_choice") not in (None, "none", "auto"):
        raise ParameterRefused("tool_choice", "'tool_choice' is only with 'tools'.", code="invalid_value")
