"""What a model says can be kept, whatever characters it says."""

import json

import pytest

from factory_infra.database import storable_json
from factory_infra.errors import EffectFailed
from factory_infra.saas.models.checks import checked
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage, ToolCall

CALL = ChatCall(messages=[ChatMessage(role="user", content="hello")])


def answer(content: str, *calls: ToolCall) -> ChatAnswer:
    return ChatAnswer(content=content, tool_calls=list(calls), tokens_in=1, tokens_out=1, model="m")


def test_a_character_that_no_database_takes_is_replaced() -> None:
    told = checked(CALL, answer("\0 nonsense", ToolCall(id="1", name="n", arguments={"a": ["\0"]})))
    assert told.content == "\ufffd nonsense"
    assert told.tool_calls[0].arguments == {"a": ["\ufffd"]}


def test_choices_are_held() -> None:
    with pytest.raises(EffectFailed, match="none of the 2 choices"):
        checked(CALL.model_copy(update={"choices": ["a", "b"]}), answer("c"))


@pytest.mark.parametrize("text", ["plain", "a\\u0000 as it is spelled", "\\\\u0000", "é\n"])
def test_what_can_be_stored_is_kept(text: str) -> None:
    assert json.loads(storable_json({"text": text})) == {"text": text}


@pytest.mark.parametrize("before", ["", "\\", "\\\\"])
def test_only_the_character_is_replaced(before: str) -> None:
    assert json.loads(storable_json(f"{before}\0x")) == f"{before}\ufffdx"
