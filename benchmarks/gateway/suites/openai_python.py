"""The official `openai` client for Python. Every answer is held against the published types, which the client does not do by itself."""

import base64
import io
import os
from collections.abc import Iterator
from typing import cast

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types import CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter

URL, KEY, MODEL = os.environ["GATEWAY_URL"], os.environ["GATEWAY_KEY"], os.environ.get("GATEWAY_MODEL", "fast")
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
).decode()
TOOL: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a part up.",
        "parameters": {"type": "object", "properties": {"part": {"type": "string"}}, "required": ["part"]},
    },
}
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What is on the line?"}]


class Part(BaseModel):
    """What a structured answer holds."""

    name: str
    teeth: int


@pytest.fixture
def client() -> Iterator[OpenAI]:
    """A client that does not try again."""
    with OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=30) as made:
        yield made


def post(path: str, body: object) -> httpx.Response:
    """A plain request: what is on the wire."""
    return httpx.post(f"{URL}/v1{path}", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=30)


class TestChat:
    def test_whole(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(model=MODEL, messages=ASKED)
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert answer.usage.completion_tokens > 0

    def test_the_published_type_of_a_completion(self) -> None:
        TypeAdapter(ChatCompletion).validate_python(post("/chat/completions", {"model": MODEL, "messages": ASKED}).json(), strict=True)

    def test_streamed_as_the_whole(self, client: OpenAI) -> None:
        chunks = list(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == client.chat.completions.create(model=MODEL, messages=ASKED).choices[0].message.content
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert all(chunk.usage is None for chunk in chunks)

    def test_the_published_type_of_a_chunk(self) -> None:
        text = post("/chat/completions", {"model": MODEL, "messages": ASKED, "stream": True}).text
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        for line in lines[:-1]:
            TypeAdapter(ChatCompletionChunk).validate_json(line, strict=True)

    def test_usage_at_the_end_of_a_stream(self, client: OpenAI) -> None:
        asked = client.chat.completions.create(model=MODEL, messages=ASKED, stream=True, stream_options={"include_usage": True})
        last = list(asked)[-1]
        assert last.choices == []
        assert last.usage is not None
        assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens

    def test_the_stream_helper(self, client: OpenAI) -> None:
        with client.chat.completions.stream(model=MODEL, messages=ASKED) as stream:
            kinds = {event.type for event in stream}
            assert stream.get_final_completion().choices[0].message.content
        assert {"chunk", "content.delta", "content.done"} <= kinds

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_tool_and_its_result(self, client: OpenAI, stream: bool) -> None:
        messages = list(ASKED)
        with client.chat.completions.stream(model=MODEL, messages=messages, tools=[TOOL], tool_choice="required") as streaming:
            streamed = streaming.get_final_completion()
        whole = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], tool_choice="required")
        calls = (streamed if stream else whole).choices[0].message.tool_calls
        assert calls
        assert calls[0].type == "function"
        assert calls[0].function.name == "lookup"
        messages.append(
            cast(ChatCompletionMessageParam, {"role": "assistant", "tool_calls": [call.model_dump(exclude_none=True) for call in calls]})
        )
        messages += [{"role": "tool", "tool_call_id": call.id, "content": "a wheel"} for call in calls]
        told = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
        assert "a wheel" in (told.choices[0].message.content or "")

    def test_two_tools_at_one_time(self, client: OpenAI) -> None:
        asked: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Use both tools."}]
        calls = (
            client.chat.completions.create(model=MODEL, messages=asked, tools=[TOOL], tool_choice="required").choices[0].message.tool_calls
        )
        assert calls is not None
        assert len(calls) == 2

    def test_a_schema(self, client: OpenAI) -> None:
        parsed = client.chat.completions.parse(
            model=MODEL, messages=[{"role": "user", "content": "A 'gear' of 12 teeth"}], response_format=Part
        )
        assert parsed.choices[0].message.parsed == Part(name="gear", teeth=12)

    def test_log_probabilities(self, client: OpenAI) -> None:
        answer = client.chat.completions.create(model=MODEL, messages=ASKED, logprobs=True)
        assert answer.choices[0].logprobs is not None
        assert answer.choices[0].logprobs.content

    def test_several_choices(self, client: OpenAI) -> None:
        assert len(client.chat.completions.create(model=MODEL, messages=ASKED, n=3).choices) == 3

    def test_a_picture(self, client: OpenAI) -> None:
        image: list[ChatCompletionMessageParam] = [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
                ],
            }
        ]
        assert client.chat.completions.create(model=MODEL, messages=image).choices[0].message.content


class TestResponses:
    def test_whole(self, client: OpenAI) -> None:
        answer = client.responses.create(model=MODEL, input="What is on the line?")
        assert answer.output_text
        assert answer.usage is not None
        assert answer.usage.output_tokens > 0

    def test_the_published_type(self) -> None:
        TypeAdapter(Response).validate_python(post("/responses", {"model": MODEL, "input": "What?"}).json(), strict=True)

    def test_streamed(self, client: OpenAI) -> None:
        events = list(client.responses.create(model=MODEL, input="What is on the line?", stream=True))
        assert events[0].type == "response.created"
        assert events[-1].type == "response.completed"
        assert events[-1].response.output_text == "".join(event.delta for event in events if event.type == "response.output_text.delta")

    def test_a_tool(self, client: OpenAI) -> None:
        function = TOOL["function"]
        answer = client.responses.create(
            model=MODEL,
            input="Look the 'belt' up.",
            tool_choice="required",
            tools=[
                {"type": "function", "name": function["name"], "parameters": dict(function.get("parameters") or {}), "strict": False},
            ],
        )
        calls = [item for item in answer.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["lookup"]

    def test_a_schema(self, client: OpenAI) -> None:
        assert client.responses.parse(model=MODEL, input="A 'gear' of 12 teeth", text_format=Part).output_parsed == Part(
            name="gear", teeth=12
        )


class TestOthers:
    def test_embeddings(self, client: OpenAI) -> None:
        answer = client.embeddings.create(model="embed", input=["one", "two"])
        assert [row.index for row in answer.data] == [0, 1]
        assert all(isinstance(number, float) for number in answer.data[0].embedding)
        TypeAdapter(CreateEmbeddingResponse).validate_python(post("/embeddings", {"model": "embed", "input": "x"}).json(), strict=True)

    def test_models(self, client: OpenAI) -> None:
        listed = list(client.models.list())
        assert MODEL in [model.id for model in listed]
        TypeAdapter(Model).validate_python(client.models.retrieve(MODEL).to_dict())

    def test_a_transcription(self, client: OpenAI) -> None:
        sound = client.audio.speech.create(model="voice", voice="alloy", input="the line", response_format="wav").content
        assert sound.startswith(b"RIFF")
        assert client.audio.transcriptions.create(model="ear", file=("a.wav", io.BytesIO(sound))).text


class TestRefusals:
    def test_an_unknown_model(self, client: OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model="nobody", messages=ASKED)
        assert caught.value.code == "model_not_found"

    def test_a_wrong_key(self) -> None:
        with pytest.raises(openai.AuthenticationError) as caught:
            OpenAI(base_url=f"{URL}/v1", api_key="sk-wrong", max_retries=0).models.list()
        assert caught.value.code == "invalid_api_key"

    def test_too_many_choices(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=ASKED, n=1000)
        assert caught.value.param == "n"

    def test_an_unknown_parameter(self, client: OpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=ASKED, extra_body={"api_base": "http://127.0.0.1:9"})
        assert caught.value.code == "unknown_parameter"

    def test_the_headers_of_limits(self, client: OpenAI) -> None:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=ASKED)
        assert int(raw.headers["x-ratelimit-remaining-requests"]) < int(raw.headers["x-ratelimit-limit-requests"])
        assert raw.headers["x-request-id"]
