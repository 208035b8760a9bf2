"""`POST /v1/responses`: OpenAI's newer shape of a chat, whole or as its sequence of events; nothing is stored."""

import orjson

from api.gateway.body import parsed, validated
from api.gateway.exchange import Exchange
from api.gateway.headers import answer_headers
from api.gateway.responses_answer import Envelope, response_of
from api.gateway.responses_request import ResponsesRequest, chat_of, refuse_stored
from api.gateway.responses_stream import ResponseEvents
from api.gateway.service import Service, asker_of
from api.gateway.streaming import serve
from factory_infra.saas.models.requests import ChatRequest


async def responses(exchange: Exchange, service: Service) -> None:
    """Answer a request for a response."""
    asker = await asker_of(exchange, service, "openai")
    sent = parsed(await exchange.body(service.body_bytes_max))
    refuse_stored(sent)
    request = validated(ResponsesRequest, sent)
    envelope = Envelope(request, request.model, exchange.id)
    if request.stream:
        streamed = ChatRequest.parse({**chat_of(request), "stream": True, "stream_options": {"include_usage": True}})
        await serve(exchange, service.models.stream(asker, streamed), ResponseEvents(envelope), "openai")
        return
    answered = await exchange.while_connected(service.models.complete(asker, ChatRequest.parse(chat_of(request))))
    body = response_of(answered.body, answered.usage, envelope)
    await exchange.answer(200, orjson.dumps(body), answer_headers(answered, "openai"))
