"""The Bedrock provider against a small server that speaks Converse."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.bedrock import Bedrock
from factory_infra.settings import Settings

pytestmark = pytest.mark.stack

MODEL = "amazon.nova-lite-v1:0"
USER = [ChatMessage(role="system", content="You decide."), ChatMessage(role="user", content="Now?")]


class Converse:
    """Answers with the content that it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.content: list[dict[str, Any]] = [{"text": "hello"}]
        self.fault: tuple[int, str] | None = None
        self.asked: list[dict[str, Any]] = []

    async def converse(self, request: Request) -> JSONResponse:
        self.asked.append(await request.json())
        if self.fault is not None:
            status, code = self.fault
            return JSONResponse({"message": "no"}, status_code=status, headers={"x-amzn-ErrorType": code})
        usage = {"inputTokens": 12, "outputTokens": 2, "totalTokens": 14}
        message = {"role": "assistant", "content": self.content}
        return JSONResponse({"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1}})


@pytest.fixture
def converse() -> Converse:
    return Converse()


@pytest.fixture
def model(converse: Converse, serve: Callable[[ASGIApp], str], monkeypatch: pytest.MonkeyPatch) -> Bedrock:
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    url = serve(Starlette(routes=[Route("/model/{name:path}/converse", converse.converse, methods=["POST"])]))
    return Bedrock(MODEL, Settings(model_base_url=url, model_timeout_seconds=20))


async def test_answers_with_the_tokens_that_bedrock_counts(model: Bedrock, converse: Converse) -> None:
    answer = await model.answer(ChatCall(messages=USER, tokens_max=7))
    assert (answer.content, answer.tokens_in, answer.tokens_out, answer.estimated) == ("hello", 12, 2, False)
    assert converse.asked[0]["inferenceConfig"]["maxTokens"] == 7
    assert converse.asked[0]["system"] == [{"text": "You decide."}]


async def test_a_choice_is_a_forced_tool(model: Bedrock, converse: Converse) -> None:
    converse.content = [{"toolUse": {"toolUseId": "t", "name": "answer", "input": {"choice": "no"}}}]
    answer = await model.answer(ChatCall(messages=USER, choices=["yes", "no"]))
    assert (answer.content, answer.tool_calls) == ("no", [])
    assert converse.asked[0]["toolConfig"]["toolChoice"] == {"tool": {"name": "answer"}}


async def test_a_schema_is_a_forced_tool_and_checked(model: Bedrock, converse: Converse) -> None:
    call = ChatCall(messages=USER, json_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    converse.content = [{"toolUse": {"toolUseId": "t", "name": "answer", "input": {"n": 3}}}]
    assert (await model.answer(call)).content == '{"n": 3}'
    converse.content = [{"toolUse": {"toolUseId": "t", "name": "answer", "input": {"n": "three"}}}]
    with pytest.raises(EffectFailed) as caught:
        await model.answer(call)
    assert caught.value.error_code == "model_nonsense"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ((429, "ThrottlingException"), Unavailable, "model_unavailable"),
        ((400, "ValidationException"), InvalidInput, "model_call_refused"),
        ((403, "AccessDeniedException"), EffectFailed, "model_key_refused"),
    ],
)
async def test_a_fault_becomes_ours_and_is_not_retried(
    model: Bedrock, converse: Converse, fault: tuple[int, str], error: type[LineshaftError], code: str
) -> None:
    converse.fault = fault
    with pytest.raises(error) as caught:
        await model.answer(ChatCall(messages=USER))
    assert caught.value.error_code == code
    assert len(converse.asked) == 1
