"""`POST /v1/audio/transcriptions` and `/v1/audio/speech`: a file that is written down, and a text that is said."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import orjson
from pydantic import JsonValue
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.gateway.body import parsed
from api.gateway.exchange import JSON, Exchange, Header
from api.gateway.headers import answer_headers
from api.gateway.service import Service, asker_of
from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import ParameterRefused
from factory_infra.saas.models.requests import SpeechRequest, TranscriptionRequest

FIELDS_MAX = 16
FIELD_BYTES_MAX = 64 * 1024
PLAIN = frozenset({"text", "srt", "vtt"})
"""Formats whose answer is no JSON."""
TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")


class _Form(MultiPartParser):
    """Keeps the file in memory: what a client says is written to no disk."""

    spool_max_size = 2**40


async def transcriptions(exchange: Exchange, service: Service) -> None:
    """Write a file down."""
    asker = await asker_of(exchange, service, "openai")
    request = await _transcription(exchange, await exchange.body(service.body_bytes_max))
    answered = await exchange.while_connected(service.models.transcribe(asker, request))
    headers = answer_headers(answered, "openai")
    if request.sent.get("response_format") in PLAIN:
        await exchange.answer(200, str(answered.body.get("text", "")).encode(), headers, TEXT)
    else:
        await exchange.answer(200, orjson.dumps(answered.body), headers, JSON)


async def speech(exchange: Exchange, service: Service) -> None:
    """Say a text."""
    asker = await asker_of(exchange, service, "openai")
    request = SpeechRequest.parse(parsed(await exchange.body(service.body_bytes_max)))
    spoken = await exchange.while_connected(service.models.speak(asker, request))
    await exchange.answer(200, spoken.audio.data, answer_headers(spoken, "openai"), (b"content-type", spoken.audio.media_type.encode()))


async def _transcription(exchange: Exchange, body: bytes) -> TranscriptionRequest:
    """Read the form. Raises InvalidInput, and ParameterRefused for a field that is wrong."""
    kind = exchange.header(b"content-type")
    if not kind.lower().startswith("multipart/form-data"):
        raise InvalidInput("A transcription is a form with a file.", remedy="Send multipart/form-data.", code="invalid_form")

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _Form(Headers({"content-type": kind}), whole(), max_files=1, max_fields=FIELDS_MAX, max_part_size=FIELD_BYTES_MAX)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise InvalidInput("The form cannot be read.", remedy="Send multipart/form-data with one file.", code="invalid_form") from error
    async with _closing(form) as held:
        return await _read(held)


async def _read(form: FormData) -> TranscriptionRequest:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ParameterRefused("file", "Missing required parameter: 'file'.", code="missing_required_parameter")
    sent: JsonObject = {}
    for name, value in form.multi_items():
        if name != "file" and isinstance(value, str):
            _put(sent, name, value)
    return TranscriptionRequest.parse(sent, await file.read(), file.content_type or "")


def _put(sent: JsonObject, name: str, value: str) -> None:
    """Add a field of the form as the value that JSON would have; a list's name ends in `[]`."""
    if name.endswith("[]"):
        held = sent.setdefault(name[:-2], [])
        if isinstance(held, list):
            held.append(value)
    else:
        sent[name] = _value(name, value)


def _value(name: str, value: str) -> JsonValue:
    if name == "stream":
        return {"true": True, "false": False}.get(value.lower(), value)
    if name != "temperature":
        return value
    try:
        return float(value)
    except ValueError:
        return value


@asynccontextmanager
async def _closing(form: FormData) -> AsyncIterator[FormData]:
    try:
        yield form
    finally:
        await form.close()
