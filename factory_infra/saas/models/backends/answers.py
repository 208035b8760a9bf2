"""Reads whole answers in OpenAI's shapes: what is not the shape is refused, and what nobody counted is counted."""

import orjson
from pydantic import JsonValue

from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.counts import inputs_of, tokens_of, tokens_of_answer, tokens_of_prompt, usage_told
from factory_infra.saas.models.calls import Answer, Call, JsonObject


def chat_answer(backend: str, call: Call, raw: bytes) -> Answer:
    """A chat completion. Raises EffectFailed `model_protocol` for another shape, and what an error in it says."""
    body = object_of(backend, raw)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not all(_has_message(choice) for choice in choices):
        raise faults.not_the_protocol(backend, "with what is no chat completion")
    usage = usage_told(body.get("usage"))
    if usage is None:
        usage = Usage(tokens_in=tokens_of_prompt(call.body), tokens_out=tokens_of_answer(body), estimated=True)
    return Answer(body, usage)


def _has_message(choice: JsonValue) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def embeddings_answer(backend: str, call: Call, raw: bytes) -> Answer:
    """Vectors of floats, one an input, in order. Raises EffectFailed `model_protocol` for anything else."""
    body = object_of(backend, raw)
    data = body.get("data")
    given = call.body.get("input")
    wanted = len(given) if isinstance(given, list) and given and not isinstance(given[0], int) else 1
    if not isinstance(data, list) or len(data) != wanted or not all(_has_vector(item) for item in data):
        raise faults.not_the_protocol(backend, "with what are no embeddings of these texts")
    usage = usage_told(body.get("usage"))
    if usage is None:
        usage = Usage(tokens_in=sum(tokens_of(text) for text in inputs_of(call.body)), estimated=True)
    return Answer(body, usage)


def _has_vector(item: JsonValue) -> bool:
    vector = item.get("embedding") if isinstance(item, dict) else None
    return isinstance(vector, list) and bool(vector) and isinstance(vector[0], float | int)


def encoded(backend: str, body: JsonObject) -> bytes:
    """A request's body. Raises InvalidInput for what JSON between two machines cannot hold: half a character, a number of any size."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise faults.refused(backend, "it holds what JSON cannot say") from error


def object_of(backend: str, raw: bytes) -> JsonObject:
    """The JSON object of an answer. An `error` inside an answer that says 200 counts as the error that it is."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise faults.not_the_protocol(backend, "with what is not JSON") from error
    if not isinstance(body, dict):
        raise faults.not_the_protocol(backend, "with JSON that is no object")
    if body.get("error"):
        raise fault_told(backend, body)
    return body


def fault_told(backend: str, body: JsonObject) -> LineshaftError:
    """What an error object becomes that comes without a status of its own."""
    message = faults.told(faults.message_of(body))
    error = body.get("error")
    holder = error if isinstance(error, dict) else body
    for code in (holder.get("status"), holder.get("code")):
        number = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 0
        if 400 <= number < 600:
            return faults.of_status(backend, number, message, None)
    if str(holder.get("type", "")).lower().replace("_", "") in {"invalidrequesterror", "badrequesterror", "notfounderror"}:
        return faults.refused(backend, message)
    return faults.unavailable(backend, f"tells of an error: {message}" if message else "tells of an error")
