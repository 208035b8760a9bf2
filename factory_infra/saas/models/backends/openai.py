"""Any server that speaks the OpenAI shapes. The gateway's hot path: nothing here is kept, copied or parsed twice."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import orjson
from aiohttp import FormData
from pydantic import JsonValue, SecretStr

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.abilities import CHAT, abilities_of
from factory_infra.saas.models.backends.answers import chat_answer, embeddings_answer, encoded, object_of
from factory_infra.saas.models.backends.audio import file_type_of, seconds_of_audio
from factory_infra.saas.models.backends.chat_stream import ChatStream
from factory_infra.saas.models.backends.connection import FAULTS, Connection, Outgoing
from factory_infra.saas.models.backends.counts import usage_told
from factory_infra.saas.models.backends.openai_fields import AUDIO_FIELDS, CHAT_FIELDS, EMBEDDING_FIELDS
from factory_infra.saas.models.backends.spec import OpenAISpec
from factory_infra.saas.models.calls import Abilities, Answer, Audio, Call, JsonObject, Piece
from factory_infra.settings import Settings

ABILITIES = abilities_of(
    *CHAT,
    "json_object",
    "logprobs",
    "images",
    "n",
    "embeddings",
    "transcription",
    "speech",
    fields=CHAT_FIELDS | EMBEDDING_FIELDS | AUDIO_FIELDS,
    context=131_072,
)
PLAIN_FORMS = frozenset({"text", "srt", "vtt"})
RECALL_SECONDS = 10.0


class OpenAIBackend:
    """One server. Chat, embeddings, transcription and speech; what a model of it lacks is taken away in the gateway's file."""

    def __init__(self, spec: OpenAISpec, settings: Settings, secret: SecretStr | None) -> None:
        del settings
        self.name = spec.title
        self._spec = spec
        self._http = Connection(self.name, spec.url, None if secret is None else secret.get_secret_value(), spec.connections_max)
        self._stream_options: JsonObject = {"include_usage": True}
        if spec.usage_in_stream:
            self._stream_options["continuous_usage_stats"] = True

    def abilities(self, model: str) -> Abilities:
        """What the shape allows, with the file's differences."""
        return self._spec.overridden(model, ABILITIES)

    async def close(self) -> None:
        """Give connections back."""
        await self._http.close()

    async def complete(self, call: Call) -> Answer:
        """Answer a chat call as a whole."""
        data = encoded(self.name, {**call.body, "model": call.model})
        raw, _ = await self._http.whole(Outgoing("POST", "/chat/completions", call.id, call.deadline_seconds, data))
        return chat_answer(self.name, call, raw)

    async def stream(self, call: Call) -> AsyncGenerator[Piece, None]:
        """Answer a chat call piece by piece, one piece a read. Closing the generator closes the connection at once."""
        data = encoded(self.name, {**call.body, "model": call.model, "stream": True, "stream_options": self._stream_options})
        response = await self._http.send(
            Outgoing("POST", "/chat/completions", call.id, call.deadline_seconds, data, accept="text/event-stream")
        )
        reading = ChatStream(self.name)
        content = response.content
        try:
            while not reading.done:
                try:
                    read = await content.readany()
                except FAULTS as error:
                    raise self._cut(reading, error, call) from error
                piece = reading.take(read) if read else reading.end()
                if piece is not None:
                    yield piece
                if reading.fault is not None:
                    raise reading.fault
            await self._http.finish(response)
        finally:
            response.close()

    def _cut(self, reading: ChatStream, error: Exception, call: Call) -> Unavailable | EffectFailed | InvalidInput:
        """A fault of the connection in mid-stream; before anything came, a deadline is only a deadline."""
        if isinstance(error, TimeoutError):
            late = faults.too_late(self.name, call.deadline_seconds)
            return faults.broken_stream(self.name, f"did not end within {call.deadline_seconds:g} s") if reading.begun else late
        return faults.broken_stream(self.name, "was cut off")

    async def embed(self, call: Call) -> Answer:
        """Embed the texts of `body.input`, always as floats."""
        data = encoded(self.name, {**call.body, "model": call.model, "encoding_format": "float"})
        raw, _ = await self._http.whole(Outgoing("POST", "/embeddings", call.id, call.deadline_seconds, data))
        return embeddings_answer(self.name, call, raw)

    async def transcribe(self, call: Call) -> Answer:
        """Transcribe `call.audio`; a plain format comes back as the object's `text`."""
        media_type, suffix = file_type_of(call.audio_type)
        form = FormData()
        form.add_field("file", call.audio, filename="audio" + suffix, content_type=media_type)
        form.add_field("model", call.model)
        for name, value in call.body.items():
            for each in value if isinstance(value, list) else [value]:
                if each is not None:
                    form.add_field(f"{name}[]" if isinstance(value, list) else name, _plain(each))
        plain = call.body.get("response_format") in PLAIN_FORMS
        accept = "" if plain else "application/json"
        outgoing = Outgoing("POST", "/audio/transcriptions", call.id, call.deadline_seconds, form, accept)
        raw, _ = await self._http.whole(outgoing)
        if plain:
            return Answer({"text": raw.decode(errors="replace")}, _listened(call, {}))
        body = object_of(self.name, raw)
        if not isinstance(body.get("text"), str):
            raise faults.not_the_protocol(self.name, "with what is no transcription")
        return Answer(body, _listened(call, body))

    async def speak(self, call: Call) -> Audio:
        """Say `body.input` with `body.voice`."""
        data = encoded(self.name, {**call.body, "model": call.model})
        raw, kind = await self._http.whole(Outgoing("POST", "/audio/speech", call.id, call.deadline_seconds, data, accept="audio/"))
        text = call.body.get("input")
        characters = len(text) if isinstance(text, str) else 0
        return Audio(raw, kind.partition(";")[0], Usage(characters=characters))

    async def usage_of(self, call_id: str) -> Usage | None:
        """What a call used, where the file says that this server can tell; None while it has not ended, or is not known."""
        if not self._spec.usage_recall:
            return None
        try:
            raw, _ = await self._http.whole(Outgoing("GET", f"/usage/{call_id}", call_id, RECALL_SECONDS))
        except InvalidInput:
            return None
        body = object_of(self.name, raw)
        usage = usage_told(body.get("usage")) if body.get("final") is True else None
        return replace(usage, estimated=True) if usage is not None and body.get("estimated") is True else usage


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _listened(call: Call, body: JsonObject) -> Usage:
    """What a transcription used: what the server tells, else the sound's own length."""
    told = body.get("usage")
    seconds = told.get("seconds") if isinstance(told, dict) else body.get("duration")
    usage = usage_told(told)
    if usage is not None:
        return usage
    if isinstance(seconds, int | float) and seconds >= 0:
        return Usage(audio_seconds=float(seconds))
    return Usage(audio_seconds=seconds_of_audio(call.audio), estimated=True)
