"""`POST /v1/chat/completions`: a chat completion, whole or as a stream of chunks."""

import orjson

from api.gateway.body import parsed
from api.gateway.errors import body_of
from api.gateway.exchange import Exchange
from api.gateway.headers import answer_headers
from api.gateway.service import Service, asker_of
from api.gateway.sse import plain
from api.gateway.streaming import serve
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.requests import ChatRequest
from factory_infra.saas.models.routing.answers import Streamed

DONE = b"data: [DONE]\n\n"


async def chat(exchange: Exchange, service: Service) -> None:
    """Answer a chat request."""
    asker = await asker_of(exchange, service, "openai")
    request = ChatRequest.parse(parsed(await exchange.body(service.body_bytes_max)))
    if request.stream:
        await serve(exchange, service.models.stream(asker, request), Chunks(), "openai")
        return
    answered = await exchange.while_connected(service.models.complete(asker, request))
    await exchange.answer(200, orjson.dumps(answered.body), answer_headers(answered, "openai"))


class Chunks:
    """Writes the chunks as they are; the usage is among them where the client asked for it."""

    def begin(self) -> bytes:
        """Nothing."""
        return b""

    def add(self, item: Streamed) -> bytes:
        """Each chunk is an event."""
        return b"".join([plain(chunk) for chunk in item.chunks])

    def end(self) -> bytes:
        """The word that the stream is complete."""
        return DONE

    def error(self, error: LineshaftError) -> bytes:
        """The error in place of a chunk; without the last word, so that nobody takes what came for the whole."""
        return b"data: " + body_of(error, "openai") + b"\n\n"
