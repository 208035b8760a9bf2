"""The scripted backend: words are tokens, and every piece tells what they cost."""

from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.scripted import ScriptedBackend
from factory_infra.saas.models.backends.spec import ScriptedSpec
from factory_infra.settings import Settings
from tests.factory_infra.saas.models.backends.calls import SCALE, SCHEMA, asking, call, deltas, finishes, message, said

SCRIPT = """
rules:
  - {when: scale, tool_calls: [{id: c1, name: scale, arguments: {nodes: 4}}]}
  - {when: once, answer: First., times: 1}
  - {when: down, fail: unavailable}
  - {when: nonsense, fail: nonsense}
  - {answer: "The sky is blue."}
"""


@pytest.fixture
def backend(tmp_path: Path) -> ScriptedBackend:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    return ScriptedBackend(ScriptedSpec(kind="scripted", name="play", script=f"script={path}"), Settings(), None)


async def test_whole_and_streamed_say_the_same_and_cost_the_same(backend: ScriptedBackend) -> None:
    answer = await backend.complete(call("fast"))
    text, pieces = await said(backend, call("fast"))
    assert (message(answer.body)["content"], answer.body["model"]) == (text, "fast")
    assert text == "The sky is blue."
    assert answer.usage == pieces[-1].usage == Usage(tokens_in=8, tokens_out=4)
    assert [piece.usage.tokens_out for piece in pieces if piece.usage] == [1, 2, 3, 4, 4]
    assert deltas(pieces)[1] == {"content": " sky"}


async def test_stops_at_the_limit(backend: ScriptedBackend) -> None:
    text, pieces = await said(backend, call(max_tokens=2))
    assert (text, finishes(pieces)) == ("The sky", ["length"])


async def test_calls_tools_and_holds_a_schema(backend: ScriptedBackend) -> None:
    answer = await backend.complete(call(messages=asking("scale to 4"), tools=[SCALE]))
    function = {"name": "scale", "arguments": '{"nodes":4}'}
    assert message(answer.body)["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    _, pieces = await said(backend, call(messages=asking("scale to 4"), tools=[SCALE]))
    assert deltas(pieces)[0]["tool_calls"] == [{"index": 0, "id": "c1", "type": "function", "function": function}]
    smallest = ScriptedBackend(ScriptedSpec(kind="scripted"), Settings(), None)
    assert message((await smallest.complete(call("first-choice", response_format=SCHEMA))).body)["content"] == '{"n": 0}'


async def test_rules_wear_out_and_fail(backend: ScriptedBackend) -> None:
    answers = [message((await backend.complete(call(messages=asking("once")))).body)["content"] for _ in range(2)]
    assert answers == ["First.", "The sky is blue."]
    with pytest.raises(Unavailable):
        await backend.complete(call(messages=asking("down")))
    with pytest.raises(InvalidInput):
        await ScriptedBackend(ScriptedSpec(kind="scripted"), Settings(), None).complete(call("unheard-of"))


async def test_embeds(backend: ScriptedBackend) -> None:
    answer = await backend.embed(call(kind="embeddings", input=["a b", "c"]))
    data = answer.body["data"]
    assert isinstance(data, list)
    assert (len(data), answer.usage) == (2, Usage(tokens_in=3))
