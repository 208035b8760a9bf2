"""What a client may ask: every field of OpenAI's by name, and each fault by OpenAI's code and place."""

from typing import cast

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.request_checks import ParameterRefused
from factory_infra.saas.models.requests import (
    REFUSED,
    ChatBody,
    ChatRequest,
    EmbeddingsRequest,
    SpeechRequest,
    TranscriptionRequest,
)

SMALL: JsonObject = {"model": "m", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]}
PNG = "data:image/png;base64,iVBORw0KGgo="
CALL: JsonObject = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"a": 1}'}}
WHOLE: JsonObject = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {
            "role": "user",
            "name": "kim",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [CALL],
            "refusal": None,
            "annotations": [],
            "audio": None,
            "function_call": None,
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "assistant", "content": "It is 42.", "refusal": None, "annotations": [], "audio": None, "function_call": None},
        {"role": "user", "content": "Sure?"},
    ],
    "stream": True,
    "stream_options": {"include_usage": True},
    "n": 2,
    "max_completion_tokens": 9,
    "temperature": 1,
    "top_p": 0.5,
    "stop": ["a", "b"],
    "seed": -5,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 3,
    "tools": [{"type": "function", "function": {"name": "look_up", "description": "d", "parameters": {"type": "object"}, "strict": True}}],
    "tool_choice": {"type": "function", "function": {"name": "look_up"}},
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "r", "schema": {"type": "object"}, "strict": True}},
    "reasoning_effort": "low",
    "verbosity": "low",
    "modalities": ["text"],
    "store": False,
    "user": "u",
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "safety_identifier": "s",
    "prompt_cache_key": "p",
    "prompt_cache_retention": "24h",
}


def refused(**fields: object) -> tuple[str, str]:
    with pytest.raises(ParameterRefused) as caught:
        ChatRequest.parse(SMALL | cast(JsonObject, fields))
    assert len(str(caught.value)) < 600
    return caught.value.error_code, caught.value.param


def said(content: object, **fields: object) -> list[object]:
    return [{"role": "user", "content": content, **fields}]


def image(url: str) -> list[object]:
    return said([{"type": "image_url", "image_url": {"url": url}}])


def function(parameters: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": "a", "parameters": parameters}}


def form(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


class TestChat:
    def test_every_field_of_openai_is_known_by_name(self) -> None:
        theirs = set(CompletionCreateParamsBase.__annotations__) | {"stream"}
        assert theirs == set(ChatBody.__annotations__) | set(REFUSED)

    def test_the_whole_of_it_is_taken_as_it_was_sent(self) -> None:
        request = ChatRequest.parse(WHOLE)
        assert request.sent is WHOLE
        assert (request.stream, request.include_usage, request.n, request.tokens_out_asked) == (True, True, 2, 9)

    def test_nulls_are_as_if_left_out(self) -> None:
        nulls: JsonObject = {name: None for name in ChatBody.__annotations__ if name not in SMALL}
        request = ChatRequest.parse(SMALL | nulls)
        assert request.body(frozenset()) == {"messages": SMALL["messages"]}
        assert (request.stream, request.n, request.tokens_out_asked) == (False, 1, None)

    def test_a_backend_gets_what_is_not_ours_and_hints_it_knows(self) -> None:
        body = ChatRequest.parse(WHOLE).body(frozenset({"user"}))
        assert not {"model", "stream", "stream_options", "store", "modalities", "metadata", "prompt_cache_key"} & set(body)
        assert body["user"] == "u"
        assert body["messages"] is WHOLE["messages"]

    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"colour": 1}, "unknown_parameter", "colour"),
            ({"api_base": "http://x"}, "unknown_parameter", "api_base"),
            ({"chat_template": "{{ 1 }}"}, "unknown_parameter", "chat_template"),
            ({"functions": []}, "unsupported_parameter", "functions"),
            ({"n": 1000}, "integer_above_max_value", "n"),
            ({"n": 0}, "integer_below_min_value", "n"),
            ({"n": True}, "invalid_type", "n"),
            ({"max_tokens": -1}, "integer_below_min_value", "max_tokens"),
            ({"max_tokens": "9"}, "invalid_type", "max_tokens"),
            ({"max_tokens": 1, "max_completion_tokens": 1}, "invalid_value", "max_tokens"),
            ({"temperature": 2.5}, "decimal_above_max_value", "temperature"),
            ({"logit_bias": {"a": 1}}, "invalid_value", "logit_bias.a"),
            ({"stop": ["a"] * 5}, "array_above_max_length", "stop"),
            ({"store": True}, "unsupported_value", "store"),
            ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
            ({"top_logprobs": 2}, "invalid_value", "top_logprobs"),
            ({"tool_choice": "required"}, "invalid_value", "tool_choice"),
            ({"tool_choice": "must"}, "invalid_value", "tool_choice"),
            ({"messages": []}, "array_below_min_length", "messages"),
            ({"messages": "x"}, "invalid_type", "messages"),
            ({"messages": [{"role": "user", "content": "x"}] * 2049}, "array_above_max_length", "messages"),
            ({"messages": said("x", weight=1)}, "unknown_parameter", "messages[0].weight"),
            ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
            ({"messages": [{"role": "boss", "content": "x"}]}, "invalid_value", "messages[0].role"),
            ({"messages": said([{"type": "text", "text": "x", "zip": 1}])}, "unknown_parameter", "messages[0].content[0].zip"),
            ({"messages": said([{"type": "file", "file": {"file_id": "f"}}])}, "invalid_value", "messages[0].content[0].type"),
            ({"messages": image("http://10.0.0.1/x.png")}, "invalid_image_url", "messages[0].content[0].image_url.url"),
            ({"messages": image("file:///etc/passwd")}, "invalid_image_url", "messages[0].content[0].image_url.url"),
            ({"messages": image("data:text/html;base64,AAAA")}, "invalid_image_url", "messages[0].content[0].image_url.url"),
            ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "invalid_value", "tools[0].function.name"),
            ({"tools": [function({"$ref": "http://x/s.json"})]}, "invalid_value", "tools[0].function.parameters"),
            ({"response_format": {"type": "yaml"}}, "invalid_value", "response_format.type"),
            ({"response_format": form({"type": 7})}, "invalid_value", "response_format.json_schema.schema"),
            ({"response_format": form({"properties": {"a": {"minimum": "low"}}})}, "invalid_value", "response_format.json_schema.schema"),
            ({"tools": [function({"required": "a"})]}, "invalid_value", "tools[0].function.parameters"),
            ({"response_format": form({"a": [{"$ref": "file:///x"}]})}, "invalid_value", "response_format.json_schema.schema"),
            ({"response_format": form({"a": list(range(30_000))})}, "invalid_value", "response_format.json_schema.schema"),
            ({"model": ""}, "string_below_min_length", "model"),
        ],
    )
    def test_a_fault_is_told_by_code_and_place(self, fields: dict[str, object], code: str, param: str) -> None:
        assert refused(**fields) == (code, param)

    def test_what_is_missing_is_named(self) -> None:
        with pytest.raises(ParameterRefused) as caught:
            ChatRequest.parse({"model": "m"})
        assert (caught.value.error_code, caught.value.param) == ("missing_required_parameter", "messages")

    def test_a_long_name_is_cut(self) -> None:
        assert len(refused(**{"x" * 100_000: 1})[1]) == 200

    def test_a_reference_inside_a_schema_is_taken(self) -> None:
        schema = {"$defs": {"a": {"type": "string"}}, "properties": {"$ref": {"$ref": "#/$defs/a"}}}
        ChatRequest.parse(SMALL | cast(JsonObject, {"response_format": form(schema)}))

    def test_a_huge_wrong_request_is_refused(self) -> None:
        wrong = SMALL | {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}] * 500}] * 2000}
        with pytest.raises(ParameterRefused):
            ChatRequest.parse(wrong)


class TestOthers:
    @pytest.mark.parametrize("given", ["a", ["a", "b"], [1, 2], [[1], [2, 3]]])
    def test_embeddings_of_texts_and_tokens(self, given: object) -> None:
        assert EmbeddingsRequest.parse(cast(JsonObject, {"model": "m", "input": given})).model == "m"

    @pytest.mark.parametrize(
        ("fields", "code", "param"),
        [
            ({"input": []}, "invalid_type", "input"),
            ({"input": 5}, "invalid_type", "input"),
            ({"input": ["a", ""]}, "string_below_min_length", "input[1]"),
            ({"input": [1, "a"]}, "invalid_type", "input[1]"),
            ({"input": "a", "encoding_format": "hex"}, "invalid_value", "encoding_format"),
            ({"input": "a", "url": "x"}, "unknown_parameter", "url"),
        ],
    )
    def test_embeddings_faults(self, fields: dict[str, object], code: str, param: str) -> None:
        with pytest.raises(ParameterRefused) as caught:
            EmbeddingsRequest.parse(cast(JsonObject, {"model": "m", **fields}))
        assert (caught.value.error_code, caught.value.param) == (code, param)

    def test_speech(self) -> None:
        assert SpeechRequest.parse({"model": "m", "input": "héllo", "voice": "v"}).characters == 5
        with pytest.raises(ParameterRefused):
            SpeechRequest.parse({"model": "m", "input": "x" * 4097, "voice": "v"})

    def test_transcription(self) -> None:
        form: JsonObject = {"model": "m", "language": "en", "temperature": 0.5}
        assert TranscriptionRequest.parse(form, b"x", "audio/wav").audio == b"x"
        with pytest.raises(ParameterRefused):
            TranscriptionRequest.parse(form, b"", "audio/wav")
