"""Anthropic's shape: what is asked becomes the same chat, what is answered the same message, and what cannot be is refused by name."""

import orjson
import pytest

from factory_infra.saas.models.calls import JsonObject
from tests.api.gateway.house import KEY, Gate, call, chunk, completion, events, gate, streamed

MESSAGE: JsonObject = {"model": "fast", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
TOOL: JsonObject = {
    "name": "weather",
    "description": "Tells it.",
    "input_schema": {"type": "object"},
    "cache_control": {"type": "ephemeral"},
}
PICTURE: JsonObject = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}


@pytest.fixture
def doors() -> Gate:
    return gate()


async def sent(doors: Gate, **more: object) -> JsonObject:
    """The chat request that a message became."""
    answer = await doors.post("/v1/messages", {**MESSAGE, **more})
    assert answer.status_code == 200, answer.text
    asked: JsonObject = doors.script.asked[-1][1].sent
    return asked


class TestRequest:
    async def test_plain(self, doors: Gate) -> None:
        more = {"system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}], "stop_sequences": ["END"], "top_p": 0.5}
        assert await sent(doors, temperature=0.2, **more) == {
            "model": "fast",
            "messages": [{"role": "system", "content": "Be\nbrief."}, {"role": "user", "content": "hello"}],
            "max_tokens": 64,
            "temperature": 0.2,
            "top_p": 0.5,
            "stop": ["END"],
        }

    async def test_a_turn_with_tools_and_pictures(self, doors: Gate) -> None:
        use = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ghent"}, "caller": {"type": "direct"}}
        failed = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "away"}], "is_error": True}
        turns = [
            {"role": "user", "content": [PICTURE, {"type": "text", "text": "where?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, use]},
            {"role": "user", "content": [{"type": "text", "text": "well?"}, failed]},
        ]
        chat = await sent(doors, messages=turns, tools=[TOOL])
        called = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ghent"}'}}
        assert chat["messages"] == [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
                    {"type": "text", "text": "where?"},
                ],
            },
            {"role": "assistant", "content": "Let me see.", "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "t1", "content": "The tool failed: away"},
            {"role": "user", "content": [{"type": "text", "text": "well?"}]},
        ]
        function = {"name": "weather", "parameters": {"type": "object"}, "description": "Tells it."}
        assert chat["tools"] == [{"type": "function", "function": function}]

    @pytest.mark.parametrize(
        ("choice", "chosen"),
        [
            ({"type": "auto"}, {"tool_choice": "auto"}),
            ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
            ({"type": "none"}, {"tool_choice": "none"}),
            ({"type": "tool", "name": "weather"}, {"tool_choice": {"type": "function", "function": {"name": "weather"}}}),
        ],
    )
    async def test_the_choice_of_a_tool(self, doors: Gate, choice: JsonObject, chosen: JsonObject) -> None:
        chat = await sent(doors, tools=[TOOL], tool_choice=choice)
        assert {name: chat[name] for name in chat if name in {"tool_choice", "parallel_tool_calls"}} == chosen

    async def test_a_schema_for_the_answer(self, doors: Gate) -> None:
        chat = await sent(doors, output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}})
        assert chat["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        }

    @pytest.mark.parametrize(
        ("more", "name"),
        [
            ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
            ({"thinking": {"type": "adaptive"}}, "thinking"),
            ({"top_k": 5}, "top_k"),
            ({"container": "c"}, "container"),
            ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"),
            ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0]"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"max_tokens": None}, "max_tokens"),
            ({"messages": []}, "messages"),
            ({"messages": [{"role": "system", "content": "x"}]}, "messages[0]"),
            ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "messages[0].content[0]"),
            ({"messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}]}]}, "messages[0].content[0]"),
            ({"messages": [{"role": "assistant", "content": []}]}, "messages[0].content"),
            ({"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [PICTURE]}]}]}, "content"),
            ({"tool_choice": {"type": "tool"}, "tools": [TOOL]}, "tool_choice.name"),
            ({"temperature": 1.5}, "temperature"),
        ],
    )
    async def test_what_cannot_be_is_refused_by_name(self, doors: Gate, more: JsonObject, name: str) -> None:
        answer = await doors.post("/v1/messages", {**MESSAGE, **more})
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
        assert name in answer.json()["error"]["message"], answer.text
        assert doors.script.asked == []


class TestAnswer:
    @pytest.mark.parametrize(
        ("finish", "stop"), [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")]
    )
    async def test_whole(self, doors: Gate, finish: str, stop: str) -> None:
        doors.script.answer = completion("Let me see.", finish=finish, calls=[call(0, "weather", '{"city": "Ghent"}', "t1")])
        answer = await doors.post("/v1/messages", MESSAGE)
        body = answer.json()
        assert body["id"] == f"msg_{answer.headers['x-request-id']}" and body["model"] == "fast" and body["role"] == "assistant"
        assert body["content"] == [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ghent"}},
        ]
        assert (body["stop_reason"], body["stop_sequence"]) == (stop, None)
        used = {"input_tokens": 13, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 2, "output_tokens": 7}
        assert body["usage"] == used

    async def test_the_stop_sequence_where_the_backend_tells_it(self, doors: Gate) -> None:
        doors.script.answer = completion("x")
        doors.script.answer["choices"][0]["stop_reason"] = "END"  # type: ignore[index,call-overload]
        body = (await doors.post("/v1/messages", MESSAGE)).json()
        assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "END")

    @pytest.mark.parametrize("arguments", ["{", "[1]", '"x"'])
    async def test_arguments_that_are_no_object_are_an_error(self, doors: Gate, arguments: str) -> None:
        doors.script.answer = completion(None, calls=[call(0, "weather", arguments, "t1")])
        assert (await doors.post("/v1/messages", MESSAGE)).status_code == 502


class TestStream:
    async def test_the_sequence_of_events(self, doors: Gate) -> None:
        doors.script.items = streamed(
            chunk({"role": "assistant", "content": "Let "}),
            chunk({"content": "me see."}),
            chunk({"tool_calls": [call(0, "weather", "", "t1")]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Ghent"}'}}]}),
            chunk({"tool_calls": [call(1, "weather", "{}", "t2")]}),
            chunk({}, "tool_calls"),
        )
        answer = await doors.post("/v1/messages", {**MESSAGE, "stream": True})
        seen = [(name, orjson.loads(data)) for name, data in events(answer.text)]
        assert [name for name, _ in seen] == [
            "message_start",
            "ping",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
        ]
        assert all(name == data["type"] for name, data in seen)
        assert [data["index"] for name, data in seen if name == "content_block_start"] == [0, 1, 2]
        assert seen[6][1]["content_block"] == {"type": "tool_use", "id": "t1", "name": "weather", "input": {}}
        assert seen[-2][1]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
        assert (seen[-2][1]["usage"]["input_tokens"], seen[-2][1]["usage"]["output_tokens"]) == (13, 7)

    async def test_the_usage_is_asked_of_the_backend(self, doors: Gate) -> None:
        await doors.post("/v1/messages", {**MESSAGE, "stream": True})
        assert doors.script.asked[0][1].include_usage

    async def test_mixed_up_tool_calls_are_an_error(self, doors: Gate) -> None:
        doors.script.items = streamed(chunk({"tool_calls": [{"index": 3, "function": {"arguments": "{}"}}]}))
        answer = await doors.post("/v1/messages", {**MESSAGE, "stream": True})
        assert [name for name, _ in events(answer.text)][-1] == "error" and "message_stop" not in answer.text


class TestCount:
    async def test_it_says_that_it_is_an_estimate(self, doors: Gate) -> None:
        answer = await doors.post("/v1/messages/count_tokens", {"model": "fast", "messages": MESSAGE["messages"], "tools": [TOOL]})
        assert answer.json()["input_tokens"] > 0 and answer.json()["estimated"] is True
        assert answer.headers["x-lineshaft-estimated"] == "true" and doors.script.asked == []

    async def test_of_an_unknown_model(self, doors: Gate) -> None:
        answer = await doors.post("/v1/messages/count_tokens", {**MESSAGE, "model": "nobody", "max_tokens": 1})
        assert answer.status_code == 400
        answer = await doors.post("/v1/messages/count_tokens", {"model": "nobody", "messages": MESSAGE["messages"]})
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")


async def test_models_in_its_own_shape(doors: Gate) -> None:
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
    listed = (await doors.http.get("/v1/models", headers=headers)).json()
    assert (listed["first_id"], listed["has_more"], listed["data"][0]["type"]) == ("fast", False, "model")
    assert (await doors.http.get("/v1/models/fast", headers=headers)).json()["display_name"] == "fast"
    missing = (await doors.http.get("/v1/models/nobody", headers=headers)).json()
    assert missing["error"]["type"] == "not_found_error"
