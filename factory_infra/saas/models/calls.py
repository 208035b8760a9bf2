"""What the gateway hands to a backend, and what comes back: the OpenAI shapes, with the usage read out of them."""

from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage

JsonObject = dict[str, JsonValue]
Kind = Literal["chat", "embeddings", "transcription", "speech"]
Ability = Literal[
    "chat",
    "stream",
    "tools",
    "parallel_tools",
    "json_schema",
    "json_object",
    "logprobs",
    "images",
    "n",
    "embeddings",
    "transcription",
    "speech",
]


@dataclass(slots=True)
class Call:
    """One attempt at one backend. `body` is the validated OpenAI request without `model`, `stream` and `stream_options`."""

    id: str
    """Ours, unique per attempt; sent upstream as `x-request-id`, and what `usage_of` is asked by after a crash."""
    kind: Kind
    model: str
    """The upstream's own name of the model."""
    body: JsonObject
    deadline_seconds: float
    audio: bytes = b""
    """For transcription: the file."""
    audio_type: str = ""


@dataclass(slots=True)
class Answer:
    """A whole answer: the OpenAI response body (chat completion, embeddings, transcription)."""

    body: JsonObject
    usage: Usage


@dataclass(slots=True)
class Piece:
    """What one read of a stream brought: OpenAI chunks (`chat.completion.chunk` bodies), in order.

    `usage` is cumulative for the whole call; None until the upstream has told it. `tokens_out` is our own running count
    of what has been produced so far, cumulative, and is used only where the upstream never tells.
    """

    chunks: list[JsonObject]
    tokens_out: int
    usage: Usage | None = None


@dataclass(slots=True)
class Audio:
    """Speech that a backend made."""

    data: bytes
    media_type: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a model of a backend can do, and its bounds; what is not here is refused by name."""

    can: frozenset[Ability]
    context_tokens: int = 32_768
    tokens_out_max: int = 4_096
    image_hosts: bool = False
    """Whether the backend fetches images from addresses by itself; data URLs are taken wherever `images` is."""
    fields: frozenset[str] = field(default_factory=frozenset)
    """Optional request fields that the backend honours, such as `seed` or `logit_bias`; others that are set are refused by name."""
