"""Bedrock in both directions: our backend, and LangChain's clients, on an emulator that speaks Converse."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pydantic import BaseModel, JsonValue

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.aws import EventReader
from factory_infra.saas.models.backends.bedrock import BedrockBackend
from factory_infra.saas.models.backends.spec import BedrockSpec, Guardrail
from factory_infra.saas.models.calls import JsonObject
from factory_infra.settings import Settings
from tests.emulators.bedrock import Bedrock, Fault
from tests.emulators.serving import serving
from tests.factory_infra.saas.models.backends.calls import SCALE, SCHEMA, asking, call, chat, deltas, finishes, message, read, said, words

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("credentials")]

NOVA = "eu.amazon.nova-lite-v1:0"
WORD: JsonObject = {"type": "object", "properties": {"word": {"type": "string"}}}
ECHO: JsonObject = {"type": "function", "function": {"name": "echo", "parameters": WORD}}


@pytest.fixture(scope="module")
def emulator(credentials: None) -> Iterator[tuple[Bedrock, str]]:
    """One server for all tests: a client of boto3 takes long to make."""
    state = Bedrock()
    with serving(state.app) as address:
        yield state, address


@pytest.fixture
def bedrock(emulator: tuple[Bedrock, str]) -> Bedrock:
    """The server's state, as new."""
    vars(emulator[0]).update(vars(Bedrock()))
    return emulator[0]


@pytest.fixture
def url(emulator: tuple[Bedrock, str], bedrock: Bedrock) -> str:
    return emulator[1]


@pytest_asyncio.fixture(scope="module")
async def opened(emulator: tuple[Bedrock, str]) -> AsyncIterator[BedrockBackend]:
    backend = BedrockBackend(BedrockSpec(kind="bedrock", name="eu", region="eu-central-1", endpoint_url=emulator[1]), Settings(), None)
    yield backend
    await backend.close()


@pytest.fixture
def backend(opened: BedrockBackend, bedrock: Bedrock) -> BedrockBackend:
    return opened


class TestRequest:
    async def test_a_conversation_with_tools_and_an_image(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        used: JsonObject = {"id": "t1", "type": "function", "function": {"name": "scale", "arguments": '{"nodes": 4}'}}
        picture: JsonObject = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
        messages: JsonValue = [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"}, picture]},
            {"role": "assistant", "content": "", "tool_calls": [used]},
            {"role": "tool", "tool_call_id": "t1", "content": "done"},
            {"role": "user", "content": "And?"},
        ]
        await backend.complete(call(NOVA, messages=messages, tools=[SCALE], max_completion_tokens=9, temperature=0.5, top_p=0.9, stop="x"))
        operation, model, sent = bedrock.asked[0]
        assert (operation, model, sent["system"]) == ("converse", NOVA, [{"text": "Be brief."}])
        assert sent["inferenceConfig"] == {"maxTokens": 9, "temperature": 0.5, "topP": 0.9, "stopSequences": ["x"]}
        assert sent["messages"] == [
            {"role": "user", "content": [{"text": "Look"}, {"image": {"format": "png", "source": {"bytes": "aGk="}}}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "scale", "input": {"nodes": 4}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "done"}]}}, {"text": "And?"}]},
        ]
        assert sent["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]["required"] == ["nodes"]

    @pytest.mark.parametrize(
        ("choice", "sent"),
        [
            ("auto", {"auto": {}}),
            ("required", {"any": {}}),
            ({"type": "function", "function": {"name": "scale"}}, {"tool": {"name": "scale"}}),
            (None, None),
        ],
    )
    async def test_the_choice_of_tools(self, backend: BedrockBackend, bedrock: Bedrock, choice: JsonValue, sent: object) -> None:
        await backend.complete(call(NOVA, tools=[SCALE], tool_choice=choice))
        assert bedrock.asked[0][2]["toolConfig"].get("toolChoice") == sent

    @pytest.mark.parametrize(
        "body",
        [
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://example.com/x.png"}}]}]},
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,%"}}]}]},
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "x", "arguments": "[1]"}}]}]},
            {"tools": [SCALE], "tool_choice": "none", "messages": [{"role": "assistant", "content": "x", "tool_calls": [{"id": "t"}]}]},
        ],
    )
    async def test_what_converse_cannot_say_is_refused_unsent(
        self, backend: BedrockBackend, bedrock: Bedrock, body: dict[str, JsonValue]
    ) -> None:
        with pytest.raises(InvalidInput):
            await backend.complete(chat(body, NOVA))
        assert bedrock.asked == []

    async def test_a_guardrail_stands_in_every_call_and_ends_one(self, url: str, bedrock: Bedrock) -> None:
        spec = BedrockSpec(kind="bedrock", endpoint_url=url, guardrail=Guardrail(id="g", version="1"))
        backend = BedrockBackend(spec, Settings(), None)
        answer = await backend.complete(call(NOVA, messages=asking("something forbidden")))
        assert answer.body["choices"][0]["finish_reason"] == "content_filter"  # type: ignore[index, call-overload]
        _, pieces = await said(backend, call(NOVA, messages=asking("something forbidden")))
        assert finishes(pieces) == ["content_filter"]
        assert bedrock.asked[0][2]["guardrailConfig"] == {"guardrailIdentifier": "g", "guardrailVersion": "1"}
        assert bedrock.asked[1][2]["guardrailConfig"]["streamProcessingMode"] == "sync"
        await backend.close()


class TestAnswer:
    async def test_whole_and_streamed_say_the_same_and_cost_the_same(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        bedrock.cache_read, bedrock.cache_written = 5, 3
        answer = await backend.complete(call(NOVA))
        text, pieces = await said(backend, call(NOVA))
        assert message(answer.body)["content"] == text == bedrock.words
        usage = answer.usage
        assert (usage.tokens_out, usage.tokens_cached, usage.tokens_cache_written, usage.estimated) == (4, 5, 3, False)
        assert pieces[-1].usage == usage
        assert usage.tokens_in > 8
        assert [piece.usage for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert pieces[-1].tokens_out == 4

    async def test_tools_whole_and_streamed(self, backend: BedrockBackend) -> None:
        asked = call(NOVA, messages=asking("scale to 4, and echo"), tools=[SCALE, ECHO])
        calls = message((await backend.complete(asked)).body)["tool_calls"]
        wanted = [("scale", {"nodes": 4}), ("echo", {"word": "word"})]
        assert isinstance(calls, list)
        assert [(item["function"]["name"], json.loads(item["function"]["arguments"])) for item in calls] == wanted  # type: ignore[index, call-overload, arg-type]
        _, pieces = await said(backend, asked)
        assert finishes(pieces) == ["tool_calls"]
        parts = [item for delta in deltas(pieces) for item in delta.get("tool_calls", [])]  # type: ignore[union-attr]
        names = [(part["index"], part["id"], part["function"]["name"]) for part in parts if "id" in part]  # type: ignore[index, call-overload, operator]
        assert names == [(0, "tooluse_0", "scale"), (1, "tooluse_1", "echo")]
        given = "".join(str(part["function"]["arguments"]) for part in parts if part["index"] == 1)  # type: ignore[index, call-overload]
        assert json.loads(given) == {"word": "word"}

    async def test_a_schema_goes_by_a_tool_that_nobody_sees(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        asked = call(NOVA, messages=asking("give 7"), response_format=SCHEMA)
        answer = await backend.complete(asked)
        assert json.loads(str(message(answer.body)["content"])) == {"n": 7}
        assert "tool_calls" not in message(answer.body)
        text, pieces = await said(backend, asked)
        assert json.loads(text) == {"n": 7}
        assert finishes(pieces) == ["stop"]
        assert bedrock.asked[0][2]["toolConfig"]["toolChoice"] == {"tool": {"name": "answer"}}

    async def test_a_schema_beside_tools(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        taken: JsonObject = {"type": "function", "function": {"name": "answer", "parameters": {"type": "object", "properties": {}}}}
        text, _ = await said(backend, call(NOVA, messages=asking("give 7"), response_format=SCHEMA, tools=[SCALE, taken]))
        assert json.loads(text) == {"n": 7}
        assert bedrock.asked[0][2]["toolConfig"]["toolChoice"] == {"any": {}}
        _, pieces = await said(backend, call(NOVA, messages=asking("scale to 2"), response_format=SCHEMA, tools=[SCALE]))
        assert finishes(pieces) == ["tool_calls"]

    async def test_thoughts_and_a_limit(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        bedrock.reasoning = "I look up."
        answer = await backend.complete(call(NOVA, max_tokens=2))
        assert (message(answer.body)["reasoning_content"], message(answer.body)["content"]) == ("I look up.", "The sky")
        _, pieces = await said(backend, call(NOVA, max_tokens=2))
        assert "".join(str(delta.get("reasoning_content", "")) for delta in deltas(pieces)) == "I look up."
        assert (finishes(pieces), pieces[-1].tokens_out) == (["length"], 5)

    async def test_embeddings_of_titan_and_cohere(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        titan = await backend.embed(call("amazon.titan-embed-text-v2:0", kind="embeddings", input=["a b", "c"], dimensions=16))
        cohere = await backend.embed(call("cohere.embed-english-v3", kind="embeddings", input=["a b", "c"]))
        assert (titan.usage, cohere.usage) == (Usage(tokens_in=3), Usage(tokens_in=3))
        lengths = [[len(item["embedding"]) for item in answer.body["data"]] for answer in (titan, cohere)]  # type: ignore[union-attr, index, call-overload, arg-type]
        assert lengths == [[16, 16], [256, 256]]
        assert [operation for operation, _, _ in bedrock.asked] == ["invoke"] * 3

    def test_abilities_by_family(self) -> None:
        backend = BedrockBackend(BedrockSpec(kind="bedrock"), Settings(), None)
        assert "images" in backend.abilities(NOVA).can
        assert "images" not in backend.abilities("amazon.nova-micro-v1:0").can
        assert "tools" not in backend.abilities("amazon.titan-text-express-v1").can
        assert backend.abilities("amazon.titan-embed-text-v2:0").can == {"embeddings"}
        assert backend.abilities("amazon.titan-embed-text-v2:0").fields == {"dimensions"}


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "error", "code"),
        [
            (Fault("ThrottlingException", 429), Unavailable, "model_unavailable"),
            (Fault("ModelErrorException", 424), Unavailable, "model_unavailable"),
            (Fault("ModelTimeoutException", 408), Unavailable, "model_unavailable"),
            (Fault("InternalServerException", 500), Unavailable, "model_unavailable"),
            (Fault("ValidationException", 400), InvalidInput, "model_call_refused"),
            (Fault("ResourceNotFoundException", 404), InvalidInput, "model_call_refused"),
            (Fault("AccessDeniedException", 403), EffectFailed, "model_key_refused"),
            (Fault("SomethingNew", 418), InvalidInput, "model_call_refused"),
        ],
    )
    async def test_each_has_its_error_and_is_not_retried(
        self, backend: BedrockBackend, bedrock: Bedrock, fault: Fault, error: type[LineshaftError], code: str
    ) -> None:
        for _ in range(2):
            bedrock.faults.append(fault)
        with pytest.raises(error) as whole:
            await backend.complete(call(NOVA))
        pieces, streamed = await read(backend.stream(call(NOVA)))
        assert whole.value.error_code == code
        assert (pieces, streamed and streamed.error_code) == ([], code)
        assert len(bedrock.asked) == 2

    @pytest.mark.parametrize(("headers", "seconds"), [({}, 1.0), ({"Retry-After": "6"}, 6.0)])
    async def test_throttling_says_when_to_come_back(
        self, backend: BedrockBackend, bedrock: Bedrock, headers: dict[str, str], seconds: float
    ) -> None:
        bedrock.faults.append(Fault("ThrottlingException", 429, headers=headers))
        with pytest.raises(Unavailable) as caught:
            await backend.complete(call(NOVA))
        assert caught.value.retry_after_seconds == seconds

    @pytest.mark.parametrize("code", ["modelStreamErrorException", "throttlingException", ""])
    async def test_a_frame_of_error_in_mid_stream_keeps_what_was_said(self, backend: BedrockBackend, bedrock: Bedrock, code: str) -> None:
        bedrock.faults.append(Fault(code, after=3))
        pieces, error = await read(backend.stream(call(NOVA)))
        assert (words(pieces), pieces[-1].tokens_out, pieces[-1].usage) == ("The sky", 2, None)
        assert isinstance(error, Unavailable)
        assert error.error_code == "model_stream_broken"

    async def test_an_error_before_anything_is_said_is_what_it_says(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        bedrock.faults.append(Fault("throttlingException", after=0))
        pieces, error = await read(backend.stream(call(NOVA)))
        assert (pieces, error and error.error_code) == ([], "model_unavailable")

    async def test_closing_cuts_the_connection_and_frees_the_thread(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        bedrock.words, bedrock.piece_seconds = "word " * 2000, 0.01
        stream = backend.stream(call(NOVA))
        async for piece in stream:
            if piece.tokens_out >= 2:
                break
        await stream.aclose()
        assert await asyncio.to_thread(bedrock.gone.wait, 5), "the upstream went on"

    async def test_control_without_the_cut_the_upstream_goes_on(
        self, backend: BedrockBackend, bedrock: Bedrock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bedrock.words, bedrock.piece_seconds = "word " * 60, 0.01
        left: list[EventReader] = []
        monkeypatch.setattr(EventReader, "close", lambda reader: left.append(reader))
        stream = backend.stream(call(NOVA))
        await anext(stream)
        await stream.aclose()
        assert not await asyncio.to_thread(bedrock.gone.wait, 0.2)
        monkeypatch.undo()
        left[0].close()

    async def test_a_deadline_ends_a_stream_that_says_nothing(self, backend: BedrockBackend, bedrock: Bedrock) -> None:
        await backend.complete(call(NOVA))
        bedrock.piece_seconds = 30
        pieces, error = await read(backend.stream(call(NOVA, deadline=0.3)))
        assert len(pieces) == 1
        assert error is not None
        assert error.error_code == "model_stream_broken"

    async def test_nobody_there(self) -> None:
        nobody = BedrockBackend(BedrockSpec(kind="bedrock", endpoint_url="http://127.0.0.1:9"), Settings(), None)
        with pytest.raises(Unavailable):
            await nobody.complete(call(NOVA))
        await nobody.close()


class Size(BaseModel):
    """How large."""

    nodes: int


class TestLangChain:
    """The emulator is good enough for the clients that people use."""

    async def test_chat_bedrock_converse(self, url: str, bedrock: Bedrock) -> None:
        from langchain_aws import BedrockEmbeddings, ChatBedrockConverse  # noqa: PLC0415 - takes seconds, and only this test needs it

        model = ChatBedrockConverse(model=NOVA, endpoint_url=url, region_name="eu-central-1")
        answer = await model.ainvoke("What colour is the sky?")
        assert answer.text == bedrock.words
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["output_tokens"] == 4
        streamed = [chunk.text async for chunk in model.astream("What colour is the sky?")]
        assert ("".join(streamed), len([text for text in streamed if text])) == (bedrock.words, 4)
        called = await model.bind_tools([SCALE]).ainvoke("scale to 4")
        assert [(item["name"], item["args"]) for item in called.tool_calls] == [("scale", {"nodes": 4})]
        assert await model.with_structured_output(Size).ainvoke("to 6") == Size(nodes=6)
        embeddings = BedrockEmbeddings(model_id="amazon.titan-embed-text-v2:0", endpoint_url=url, region_name="eu-central-1")
        assert len(await embeddings.aembed_query("sky")) == 256
