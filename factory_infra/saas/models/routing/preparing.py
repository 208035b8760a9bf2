"""Makes of a request what each target of a virtual model is asked, and leaves out the targets that cannot do it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backends.abilities import refuse_missing
from factory_infra.saas.models.calls import Call, JsonObject, Kind
from factory_infra.saas.models.request_checks import ParameterRefused
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, Request, SpeechRequest, TranscriptionRequest
from factory_infra.saas.models.routing.counting import (
    BYTES_PER_TOKEN_MAX,
    Counted,
    counted_chat,
    counted_input,
    counted_speech,
    seconds_max,
    tokens_out_max,
)
from factory_infra.saas.models.routing.targets import Live, Virtual

OLDER, NEWER = "max_tokens", "max_completion_tokens"
PLAIN_FIELDS = frozenset({"encoding_format", "stream_format"})
"""How an answer is written for the client is done here; backends always write it in one way."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What one target is asked, and the worst case of it."""

    live: Live
    body: JsonObject
    tokens_out_max: int
    """Of all answers together."""
    money_floor: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as it goes to the targets that can do it, in the order of the file."""

    kind: Kind
    counted: Counted
    fits: tuple[Fit, ...]
    audio: bytes = b""
    audio_type: str = ""

    def call(self, fit: Fit, name: str, seconds: float) -> Call:
        """The call of one attempt."""
        return Call(name, self.kind, fit.live.target.model, fit.body, seconds, self.audio, self.audio_type)


def chat(virtual: Virtual, request: ChatRequest) -> Prepared:
    """Prepare a chat. Raises InvalidInput, of the first target, where none can do it."""
    counted = counted_chat(request)

    def fit(live: Live) -> Fit:
        body = request.body(live.abilities.fields)
        _able("chat", virtual, live, body, stream=request.stream)
        said_max = tokens_out_max(request, live.abilities, counted)
        return Fit(live, _bound(body, live, said_max), said_max * request.n)

    return Prepared("chat", counted, _fitting(virtual.lives, fit))


def embeddings(virtual: Virtual, request: EmbeddingsRequest) -> Prepared:
    """Prepare embeddings. Raises InvalidInput."""
    counted = counted_input(request)
    given = request.sent["input"]
    longest = max((len(each) for each in (given if isinstance(given, list) else [given]) if isinstance(each, str)), default=0)

    def fit(live: Live) -> Fit:
        body = _plain(request, live)
        _able("embeddings", virtual, live, body)
        if longest > live.abilities.context_tokens * BYTES_PER_TOKEN_MAX:
            raise ParameterRefused("input", "A text is longer than the model's context.", code="context_length_exceeded")
        return Fit(live, body, 0)

    return Prepared("embeddings", counted, _fitting(virtual.lives, fit))


def speech(virtual: Virtual, request: SpeechRequest) -> Prepared:
    """Prepare speech, which is priced by the character. Raises InvalidInput."""

    def fit(live: Live) -> Fit:
        body = _plain(request, live)
        _able("speech", virtual, live, body)
        return Fit(live, body, 0, live.rate().character * request.characters)

    return Prepared("speech", counted_speech(request), _fitting(virtual.lives, fit))


def transcription(virtual: Virtual, request: TranscriptionRequest) -> Prepared:
    """Prepare a transcription, which is priced by the second; the worst case is the longest that the file can be. Raises InvalidInput."""
    seconds = Decimal(str(round(seconds_max(request), 3)))

    def fit(live: Live) -> Fit:
        body = _plain(request, live)
        _able("transcription", virtual, live, body)
        return Fit(live, body, 0, live.rate().audio_second * seconds)

    prompt = len(str(request.sent.get("prompt") or "").encode(errors="surrogatepass"))
    counted = Counted(most=prompt, estimated=0, size=prompt)
    return Prepared("transcription", counted, _fitting(virtual.lives, fit), request.audio, request.audio_type)


def _bound(body: JsonObject, live: Live, said_max: int) -> JsonObject:
    """Bind the upstream to what is reserved, by the older name that all know or by the newer one where the backend's fields have it."""
    body.pop(NEWER, None)
    body.pop(OLDER, None)
    body[NEWER if NEWER in live.abilities.fields else OLDER] = said_max
    return body


def _fitting(lives: Sequence[Live], fit: Callable[[Live], Fit]) -> tuple[Fit, ...]:
    fits: list[Fit] = []
    refusal: InvalidInput | None = None
    for live in lives:
        try:
            fits.append(fit(live))
        except InvalidInput as error:
            refusal = refusal or error
    if refusal is not None and not fits:
        raise refusal
    return tuple(fits)


def _plain(request: Request, live: Live) -> JsonObject:
    return {name: value for name, value in request.body(live.abilities.fields).items() if name not in PLAIN_FIELDS}


def _able(kind: Kind, virtual: Virtual, live: Live, body: JsonObject, *, stream: bool = False) -> None:
    """Refuse what a target cannot do, by the name that the client knows."""
    refuse_missing(Call("", kind, virtual.name, body, 0.0), live.abilities, stream=stream)
