"""The embedded backend against a server of its kind; test_server.py has it on the real one."""

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from pydantic import SecretStr

from factory_infra.errors import InvalidInput, Unavailable
from factory_infra.saas.models import minilm, server_app
from factory_infra.saas.models.backends import embedded
from factory_infra.saas.models.backends.embedded import EmbeddedBackend
from factory_infra.saas.models.backends.spec import EmbeddedSpec
from factory_infra.saas.models.calls import JsonObject
from factory_infra.settings import Settings
from tests.emulators.openai_upstream import Upstream
from tests.emulators.serving import serving
from tests.factory_infra.saas.models.backends.calls import SCALE, SCHEMA, call, deltas, finishes, message, said

pytestmark = pytest.mark.stack


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest_asyncio.fixture
async def backend(upstream: Upstream) -> AsyncIterator[EmbeddedBackend]:
    with serving(upstream.app) as url:
        settings = Settings(model_server_url=url, model_server_key=SecretStr("k"))
        opened = EmbeddedBackend(EmbeddedSpec(kind="embedded", name="house"), settings, None)
        yield opened
        await opened.close()


def test_its_bounds_are_the_servers() -> None:
    assert embedded.EMBEDDINGS_MODEL == minilm.NAME
    assert embedded.EMBEDDINGS_TOKENS_MAX == minilm.TOKENS_MAX
    assert embedded.TOKENS_OUT_MAX == server_app.TOKENS_MAX


async def test_sends_what_the_server_takes(backend: EmbeddedBackend, upstream: Upstream) -> None:
    answer = await backend.complete(call(messages=[{"role": "developer", "content": "x"}], max_completion_tokens=9, seed=3, user="u"))
    assert answer.usage.tokens_out == 10
    sent = upstream.asked[0]
    assert sent == {"messages": [{"role": "system", "content": "x"}], "max_tokens": 9, "seed": 3, "model": "m"}
    assert upstream.headers[0]["authorization"] == "Bearer k"


async def test_a_stream_tells_its_usage_at_every_piece(backend: EmbeddedBackend, upstream: Upstream) -> None:
    text, pieces = await said(backend, call())
    assert text == "".join(upstream.words)
    assert all(piece.usage and piece.usage.tokens_out == piece.tokens_out for piece in pieces)


@pytest.mark.parametrize(("choice", "replies"), [(None, True), ("auto", True), ("required", False)])
async def test_tools_go_by_one_constrained_choice(backend: EmbeddedBackend, upstream: Upstream, choice: str | None, replies: bool) -> None:
    upstream.words = ['{"tool": "scale", "arguments": {"nodes": 4}}']
    answer = await backend.complete(call(tools=[SCALE], tool_choice=choice))
    calls = message(answer.body)["tool_calls"]
    assert isinstance(calls, list)
    assert isinstance(calls[0], dict)
    assert calls[0]["function"] == {"name": "scale", "arguments": '{"nodes":4}'}
    sent = upstream.asked[0]
    assert "tools" not in sent
    branches = sent["response_format"]["json_schema"]["schema"]["anyOf"]
    assert [branch["properties"]["tool"]["const"] for branch in branches] == ["scale", "reply"][: 1 + replies]
    assert sent["messages"][0]["role"] == "system"


async def test_a_tool_is_streamed_in_one_piece(backend: EmbeddedBackend, upstream: Upstream) -> None:
    upstream.words = ['{"tool": "scale", "arguments": {"nodes": 4}}']
    _, pieces = await said(backend, call(tools=[SCALE]))
    assert len(pieces) == 1
    assert finishes(pieces) == ["tool_calls"]
    assert pieces[0].usage is not None
    assert deltas(pieces)[0]["tool_calls"]


async def test_a_reply_in_words_and_one_that_holds_a_schema(backend: EmbeddedBackend, upstream: Upstream) -> None:
    upstream.words = ['{"tool": "reply", "arguments": {"text": "Hello."}}']
    assert message((await backend.complete(call(tools=[SCALE]))).body)["content"] == "Hello."
    upstream.words = ['{"tool": "reply", "arguments": {"n": 3}}']
    answer = await backend.complete(call(tools=[SCALE], response_format=SCHEMA))
    assert json.loads(str(message(answer.body)["content"])) == {"n": 3}


async def test_no_tool_one_tool_and_a_choice_cut_off(backend: EmbeddedBackend, upstream: Upstream) -> None:
    await backend.complete(call(tools=[SCALE], tool_choice="none"))
    assert "response_format" not in upstream.asked[0]
    upstream.words = ['{"tool": "sca']
    answer = await backend.complete(call(tools=[SCALE], tool_choice={"type": "function", "function": {"name": "scale"}}))
    assert message(answer.body)["content"] == '{"tool": "sca'
    reply: JsonObject = {"type": "function", "function": {"name": "reply"}}
    with pytest.raises(InvalidInput, match="reply"):
        await backend.complete(call(tools=[reply]))


async def test_without_a_server_it_is_unavailable() -> None:
    nowhere = EmbeddedBackend(EmbeddedSpec(kind="embedded"), Settings(model_server_url=None), None)
    with pytest.raises(Unavailable, match="lineshaft up"):
        await nowhere.complete(call())
    await nowhere.close()
