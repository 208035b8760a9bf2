"""Embeddings on Bedrock: each family of models has a shape of its own behind InvokeModel."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import orjson
from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.aws import Aws
from factory_infra.saas.models.backends.counts import inputs_of, tokens_of
from factory_infra.saas.models.calls import Answer, Call, JsonObject

TITAN, COHERE, COHERE_NEW = "titan-embed", "cohere.embed", "cohere.embed-v4"
COHERE_TEXTS_MAX = 96
TITAN_AT_ONCE = 4
TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


def embeds(model: str) -> bool:
    """Whether a model of Bedrock is one of the embeddings known here."""
    return TITAN in model or COHERE in model


def takes_dimensions(model: str) -> bool:
    """Whether the model's vectors can be asked for in another length."""
    return f"{TITAN}-text-v2" in model or COHERE_NEW in model


async def embed(aws: Aws, call: Call) -> Answer:
    """Embed all texts of a call; Titan takes one a request, Cohere 96."""
    texts = inputs_of(call.body)
    if not texts:
        raise faults.refused(aws.name, "texts are wanted, not tokens")
    size = 1 if TITAN in call.model else COHERE_TEXTS_MAX
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    at_once = asyncio.Semaphore(TITAN_AT_ONCE)

    async def one(batch: list[str]) -> tuple[list[JsonValue], Usage]:
        async with at_once:
            return await _batch(aws, call, batch)

    results = await asyncio.gather(*(one(batch) for batch in batches))
    vectors = [vector for found, _ in results for vector in found]
    usage = Usage(tokens_in=sum(used.tokens_in for _, used in results), estimated=any(used.estimated for _, used in results))
    data: list[JsonValue] = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    told: JsonObject = {"prompt_tokens": usage.tokens_in, "total_tokens": usage.tokens_in}
    return Answer({"object": "list", "model": call.model, "data": data, "usage": told}, usage)


async def _batch(aws: Aws, call: Call, texts: list[str]) -> tuple[list[JsonValue], Usage]:
    body = orjson.dumps(_body(call, texts))
    response = await aws.call(
        "bedrock-runtime", "invoke_model", call.deadline_seconds, modelId=call.model, body=body, accept="application/json"
    )
    stream = response["body"]
    raw = await aws.in_thread(lambda: bytes(stream.read()), call.deadline_seconds)  # type: ignore[attr-defined]
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        told = None
    vectors = _vectors(told) if isinstance(told, dict) else []
    if len(vectors) != len(texts):
        raise faults.not_the_protocol(aws.name, "with what are no embeddings of these texts")
    return vectors, _usage(response, told, texts)


def _body(call: Call, texts: list[str]) -> JsonObject:
    dimensions = call.body.get("dimensions")
    if TITAN in call.model:
        return {"inputText": texts[0], **({"dimensions": dimensions} if dimensions else {})}
    body: JsonObject = {"texts": [*texts], "input_type": "search_document"}
    return body | ({"output_dimension": dimensions, "embedding_types": ["float"]} if dimensions else {})


def _vectors(told: JsonObject) -> list[JsonValue]:
    if isinstance(told.get("embedding"), list):
        return [told["embedding"]]
    found = told.get("embeddings")
    if isinstance(found, dict):
        found = found.get("float")
    return found if isinstance(found, list) else []


def _usage(response: Mapping[str, object], told: JsonObject, texts: list[str]) -> Usage:
    """What Bedrock counted, in the body or in a header; our own count without."""
    about = response.get("ResponseMetadata")
    headers = about.get("HTTPHeaders") if isinstance(about, Mapping) else None
    header = str(headers.get(TOKENS_HEADER, "")) if isinstance(headers, Mapping) else ""
    counted = told.get("inputTextTokenCount")
    if isinstance(counted, int):
        return Usage(tokens_in=counted)
    if header.isdecimal():
        return Usage(tokens_in=int(header))
    return replace(Usage(tokens_in=sum(tokens_of(text) for text in texts)), estimated=True)
