"""The one seam between the gateway and whatever answers. Extras are Protocols of their own, asked for with isinstance."""

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import Abilities, Answer, Audio, Call, Piece


class Backend(Protocol):
    """One upstream, named in the gateway's file by the operator; no address of it ever comes from a request.

    Calls raise Unavailable (retryable: no connection, overload, throttling, timeout; `retry_after_seconds` where the upstream said it),
    InvalidInput `model_call_refused` (the upstream refuses the call as such), `ability_missing` (it cannot do what is asked),
    EffectFailed `model_key_refused` or `model_protocol`. Nothing is retried inside: the route decides.
    """

    @property
    def name(self) -> str:
        """As in the gateway's file; appears in the ledger."""
        ...

    def abilities(self, model: str) -> Abilities:
        """What a model of this backend can do."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...


@runtime_checkable
class ChatBackend(Backend, Protocol):
    """A backend that chats."""

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        ...

    def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer a chat call piece by piece. Closing the generator closes the upstream's connection, which stops its work.

        A fault after the first piece raises Unavailable `model_stream_broken`; what was yielded before stays counted.
        """
        ...


@runtime_checkable
class EmbeddingsBackend(Backend, Protocol):
    """A backend that embeds texts."""

    async def embed(self, call: Call) -> Answer:
        """Embed the texts of `body.input`; the answer has OpenAI's shape with floats."""
        ...


@runtime_checkable
class TranscriptionBackend(Backend, Protocol):
    """A backend that writes down speech."""

    async def transcribe(self, call: Call) -> Answer:
        """Transcribe `call.audio`."""
        ...


@runtime_checkable
class SpeechBackend(Backend, Protocol):
    """A backend that speaks."""

    async def speak(self, call: Call) -> Audio:
        """Say `body.input` with `body.voice`."""
        ...


@runtime_checkable
class UsageRecall(Backend, Protocol):
    """A backend that can still tell what a call used, by the id that it was sent with: how a call is settled that a crash cut off."""

    async def usage_of(self, call_id: str) -> Usage | None:
        """What the call used, once it has ended at the upstream; None where it is not known, or not ended yet."""
        ...
