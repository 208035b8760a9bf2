"""What a model cannot do is refused by name; what it can passes."""

import pytest
from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backends import bedrock, embedded, openai
from factory_infra.saas.models.backends.abilities import abilities_of, refuse_missing
from factory_infra.saas.models.backends.spec import AbilityOverrides
from tests.factory_infra.saas.models.backends.calls import MESSAGES, SCALE, SCHEMA, call, chat

PICTURE: JsonValue = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]
FOREIGN: JsonValue = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.com/x.png"}}]}]
SOUND: JsonValue = [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}]}]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"tools": [SCALE]}, "tools"),
        ({"tools": [SCALE], "parallel_tool_calls": True}, "tools, parallel_tools"),
        ({"response_format": SCHEMA}, "json_schema"),
        ({"response_format": {"type": "json_object"}}, "json_object"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"n": 2}, "n"),
        ({"messages": PICTURE}, "images"),
        ({"messages": SOUND}, "input_audio"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"seed": 3, "n": 4}, "n, seed"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ],
)
def test_each_lack_is_refused_by_its_name(body: dict[str, JsonValue], named: str) -> None:
    with pytest.raises(InvalidInput, match=f": {named}\\.") as caught:
        refuse_missing(chat(body), abilities_of("chat"))
    assert caught.value.error_code == "ability_missing"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"temperature": 0.3, "top_p": 0.9, "max_tokens": 5, "max_completion_tokens": 5, "stop": ["x"], "user": "u"},
        {"tools": [], "tool_choice": "none", "n": 1, "logprobs": False, "response_format": {"type": "text"}},
        {"seed": None, "store": False, "frequency_penalty": 0, "presence_penalty": 0.0},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ],
)
def test_what_every_model_can_passes(body: dict[str, JsonValue]) -> None:
    refuse_missing(chat(body), abilities_of("chat"))


def test_an_image_elsewhere_needs_a_backend_that_fetches_it() -> None:
    can = abilities_of("chat", "images")
    refuse_missing(call(messages=PICTURE), can)
    with pytest.raises(InvalidInput, match="another host"):
        refuse_missing(call(messages=FOREIGN), can)
    refuse_missing(call(messages=FOREIGN), AbilityOverrides(image_hosts=True).over(can))


def test_a_stream_and_another_kind_of_call_are_abilities_too() -> None:
    with pytest.raises(InvalidInput, match="stream"):
        refuse_missing(call(), abilities_of("chat"), stream=True)
    with pytest.raises(InvalidInput, match="embeddings"):
        refuse_missing(call(kind="embeddings", input="x", dimensions=8), abilities_of("chat"))
    with pytest.raises(InvalidInput, match="dimensions"):
        refuse_missing(call(kind="embeddings", input="x", dimensions=8), embedded.EMBEDDINGS)


def test_one_tool_at_a_time_is_honoured_or_refused() -> None:
    asked = call(tools=[SCALE], parallel_tool_calls=False)
    refuse_missing(asked, openai.ABILITIES)
    refuse_missing(asked, embedded.CHAT)
    with pytest.raises(InvalidInput, match="parallel_tool_calls"):
        refuse_missing(asked, bedrock.CHAT)


def test_the_file_adds_takes_away_and_bounds() -> None:
    over = AbilityOverrides(add=["n"], remove=["images"], context_tokens=100, tokens_out_max=7, fields=["seed"])
    found = over.over(abilities_of("chat", "images"))
    assert (set(found.can), found.context_tokens, found.tokens_out_max, set(found.fields)) == ({"chat", "n"}, 100, 7, {"seed"})
    refuse_missing(call(messages=MESSAGES, seed=3, n=2), found)
