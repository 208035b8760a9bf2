"""The gateway's OpenAPI document, built from the requests' own models the first time that somebody asks."""

from functools import cache
from typing import Literal, NamedTuple

import orjson
from pydantic import TypeAdapter

from api.gateway.anthropic_request import CountRequest, MessagesRequest
from api.gateway.responses_request import ResponsesRequest
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.requests import ChatBody, EmbeddingsBody, SpeechBody, TranscriptionBody


class Operation(NamedTuple):
    """One door."""

    path: str
    method: str
    summary: str
    body: type[object] | None = None
    media: str = "application/json"
    answers: str = "application/json"


OPERATIONS: tuple[Operation, ...] = (
    Operation("/v1/chat/completions", "post", "A chat completion, whole or as a stream.", ChatBody),
    Operation("/v1/responses", "post", "A response, whole or as a stream of events; nothing is stored.", ResponsesRequest),
    Operation("/v1/embeddings", "post", "Vectors of texts.", EmbeddingsBody),
    Operation("/v1/audio/transcriptions", "post", "A file, written down.", TranscriptionBody, media="multipart/form-data"),
    Operation("/v1/audio/speech", "post", "A text, said.", SpeechBody, answers="audio/mpeg"),
    Operation("/v1/messages", "post", "A message in Anthropic's shape, whole or as a stream of events.", MessagesRequest),
    Operation("/v1/messages/count_tokens", "post", "An estimate of a message's tokens.", CountRequest),
    Operation("/v1/models", "get", "The models that the key may use, with prices and abilities."),
    Operation("/v1/models/{model}", "get", "One model."),
    Operation("/health", "get", "Whether this process can answer."),
    Operation("/metrics", "get", "Prometheus metrics of all processes.", answers="text/plain"),
)
MODE: Literal["validation"] = "validation"
OPEN = frozenset({"/health"})
REF = "#/components/schemas/{model}"
KEYS: JsonObject = {
    "key": {"type": "http", "scheme": "bearer"},
    "anthropic_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
ERROR: JsonObject = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "object", "required": ["message", "type"]}},
}


@cache
def document() -> bytes:
    """The document as JSON."""
    bodies = [(each.path, MODE, TypeAdapter(each.body)) for each in OPERATIONS if each.body is not None]
    found, defined = TypeAdapter.json_schemas(bodies, ref_template=REF)
    paths: dict[str, dict[str, object]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, found.get((each.path, MODE)))
    definitions = {**defined.get("$defs", {}), "Error": ERROR}
    definitions["TranscriptionBody"]["properties"]["file"] = {"type": "string", "format": "binary"}
    components = {
        "schemas": definitions,
        "securitySchemes": KEYS,
    }
    info = {"title": "Lineshaft gateway", "version": "0.1.0"}
    return orjson.dumps({"openapi": "3.1.0", "info": info, "paths": paths, "components": components})


def _operation(each: Operation, schema: JsonObject | None) -> JsonObject:
    answers: JsonObject = {"200": {"description": each.summary, "content": {each.answers: {}}}}
    if each.path not in OPEN:
        refusal: JsonObject = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
        answers["default"] = {"description": "A refusal, in the shape of the door's clients.", "content": refusal}
    told: JsonObject = {"summary": each.summary, "responses": answers}
    if each.path not in OPEN:
        told["security"] = [{"key": []}, {"anthropic_key": []}]
    if "{model}" in each.path:
        told["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    if schema is not None:
        told["requestBody"] = {"required": True, "content": {each.media: {"schema": schema}}}
    return told
