"""How many tokens a call may use and will probably use, from its request alone: what is reserved, and what an estimate is made of."""

import math
from dataclasses import dataclass

import orjson
from pydantic import JsonValue

from factory_infra.saas.models.backends.audio import seconds_of_audio
from factory_infra.saas.models.calls import Abilities, JsonObject
from factory_infra.saas.models.checks import CHARACTERS_PER_TOKEN, TOKENS_PER_MESSAGE
from factory_infra.saas.models.request_checks import ParameterRefused
from factory_infra.saas.models.requests import ChatRequest, EmbeddingsRequest, SpeechRequest, TranscriptionRequest

PROMPT_OVERHEAD_MAX = 64
MESSAGE_OVERHEAD_MAX = 16
TOOLS_OVERHEAD_MAX = 1024
"""What a chat template adds to a prompt, to each message, and to explain tools: above what the known templates do."""
TEMPLATE_TOKENS_ESTIMATED = 12
"""What it probably adds to a prompt beside its messages: the words that open the answer (3 with the large providers), and where there is
no system message a usual one (some 25 with the small open models)."""
TOOLS_TOKENS_ESTIMATED = 100
"""What it probably says about how tools are called: between 10 and 350 with the models that say it."""
STRUCTURE_FACTOR = 2
"""Templates write tools and schemas with indents; the compact JSON is at most doubled by that."""
IMAGE_TOKENS_MAX = 16_384
IMAGE_TOKENS_ESTIMATED = 1_100
"""The most that the known vision models make of one image, and what they make of a usual one."""
AUDIO_BYTES_PER_TOKEN_MIN = 16
AUDIO_BYTES_PER_SECOND_MIN = 500
"""The slowest codec that speech services take has 4.75 kbit a second, and no model makes more than 32 tokens of a second."""
BYTES_PER_TOKEN_MAX = 8
"""A prompt whose bytes are more than this for each token of the context cannot fit it, whatever the vocabulary."""
TOKENS_OUT_LEAST = 16
ROOM_FACTOR = 1.25


@dataclass(frozen=True, slots=True)
class Counted:
    """A prompt's tokens: never more than `most`, probably `estimated`.

    No vocabulary of today makes more than one token of a byte, so the bytes of every text are the bound.
    """

    most: int
    estimated: int
    size: int
    """Bytes of the texts."""


class _Count:
    __slots__ = ("estimated", "most", "size")

    def __init__(self) -> None:
        self.most, self.estimated, self.size = PROMPT_OVERHEAD_MAX, 0.0, 0

    def text(self, text: str, factor: int = 1) -> None:
        size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
        self.size += size
        self.most += size * factor
        self.estimated += size / CHARACTERS_PER_TOKEN

    def structure(self, value: JsonValue) -> None:
        self.text(orjson.dumps(value).decode(), STRUCTURE_FACTOR)

    def message(self, message: JsonObject) -> None:
        self.most += MESSAGE_OVERHEAD_MAX
        self.estimated += TOKENS_PER_MESSAGE
        self.content(message.get("content"))
        for field in ("name", "tool_call_id", "reasoning_content", "refusal"):
            text = message.get(field)
            if isinstance(text, str):
                self.text(text)
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            self.most += MESSAGE_OVERHEAD_MAX * len(calls)
            self.structure(calls)

    def content(self, content: JsonValue) -> None:
        if isinstance(content, str):
            self.text(content)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, dict):
                    self.part(part)

    def part(self, part: JsonObject) -> None:
        audio = part.get("input_audio")
        if "image_url" in part:
            self.most += IMAGE_TOKENS_MAX
            self.estimated += IMAGE_TOKENS_ESTIMATED
        elif isinstance(audio, dict):
            size = len(str(audio.get("data"))) * 3 // 4
            self.most += size // AUDIO_BYTES_PER_TOKEN_MIN
            self.estimated += size / AUDIO_BYTES_PER_TOKEN_MIN / CHARACTERS_PER_TOKEN
        else:
            self.text(str(part.get("text") or part.get("refusal") or ""))

    @property
    def counted(self) -> Counted:
        return Counted(self.most, math.ceil(self.estimated), self.size)


def counted_chat(request: ChatRequest) -> Counted:
    """Count a chat prompt: messages, tools, schema."""
    count = _Count()
    sent = request.sent
    messages = sent["messages"]
    count.estimated += TEMPLATE_TOKENS_ESTIMATED
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            count.message(message)
    if sent.get("tools"):
        count.most += TOOLS_OVERHEAD_MAX
        count.estimated += TOOLS_TOKENS_ESTIMATED
        count.structure(sent["tools"])
    form = sent.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        count.structure(form)
    return count.counted


def counted_input(request: EmbeddingsRequest) -> Counted:
    """Count what is to be embedded; tokens that are sent as numbers are counted as they are."""
    count = _Count()
    given = request.sent["input"]
    for each in [given] if isinstance(given, str) else given if isinstance(given, list) else ():
        tokens = 1 if isinstance(each, int) else len(each) if isinstance(each, list) else 0
        count.most += tokens
        count.estimated += tokens
        if isinstance(each, str):
            count.most += MESSAGE_OVERHEAD_MAX
            count.text(each)
    return count.counted


def counted_speech(request: SpeechRequest) -> Counted:
    """Count what is to be said."""
    count = _Count()
    count.text(str(request.sent["input"]))
    count.text(str(request.sent.get("instructions") or ""))
    return count.counted


def seconds_max(request: TranscriptionRequest) -> float:
    """The longest that the sound of a file can be: by the slowest codec that is taken, or by what a WAV file says of itself."""
    return max(len(request.audio) / AUDIO_BYTES_PER_SECOND_MIN, seconds_of_audio(request.audio))


def tokens_out_max(request: ChatRequest, abilities: Abilities, counted: Counted) -> int:
    """The bound of one answer that a call is sent with: the request's, else what the model can say and its context leaves room for.

    Raises ParameterRefused `context_length_exceeded` where the prompt cannot fit the context, and for a bound above the model's.
    """
    if counted.size > abilities.context_tokens * BYTES_PER_TOKEN_MAX:
        raise ParameterRefused(
            "messages",
            f"This model's maximum context length is {abilities.context_tokens} tokens, and the messages have {counted.size} bytes.",
            code="context_length_exceeded",
            remedy="Shorten the messages, or choose a model with a longer context.",
        )
    asked = request.tokens_out_asked
    if asked is None:
        room = abilities.context_tokens - math.ceil(counted.estimated * ROOM_FACTOR)
        return max(min(abilities.tokens_out_max, room), TOKENS_OUT_LEAST)
    if asked > abilities.tokens_out_max:
        field = request.tokens_out_field
        raise ParameterRefused(
            field,
            f"'{field}' is too large: {asked}. This model says at most {abilities.tokens_out_max} tokens.",
            code="integer_above_max_value",
        )
    return asked
