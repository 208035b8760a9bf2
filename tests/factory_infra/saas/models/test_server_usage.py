"""What the model server remembers of its calls, with an engine that a test plays."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import httpx
import pytest
from starlette.types import ASGIApp

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.llama import Llama
from factory_infra.saas.models.minilm import MiniLM
from factory_infra.saas.models.server_app import Chat, build_app
from factory_infra.saas.models.server_usage import StreamCounter, UsageBook, usage_of_timings

KEY = {"Authorization": "Bearer k"}
BODY = {"messages": [{"role": "user", "content": "Count."}], "stream": True, "stream_options": {"include_usage": True}}


def chunk(number: int, word: str) -> bytes:
    """What the engine says of one token."""
    delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    timings = {"prompt_n": 3, "cache_n": 30, "predicted_n": number, "prompt_ms": 1.5}
    return b"data: " + json.dumps({"choices": [delta], "model": "/a/file", "timings": timings}).encode() + b"\n\n"


class Engine:
    """Says words without end, until it is left; a whole answer of seven tokens."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.status = 200
        self.asked: list[dict[str, Any]] = []

    def client(self, timeout_seconds: float) -> httpx.AsyncClient:
        """A client that reaches nothing but this."""
        return httpx.AsyncClient(transport=httpx.MockTransport(self._answer), base_url="http://engine", timeout=timeout_seconds)

    def close(self) -> None:
        """Nothing is open."""

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        if self.status != 200:
            return httpx.Response(self.status, json={"error": {"message": "no"}})
        if body.get("stream"):
            return httpx.Response(200, stream=_Endless(self))
        usage = {"prompt_tokens": 33, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 30}}
        return httpx.Response(200, json={"choices": [{"message": {"content": "x"}}], "model": "/a/file", "usage": usage})


class _Endless(httpx.AsyncByteStream):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for number in range(1, 1_000_000):
            yield chunk(number, f" {number}")
            await asyncio.sleep(0.002)

    async def aclose(self) -> None:
        self._engine.left.set()


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def url(engine: Engine, serve: Callable[[ASGIApp], str]) -> str:
    embedder = cast(MiniLM, object())
    return serve(build_app("k", embedder, Chat("small", cast(Llama, engine), 30.0)))


@pytest.fixture
def client(url: str) -> Iterator[httpx.AsyncClient]:
    yield httpx.AsyncClient(base_url=url, headers=KEY, trust_env=False, timeout=20)


async def told(client: httpx.AsyncClient, call_id: str) -> dict[str, Any]:
    """What the server remembers, once the call has ended."""
    async with asyncio.timeout(10):
        while not (answer := (await client.get(f"/v1/usage/{call_id}")).json())["final"]:  # noqa: ASYNC110 - another thread ends it
            await asyncio.sleep(0.02)
    return cast(dict[str, Any], answer)


@pytest.mark.stack
class TestServer:
    async def test_a_caller_who_leaves_is_counted_as_far_as_the_engine_went(self, client: httpx.AsyncClient, engine: Engine) -> None:
        async with client.stream("POST", "/v1/chat/completions", json=BODY, headers={"x-request-id": "call/1"}) as response:
            lines = response.aiter_lines()
            seen = [json.loads(line[6:]) async for line in _first(lines, 5)]
            assert not (await client.get("/v1/usage/call/1")).json()["final"]
        answer = await told(client, "call/1")
        assert answer["usage"]["prompt_tokens"] == 33
        assert 5 <= answer["usage"]["completion_tokens"] < 1000
        assert not answer["estimated"]
        assert [(item["model"], "timings" in item, "usage" in item) for item in seen] == [("small", False, False)] * 5

    async def test_who_asks_for_it_is_told_at_every_chunk(self, client: httpx.AsyncClient) -> None:
        body = BODY | {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            seen = [json.loads(line[6:])["usage"]["completion_tokens"] async for line in _first(response.aiter_lines(), 3)]
        assert seen == [1, 2, 3]

    async def test_a_whole_answer_and_a_refusal(self, client: httpx.AsyncClient, engine: Engine) -> None:
        whole = BODY | {"stream": False}
        answer = (await client.post("/v1/chat/completions", json=whole, headers={"x-request-id": "w"})).json()
        assert answer["model"] == "small"
        assert (await told(client, "w"))["usage"]["completion_tokens"] == 7
        engine.status = 400
        assert (await client.post("/v1/chat/completions", json=whole, headers={"x-request-id": "r"})).status_code == 422
        assert (await told(client, "r"))["usage"]["total_tokens"] == 0

    async def test_an_unknown_call_and_an_unknown_key(self, client: httpx.AsyncClient) -> None:
        unknown = await client.get("/v1/usage/nobody")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "call_unknown")
        assert (await client.get("/v1/usage/nobody", headers={"Authorization": "Bearer x"})).status_code == 401


async def _first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    """So many lines of data."""
    async for line in lines:
        if line.startswith("data: "):
            yield line
            count -= 1
            if count == 0:
                return


class TestUsageBook:
    def test_is_bounded_and_keeps_the_newest(self) -> None:
        book = UsageBook(calls_max=3)
        for number in range(5):
            book.remember(f"c{number}", Usage(tokens_in=number), final=True)
        assert [book.tell(f"c{number}") is not None for number in range(5)] == [False, False, True, True, True]
        book.remember("c2", Usage(), final=False)
        book.remember("c5", Usage(), final=True)
        assert (book.tell("c2") or {})["final"] is False
        assert book.tell("c3") is None

    @pytest.mark.parametrize("call_id", [None, "", "x" * 201])
    def test_takes_no_id_that_is_none(self, call_id: str | None) -> None:
        book = UsageBook()
        book.remember(call_id, Usage(), final=True)
        assert book.tell(call_id or "") is None


class TestStreamCounter:
    def test_without_the_engines_count_it_counts_itself(self) -> None:
        counter = StreamCounter("small", 9, told_to_caller=False)
        counter.take(b'data: {"choices": [{"delta": {"role": "assistant", "content": null}}]}\n\n')
        counter.take(b'data: {"choices": [{"delta": {"content": " word"}}]}\n\ndata: [DONE]\n\n')
        assert counter.usage == Usage(tokens_in=9, tokens_out=1, estimated=True)

    def test_reads_the_engines_count(self) -> None:
        assert usage_of_timings({"prompt_n": 3, "cache_n": 30, "predicted_n": 7}) == Usage(tokens_in=33, tokens_out=7, tokens_cached=30)
