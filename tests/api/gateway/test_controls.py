"""The controls: with a protection switched off, what it is for goes through, so the tests that show it would fail."""

import asyncio

import httpx
import orjson
import pytest

from api.gateway import body, edge
from api.gateway.exchange import Exchange
from factory_infra.errors import InvalidInput
from tests.api.gateway.house import KEY, gate, listening

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.stack
async def test_without_the_watch_a_client_that_left_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = gate()

    async def never(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Exchange, "_left", never)
    doors.script.hangs = True
    async with listening(doors.app) as url, httpx.AsyncClient(trust_env=False) as client:
        sending = asyncio.create_task(client.post(f"{url}/v1/chat/completions", json=CHAT, headers={"x-api-key": KEY}))
        await doors.script.began.wait()
        sending.cancel()
        for _ in range(5):  # a later connection is served after the end of the earlier one was seen
            async with httpx.AsyncClient(trust_env=False) as other:
                assert (await other.get(f"{url}/health")).status_code == 200
        assert doors.script.ended == []


async def test_without_the_look_at_the_address_a_key_in_it_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    doors = gate()
    monkeypatch.setattr(edge, "refuse_key_in_address", lambda exchange: None)
    assert (await doors.post(f"/v1/chat/completions?key={KEY}", CHAT)).status_code == 200


async def test_without_the_bound_a_large_body_goes_through() -> None:
    large = {**CHAT, "messages": [{"role": "user", "content": "x" * 20_000}]}
    assert (await gate().post("/v1/chat/completions", large)).status_code == 413
    assert (await gate(body_bytes_max=30_000).post("/v1/chat/completions", large)).status_code == 200


def test_without_the_bounds_deep_and_many_parts_go_through(monkeypatch: pytest.MonkeyPatch) -> None:
    deep, many = b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", orjson.dumps({"a": [[]] * 300_000})
    for each in (deep, many):
        with pytest.raises(InvalidInput):
            body.parsed(each)
    monkeypatch.setattr(body, "DEPTH_MAX", 1_000)
    monkeypatch.setattr(body, "PARTS_MAX", 1_000_000)
    for each in (deep, many):
        assert body.parsed(each)
