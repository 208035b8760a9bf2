"""A request and its answer where the client is slow, silent or gone: nothing waits for ever."""

import asyncio

import pytest
from starlette.types import Message

from api.gateway import exchange as module
from api.gateway.errors import ClientGone
from api.gateway.exchange import Exchange
from factory_infra.errors import InvalidInput


async def never() -> Message:
    await asyncio.Event().wait()
    return {}


async def swallow(message: Message) -> None:
    if message["type"] == "http.response.body":
        await asyncio.Event().wait()


def exchange(**headers: str) -> Exchange:
    named = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Exchange({"method": "POST", "path": "/", "query_string": b"", "headers": named}, never, swallow)


async def test_a_client_that_sends_headers_and_no_body_is_told_so() -> None:
    with pytest.raises(InvalidInput) as refused:
        await exchange(**{"content-length": "100"}).body(1_000, 0.05)
    assert refused.value.error_code == "body_slow"


async def test_a_client_that_reads_no_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS_MAX", 0.05)
    with pytest.raises(ClientGone):
        await exchange().write(b"data")
