"""How a stream of answers becomes one of events, which ends in words, never in silence."""

from collections.abc import AsyncGenerator
from typing import Protocol

from api.gateway.errors import Shape
from api.gateway.exchange import Exchange, closed
from api.gateway.headers import head_headers
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.routing.answers import Streamed


class Writer(Protocol):
    """How one kind of client reads a stream."""

    def begin(self) -> bytes:
        """What stands before the first piece."""
        ...

    def add(self, item: Streamed) -> bytes:
        """What an item adds."""
        ...

    def end(self) -> bytes:
        """What stands after the last piece."""
        ...

    def error(self, error: LineshaftError) -> bytes:
        """The error event after which the stream ends."""
        ...


async def serve(exchange: Exchange, items: AsyncGenerator[Streamed, None], writer: Writer, shape: Shape) -> None:
    """Write a stream as it comes. What fails is raised; once the stream has begun the exchange knows how to say it in the stream.

    When the client leaves, whatever the stream waits for is cancelled and it is closed, so that it settles what was produced.
    """
    try:
        await exchange.while_connected(_pump(exchange, items, writer, shape))
    finally:
        await closed(items)


async def _pump(exchange: Exchange, items: AsyncGenerator[Streamed, None], writer: Writer, shape: Shape) -> None:
    first = await anext(items)
    await exchange.open_events(head_headers(first.head, shape) if first.head else [], writer.error)
    await exchange.write(writer.begin() + writer.add(first))
    async for item in items:
        data = writer.add(item)
        if data:
            await exchange.write(data)
    await exchange.finish(writer.end())
