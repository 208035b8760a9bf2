"""`POST /v1/messages` and `/v1/messages/count_tokens`: Anthropic's shape of a chat, whole or as its sequence of events."""

import orjson

from api.gateway.anthropic_answer import MessageEvents, message_of
from api.gateway.anthropic_request import CountRequest, MessagesRequest, chat_of
from api.gateway.body import parsed, validated
from api.gateway.exchange import Exchange
from api.gateway.headers import answer_headers
from api.gateway.models import known
from api.gateway.service import Service, asker_of
from api.gateway.streaming import serve
from factory_infra.saas.models.requests import ChatRequest
from factory_infra.saas.models.routing.counting import counted_chat


async def messages(exchange: Exchange, service: Service) -> None:
    """Answer a message."""
    asker = await asker_of(exchange, service, "anthropic")
    request = validated(MessagesRequest, parsed(await exchange.body(service.body_bytes_max)))
    if request.stream:
        streamed = ChatRequest.parse({**chat_of(request), "stream": True, "stream_options": {"include_usage": True}})
        events = MessageEvents(request.model, exchange.id, counted_chat(streamed).estimated)
        await serve(exchange, service.models.stream(asker, streamed), events, "anthropic")
        return
    answered = await exchange.while_connected(service.models.complete(asker, ChatRequest.parse(chat_of(request))))
    body = message_of(answered.body, answered.usage, request.model, exchange.id)
    await exchange.answer(200, orjson.dumps(body), answer_headers(answered, "anthropic"))


async def count_tokens(exchange: Exchange, service: Service) -> None:
    """Count a message's tokens: our estimate, which its answer says. Nothing is asked of a model, and nothing is charged."""
    asker = await asker_of(exchange, service, "anthropic")
    request = validated(CountRequest, parsed(await exchange.body(service.body_bytes_max)))
    known(service, asker.caller, request.model)
    counted = counted_chat(ChatRequest.parse(chat_of(request)))
    body = {"input_tokens": counted.estimated, "estimated": True}
    await exchange.answer(200, orjson.dumps(body), [(b"x-lineshaft-estimated", b"true")])
