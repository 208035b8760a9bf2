"""What the embedded provider makes of a call before anything is sent, and of an answer after."""

import pytest
from pydantic import JsonValue

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.models.models import ChatAnswer, ChatCall, ChatMessage
from factory_infra.saas.models.providers.embedded import Embedded, choices_grammar
from factory_infra.saas.models.tool_choice import as_tool_call, choice_schema, instruction
from factory_infra.saas.models.wire import answer_from_wire
from factory_infra.settings import Settings

TOOL: dict[str, JsonValue] = {
    "type": "function",
    "function": {
        "name": "scale",
        "description": "Scale a cluster.",
        "parameters": {"type": "object", "properties": {"nodes": {"type": "integer"}}},
    },
}
CALL = ChatCall(messages=[ChatMessage(role="user", content="hello")])


def said(content: str) -> ChatAnswer:
    return ChatAnswer(content=content, tokens_in=1, tokens_out=1, model="embedded:m")


def test_a_grammar_holds_the_choices_and_nothing_else() -> None:
    assert choices_grammar(["yes", 'say "no"', "später"]) == 'root ::= "yes" | "say \\"no\\"" | "später"'


@pytest.mark.parametrize("choice", ["", " yes", "a\nb", "\x00"])
def test_an_unprintable_choice_is_refused(choice: str) -> None:
    with pytest.raises(InvalidInput):
        choices_grammar(["yes", choice])


def test_a_tool_choice_becomes_a_tool_call() -> None:
    answer = as_tool_call(said('{"tool": "scale", "arguments": {"nodes": 4}}'))
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("scale", {"nodes": 4})]
    assert as_tool_call(said('{"tool": "reply", "arguments": {"text": "Hello."}}')).content == "Hello."
    with pytest.raises(EffectFailed):
        as_tool_call(said('{"tool": "scale", "argum'))


def test_tools_are_listed_and_offered_with_a_reply() -> None:
    assert "scale: Scale a cluster." in instruction([TOOL]).content
    branches = choice_schema([TOOL])["anyOf"]
    assert isinstance(branches, list)
    assert len(branches) == 2
    with pytest.raises(InvalidInput):
        choice_schema([{"name": "flat"}])


async def test_without_an_address_it_is_unavailable_and_says_what_to_do() -> None:
    with pytest.raises(Unavailable, match="lineshaft up"):
        await Embedded("m", Settings(model="none")).answer(CALL)


@pytest.mark.parametrize(
    "body",
    [None, {}, {"choices": []}, {"choices": [{"message": {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "["}}]}}]}],
)
def test_another_shape_is_named(body: object) -> None:
    with pytest.raises(EffectFailed) as caught:
        answer_from_wire(CALL, body, "embedded:m")
    assert caught.value.error_code == "model_protocol"


def test_tokens_are_counted_here_where_the_answer_has_none() -> None:
    answer = answer_from_wire(CALL, {"choices": [{"message": {"content": "hi there"}}]}, "m")
    assert answer.estimated
    assert (answer.tokens_in, answer.tokens_out) == (6, 2)
