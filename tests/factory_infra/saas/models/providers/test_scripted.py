"""The model that says what a script says."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.scripted import Scripted
from factory_infra.settings import Settings

SCRIPT = """
rules:
  - {when: busy, fail: unavailable, times: 2}
  - {when: busy, answer: done}
  - {when: pick, choice: b}
  - {when: babble, fail: nonsense}
  - when: scale
    tool_calls: [{id: c1, name: scale, arguments: {nodes: 4}}]
"""


def asked(text: str, *, choices: list[str] | None = None, schema: dict[str, JsonValue] | None = None) -> ChatCall:
    return ChatCall(messages=[ChatMessage(role="user", content=text)], choices=choices, json_schema=schema)


def scripted(name: str) -> Scripted:
    return Scripted(name, Settings(model="none"))


@pytest.fixture
def script(tmp_path: Path) -> Scripted:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    return scripted(f"script={path}")


async def test_first_choice_is_the_first_choice_and_says_who_speaks() -> None:
    answer = await scripted("first-choice").answer(asked("?", choices=["yes", "no"]))
    assert (answer.content, answer.model, answer.estimated) == ("yes", "scripted:first-choice", True)
    assert answer.tokens_in > 0
    assert answer.tokens_out > 0


async def test_a_schema_gets_json_that_fits() -> None:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "c": {"enum": ["red"]}, "x": {"anyOf": [{"const": 7}]}},
        "required": ["n", "c", "x"],
    }
    assert json.loads((await scripted("first-choice").answer(asked("?", schema=schema))).content) == {"n": 0, "c": "red", "x": 7}


async def test_the_first_rule_that_matches_answers(script: Scripted) -> None:
    assert (await script.answer(asked("PICK one", choices=["a", "b"]))).content == "b"
    assert (await script.answer(asked("scale it"))).tool_calls[0].arguments == {"nodes": 4}
    assert "scripted" in (await script.answer(asked("nothing fits"))).content


async def test_failures_come_as_often_as_told(script: Scripted) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            await script.answer(asked("busy"))
    assert (await script.answer(asked("busy"))).content == "done"


async def test_an_answer_outside_of_the_choices_is_nonsense(script: Scripted) -> None:
    for text in ("babble", "pick"):
        with pytest.raises(EffectFailed) as caught:
            await script.answer(asked(text, choices=["x", "y"]))
        assert caught.value.error_code == "model_nonsense"
    with pytest.raises(EffectFailed):
        await script.answer(asked("babble", schema={"type": "object"}))


@pytest.mark.parametrize("text", ["rules: [{when: a}]", "rules: [{answer: a, choice: b}]", "rules: [{when: '(', answer: a}]", "{", "[]"])
def test_a_wrong_script_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        scripted(f"script={path}")


@pytest.mark.parametrize("name", ["last-choice", "script=", "script=/nowhere/at/all.yaml"])
def test_an_unknown_behaviour_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        scripted(name)
