"""The OpenAI-compatible provider against a small server of that kind."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.openai import OpenAICompatible
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack

USER = [ChatMessage(role="system", content="You decide."), ChatMessage(role="user", content="Now?")]
TOOL = {"type": "function", "function": {"name": "scale", "description": "Scale.", "parameters": {"type": "object", "properties": {}}}}


class Upstream:
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.message: dict[str, Any] = {"role": "assistant", "content": "hello"}
        self.usage: dict[str, Any] | None = {
            "prompt_tokens": 11,
            "completion_tokens": 3,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 8},
        }
        self.status = 200
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    async def complete(self, request: Request) -> JSONResponse:
        self.asked.append(await request.json())
        self.keys.append(request.headers["authorization"])
        if self.status != 200:
            return JSONResponse({"error": {"message": "no", "type": "x", "code": "x"}}, status_code=self.status)
        choice = {"index": 0, "message": self.message, "finish_reason": "stop"}
        body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": self.usage}
        return JSONResponse(body)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def model(upstream: Upstream, serve: Callable[[ASGIApp], str]) -> OpenAICompatible:
    url = serve(Starlette(routes=[Route("/v1/chat/completions", upstream.complete, methods=["POST"])]))
    return OpenAICompatible("m", Settings(model_base_url=f"{url}/v1", model_key=SecretStr("s3cret"), model_timeout_seconds=20))


async def test_counts_what_the_upstream_counts(model: OpenAICompatible, upstream: Upstream) -> None:
    answer = await model.answer(ChatCall(messages=USER, tokens_max=9))
    assert (answer.content, answer.tokens_in, answer.tokens_out, answer.tokens_cached, answer.estimated) == ("hello", 11, 3, 8, False)
    assert answer.model == "openai:m"
    assert upstream.keys == ["Bearer s3cret"]
    assert [message["role"] for message in upstream.asked[0]["messages"]] == ["system", "user"]


async def test_counts_itself_where_the_upstream_does_not(model: OpenAICompatible, upstream: Upstream) -> None:
    upstream.usage = None
    answer = await model.answer(ChatCall(messages=USER))
    assert answer.estimated
    assert answer.tokens_in > 0
    assert answer.tokens_out > 0


@pytest.mark.parametrize("content", ['{"choice": "no"}', "no"])
async def test_a_choice_goes_by_structured_output(model: OpenAICompatible, upstream: Upstream, content: str) -> None:
    upstream.message["content"] = content
    assert (await model.answer(ChatCall(messages=USER, choices=["yes", "no"]))).content == "no"
    schema = upstream.asked[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["choice"]["enum"] == ["yes", "no"]


async def test_tools_and_their_results_travel(model: OpenAICompatible, upstream: Upstream) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "scale", "arguments": '{"nodes": 4}'}}
    upstream.message = {"role": "assistant", "content": None, "tool_calls": [call]}
    first = await model.answer(ChatCall(messages=USER, tools=[TOOL]))
    assert [(item.id, item.name, item.arguments) for item in first.tool_calls] == [("c1", "scale", {"nodes": 4})]
    history = [*USER, ChatMessage(role="assistant", tool_calls=first.tool_calls), ChatMessage(role="tool", content="ok", tool_call_id="c1")]
    await model.answer(ChatCall(messages=history, tools=[TOOL]))
    sent = upstream.asked[1]["messages"]
    assert json.loads(sent[2]["tool_calls"][0]["function"]["arguments"]) == {"nodes": 4}
    assert sent[3]["tool_call_id"] == "c1"


@pytest.mark.parametrize("call", [ChatCall(messages=USER, choices=["yes"]), ChatCall(messages=USER, json_schema={"type": "object"})])
async def test_an_answer_that_breaks_its_constraint_is_refused(model: OpenAICompatible, call: ChatCall) -> None:
    with pytest.raises(EffectFailed) as caught:
        await model.answer(call)
    assert caught.value.error_code == "model_nonsense"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (503, Unavailable, "model_unavailable"),
        (429, Unavailable, "model_unavailable"),
        (401, EffectFailed, "model_key_refused"),
        (400, InvalidInput, "model_call_refused"),
        (404, EffectFailed, "model_failed"),
    ],
)
async def test_a_refusal_becomes_ours_and_is_not_retried(
    model: OpenAICompatible, upstream: Upstream, status: int, error: type[LineshaftError], code: str
) -> None:
    upstream.status = status
    with pytest.raises(error) as caught:
        await model.answer(ChatCall(messages=USER))
    assert caught.value.error_code == code
    assert "s3cret" not in str(caught.value)
    assert len(upstream.asked) == 1


async def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await OpenAICompatible("m", Settings(model_base_url="http://127.0.0.1:9/v1")).answer(ChatCall(messages=USER))
