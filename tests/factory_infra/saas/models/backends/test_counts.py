"""Usage as it is told, and our own count."""

import pytest
from pydantic import JsonValue

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.counts import tokens_of_answer, tokens_of_chunk, tokens_of_delta, tokens_of_prompt, usage_told


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), (" word", 1), (" internationalisation", 1), ("天地玄黄", 1), ("x" * 25, 7), ("天" * 20, 15)]
)
def test_a_delta_is_a_token_or_counted_by_its_length(text: str, tokens: int) -> None:
    assert tokens_of_delta(text) == tokens


def test_all_that_a_model_says_counts() -> None:
    delta: JsonValue = {
        "content": "a",
        "reasoning_content": "b",
        "refusal": "c",
        "tool_calls": [{"index": 0, "function": {"name": "d", "arguments": "{"}}],
    }
    assert tokens_of_chunk({"choices": [{"delta": delta}, {"delta": {"content": "e"}}]}) == 6
    assert tokens_of_answer({"choices": [{"message": {"content": "x" * 40, "tool_calls": None}}]}) == 10
    assert tokens_of_prompt({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 40}]}], "tools": None}) == 14


def test_usage_with_its_details() -> None:
    told: JsonValue = {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert usage_told(told) == Usage(tokens_in=11, tokens_out=5, tokens_cached=8, tokens_reasoning=3)


@pytest.mark.parametrize(
    "told", [None, {}, [], {"prompt_tokens": "11"}, {"prompt_tokens": -1}, {"prompt_tokens": True}, {"prompt_tokens": 1.5}]
)
def test_usage_that_makes_no_sense_is_none(told: JsonValue) -> None:
    assert usage_told(told) is None


def test_more_cached_than_there_was_is_not_believed() -> None:
    usage = usage_told({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 900}})
    assert usage is not None
    assert usage.tokens_cached == 3
