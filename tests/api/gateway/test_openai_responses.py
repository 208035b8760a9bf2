"""Responses: what is asked becomes the same chat, what is answered the same items, and what cannot be is refused by name."""

import orjson
import pytest

from factory_infra.saas.models.calls import JsonObject
from tests.api.gateway.house import Gate, call, chunk, completion, events, gate, streamed

ASKED: JsonObject = {"model": "fast", "input": "hello"}
TOOL: JsonObject = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture
def doors() -> Gate:
    return gate()


async def sent(doors: Gate, **more: object) -> JsonObject:
    """The chat request that a request for a response became."""
    answer = await doors.post("/v1/responses", {**ASKED, **more})
    assert answer.status_code == 200, answer.text
    asked: JsonObject = doors.script.asked[-1][1].sent
    return asked


class TestRequest:
    async def test_plain(self, doors: Gate) -> None:
        chat = await sent(doors, instructions="Be brief.", temperature=0.2, max_output_tokens=9, store=False, reasoning={"effort": "low"})
        assert chat == {
            "model": "fast",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
            "temperature": 0.2,
            "max_completion_tokens": 9,
            "reasoning_effort": "low",
        }

    async def test_items(self, doors: Gate) -> None:
        items = [
            {"role": "developer", "content": "Rules."},
            {"role": "user", "content": [{"type": "input_text", "text": "see "}, {"type": "input_image", "image_url": "https://x/y.png"}]},
            {
                "type": "message",
                "role": "assistant",
                "id": "msg_1",
                "status": "completed",
                "content": [{"type": "output_text", "text": "ok"}],
            },
            {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}", "id": "fc_1", "status": "completed"},
            {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "sun"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "rain"}]},
        ]
        chat = await sent(doors, input=items, tools=[TOOL], tool_choice={"type": "function", "name": "weather"}, parallel_tool_calls=True)
        calls = [{"id": f"c{n}", "type": "function", "function": {"name": "weather", "arguments": "{}"}} for n in (1, 2)]
        assert chat["messages"] == [
            {"role": "developer", "content": "Rules."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "see "}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
            },
            {"role": "assistant", "content": "ok", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": "rain"},
        ]
        function = {"name": "weather", "parameters": {"type": "object"}, "strict": True}
        assert chat["tools"] == [{"type": "function", "function": function}]
        assert chat["tool_choice"] == {"type": "function", "function": {"name": "weather"}} and chat["parallel_tool_calls"] is True

    @pytest.mark.parametrize(
        ("form", "became"),
        [
            ({"type": "text"}, None),
            ({"type": "json_object"}, {"type": "json_object"}),
            (
                {"type": "json_schema", "name": "a", "schema": {"type": "object"}, "strict": True},
                {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True}},
            ),
        ],
    )
    async def test_forms(self, doors: Gate, form: JsonObject, became: JsonObject | None) -> None:
        assert (await sent(doors, text={"format": form})).get("response_format") == became

    @pytest.mark.parametrize(
        ("more", "param", "code"),
        [
            ({"previous_response_id": "resp_1"}, "previous_response_id", "unsupported_parameter"),
            ({"store": True}, "store", "unsupported_parameter"),
            ({"background": True}, "background", "unsupported_parameter"),
            ({"nonsense": 1}, "nonsense", "unknown_parameter"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
            ({"input": []}, "input", "array_below_min_length"),
            ({"input": [{"type": "reasoning", "summary": []}]}, "input[0]", "invalid_value"),
            ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]", "invalid_value"),
            (
                {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]}]},
                "input[0].content[0]",
                "invalid_value",
            ),
            ({"truncation": "auto"}, "truncation", "invalid_value"),
            ({"max_output_tokens": -1}, "max_output_tokens", "invalid_value"),
            ({"model": None}, "model", "invalid_type"),
        ],
    )
    async def test_what_cannot_be_is_refused_by_name(self, doors: Gate, more: JsonObject, param: str, code: str) -> None:
        answer = await doors.post("/v1/responses", {**ASKED, **more})
        assert answer.status_code == 400
        assert (answer.json()["error"]["param"], answer.json()["error"]["code"]) == (param, code)
        assert doors.script.asked == []


class TestAnswer:
    async def test_whole(self, doors: Gate) -> None:
        doors.script.answer = completion("Let me see.", finish="tool_calls", calls=[call(0, "weather", "{}", "c1")])
        body = (await doors.post("/v1/responses", {**ASKED, "tools": [TOOL], "metadata": {"a": "b"}})).json()
        assert [each["type"] for each in body["output"]] == ["message", "function_call"]
        assert body["output"][0]["content"] == [{"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}]
        assert (body["output"][1]["call_id"], body["output"][1]["arguments"]) == ("c1", "{}")
        assert (body["status"], body["store"], body["metadata"], body["error"]) == ("completed", False, {"a": "b"}, None)
        assert body["usage"]["input_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 2}
        assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 3} and body["usage"]["total_tokens"] == 27

    async def test_a_refusal(self, doors: Gate) -> None:
        doors.script.answer = completion(None)
        doors.script.answer["choices"][0]["message"]["refusal"] = "No."  # type: ignore[index,call-overload]
        body = (await doors.post("/v1/responses", ASKED)).json()
        assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


class TestStream:
    async def test_text_then_two_calls(self, doors: Gate) -> None:
        doors.script.items = streamed(
            chunk({"role": "assistant", "content": "Let "}),
            chunk({"content": "me see."}),
            chunk({"tool_calls": [call(0, "weather", "", "c1")]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
            chunk({"tool_calls": [call(1, "weather", "{}", "c2")]}),
            chunk({}, "tool_calls"),
        )
        answer = await doors.post("/v1/responses", {**ASKED, "tools": [TOOL], "stream": True})
        seen = [(name, orjson.loads(data)) for name, data in events(answer.text)]
        assert [name.removeprefix("response.") for name, _ in seen] == [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
        assert [data["sequence_number"] for _, data in seen] == list(range(len(seen)))
        final = seen[-1][1]["response"]
        done = [data["item"] for name, data in seen if name == "response.output_item.done"]
        assert final["output"] == done and final["usage"]["output_tokens"] == 7
        assert len({each["id"] for each in done}) == 3

    async def test_an_empty_answer_is_complete(self, doors: Gate) -> None:
        doors.script.items = streamed(chunk({"role": "assistant"}), chunk({}, "stop"))
        answer = await doors.post("/v1/responses", {**ASKED, "stream": True})
        assert [name for name, _ in events(answer.text)] == ["response.created", "response.in_progress", "response.completed"]

    async def test_a_refusal_after_text_is_a_part_of_its_own(self, doors: Gate) -> None:
        doors.script.items = streamed(chunk({"content": "Well, "}), chunk({"refusal": "no."}), chunk({}, "stop"))
        answer = await doors.post("/v1/responses", {**ASKED, "stream": True})
        final = orjson.loads(events(answer.text)[-1][1])["response"]["output"]
        assert [each["type"] for each in final[0]["content"]] == ["output_text", "refusal"] and len(final) == 1
