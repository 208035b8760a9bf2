"""`POST /v1/embeddings`: vectors of texts, as numbers or as float32 in Base64, which OpenAI's own clients ask for."""

import orjson

from api.gateway.body import parsed
from api.gateway.exchange import Exchange
from api.gateway.headers import answer_headers
from api.gateway.service import Service, asker_of
from factory_infra.saas.models.requests import EmbeddingsRequest


async def embeddings(exchange: Exchange, service: Service) -> None:
    """Answer a request for embeddings."""
    asker = await asker_of(exchange, service, "openai")
    request = EmbeddingsRequest.parse(parsed(await exchange.body(service.body_bytes_max)))
    answered = await exchange.while_connected(service.models.embed(asker, request))
    await exchange.answer(200, orjson.dumps(answered.body), answer_headers(answered, "openai"))
