"""The official `anthropic` client for Python, in an environment that has it."""

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

anthropic: Any = import_module("anthropic")
"""It is in the clients' own environment only."""
Client = Any
URL, KEY, MODEL = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ.get("GATEWAY_MODEL", "fast")
TOOL = {
    "name": "lookup",
    "description": "Look a part up.",
    "input_schema": {"type": "object", "properties": {"part": {"type": "string"}}, "required": ["part"]},
}
ASKED = [{"role": "user", "content": "What is on the line?"}]


@pytest.fixture
def client() -> Iterator[Client]:
    """A client that does not try again."""
    with anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=30) as made:
        yield made


class TestMessages:
    def test_whole(self, client: Client) -> None:
        answer = client.messages.create(model=MODEL, max_tokens=64, messages=ASKED)
        assert answer.content[0].text
        assert answer.stop_reason == "end_turn"
        assert answer.usage.input_tokens > 0
        assert answer.usage.output_tokens > 0

    def test_the_published_type(self, client: Client) -> None:
        raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=64, messages=ASKED)
        anthropic.types.Message.model_validate_json(raw.text() if callable(raw.text) else raw.text, strict=True)

    def test_a_system_prompt_and_turns(self, client: Client) -> None:
        turns = [*ASKED, {"role": "assistant", "content": "A belt."}, {"role": "user", "content": [{"type": "text", "text": "And?"}]}]
        assert client.messages.create(model=MODEL, max_tokens=64, system="Be brief.", messages=turns).content[0].text

    def test_streamed_as_the_whole(self, client: Client) -> None:
        with client.messages.stream(model=MODEL, max_tokens=64, messages=ASKED) as stream:
            text = "".join(stream.text_stream)
            last = stream.get_final_message()
        assert text == client.messages.create(model=MODEL, max_tokens=64, messages=ASKED).content[0].text
        assert last.stop_reason == "end_turn"
        assert last.usage.output_tokens > 0

    def test_the_events_of_a_stream(self, client: Client) -> None:
        kinds = [event.type for event in client.messages.create(model=MODEL, max_tokens=64, messages=ASKED, stream=True)]
        assert kinds[0] == "message_start"
        assert kinds[-2:] == ["message_delta", "message_stop"]
        assert {"content_block_start", "content_block_delta", "content_block_stop"} <= set(kinds)

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_tool_and_its_result(self, client: Client, stream: bool) -> None:
        asked = {"model": MODEL, "max_tokens": 64, "tools": [TOOL], "tool_choice": {"type": "any"}, "messages": ASKED}
        if stream:
            with client.messages.stream(**asked) as streaming:
                answer = streaming.get_final_message()
        else:
            answer = client.messages.create(**asked)
        assert answer.stop_reason == "tool_use"
        used = next(block for block in answer.content if block.type == "tool_use")
        assert used.name == "lookup"
        assert "part" in used.input
        turns = [
            *ASKED,
            {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": used.id, "content": "a wheel"}]},
        ]
        told = client.messages.create(model=MODEL, max_tokens=64, tools=[TOOL], messages=turns)
        assert "a wheel" in told.content[0].text


class TestRefusals:
    def test_an_unknown_model(self, client: Client) -> None:
        with pytest.raises(anthropic.NotFoundError):
            client.messages.create(model="nobody", max_tokens=64, messages=ASKED)

    def test_a_wrong_key(self) -> None:
        with pytest.raises(anthropic.AuthenticationError):
            anthropic.Anthropic(base_url=URL, api_key="sk-wrong", max_retries=0).messages.create(model=MODEL, max_tokens=64, messages=ASKED)

    def test_no_messages(self, client: Client) -> None:
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(model=MODEL, max_tokens=64, messages=[])

    def test_the_headers_of_limits(self, client: Client) -> None:
        raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=64, messages=ASKED)
        assert int(raw.headers["anthropic-ratelimit-requests-limit"]) > 0
