"""The model server as a process: its wall, its embeddings, its answers without and with weights."""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.models.backends.embedded import EmbeddedBackend
from factory_infra.saas.models.backends.spec import EmbeddedSpec
from factory_infra.saas.models.calls import Call, JsonObject
from factory_infra.saas.models.models import ChatCall, ChatMessage
from factory_infra.saas.models.providers.embedded import Embedded
from factory_infra.saas.models.server import bind_address
from factory_infra.saas.models.weights import DEFAULT, find, presence
from factory_infra.saas.vectors.providers.http_embeddings import HttpEmbeddings
from factory_infra.settings import Settings

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0
QUESTION = [ChatMessage(role="user", content="Is the sky blue? Answer yes or no.")]


@contextmanager
def running(home: Path, model: str) -> Iterator[Settings]:
    """A model server of its own, ready, and stopped afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    key = secrets.token_hex(16)
    own = {"LINESHAFT_HOME": str(home), "LINESHAFT_MODEL": model, "LINESHAFT_MODEL_SERVER_URL": url, "LINESHAFT_MODEL_SERVER_KEY": key}
    process = subprocess.Popen([sys.executable, "-m", "factory_infra.saas.models.server"], env=os.environ | own)
    try:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not become ready"
            try:
                httpx.get(f"{url}/health", trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Settings(model=model, model_server_url=url, model_server_key=SecretStr(key))
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(STOP_SECONDS_MAX) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            raise


class TestBindAddress:
    @pytest.mark.parametrize(
        "url", [None, "", "http://0.0.0.0:80", "http://10.0.0.1:80", "http://example.com:80", "http://127.0.0.1", "http://x:y"]
    )
    def test_nothing_but_loopback(self, url: str | None) -> None:
        with pytest.raises(InvalidInput):
            bind_address(url)

    def test_exactly_what_the_settings_say(self) -> None:
        assert bind_address("http://127.0.0.1:8123") == ("127.0.0.1", 8123)


@pytest.mark.stack
class TestWithoutWeights:
    @pytest.fixture(scope="class")
    def server(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
        with running(tmp_path_factory.mktemp("home"), f"embedded:{DEFAULT}") as settings:
            yield settings

    @pytest.fixture
    def client(self, server: Settings) -> Iterator[httpx.Client]:
        assert server.model_server_url is not None
        with httpx.Client(base_url=server.model_server_url, trust_env=False) as client:
            yield client

    def test_health_wants_no_key_and_says_what_is_missing(self, client: httpx.Client) -> None:
        body = client.get("/health").json()
        assert (body["status"], body["chat"], body["code"]) == ("ready", None, "weights_missing")
        assert "lineshaft models pull" in body["remedy"]

    @pytest.mark.parametrize("path", ["/v1/models", "/v1/embeddings", "/v1/chat/completions", "/docs", "/anything"])
    @pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer wrong", "Basic x", "Bearer schlüssel".encode()])
    def test_everything_else_wants_the_key_and_sends_no_cors(self, client: httpx.Client, path: str, key: str | bytes | None) -> None:
        headers = httpx.Headers({"Origin": "http://evil.example"})
        if key is not None:
            headers = httpx.Headers(
                [(b"Origin", b"http://evil.example"), (b"Authorization", key if isinstance(key, bytes) else key.encode())]
            )
        for method in ("GET", "POST", "OPTIONS"):
            response = client.request(method, path, headers=headers)
            assert response.status_code == 401
            assert not [name for name in response.headers if name.startswith("access-control")]

    async def test_embeds(self, server: Settings) -> None:
        assert server.model_server_url is not None
        assert server.model_server_key is not None
        embeddings = HttpEmbeddings(server.model_server_url, server.model_server_key.get_secret_value())
        vectors = await embeddings.embed([f"text {number}" for number in range(70)])
        assert {len(vector) for vector in vectors} == {384}
        assert vectors[0] == (await embeddings.embed(["text 0"]))[0]
        await embeddings.close()
        with pytest.raises(EffectFailed):
            await HttpEmbeddings(server.model_server_url, "wrong").embed(["x"])

    async def test_a_chat_is_refused_with_the_remedy(self, server: Settings) -> None:
        with pytest.raises(Unavailable, match="lineshaft models pull") as caught:
            await Embedded(DEFAULT, server).answer(ChatCall(messages=QUESTION))
        assert caught.value.retryable

    @pytest.mark.parametrize("body", [{}, {"input": []}, {"input": ["x"] * 257}, {"input": "x", "encoding_format": "base64"}])
    def test_a_wrong_shape_is_refused(self, client: httpx.Client, server: Settings, body: dict[str, object]) -> None:
        assert server.model_server_key is not None
        headers = {"Authorization": f"Bearer {server.model_server_key.get_secret_value()}"}
        response = client.post("/v1/embeddings", json=body, headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_input")

    def test_a_body_without_bounds_is_refused(self, client: httpx.Client, server: Settings) -> None:
        assert server.model_server_key is not None
        headers = {"Authorization": f"Bearer {server.model_server_key.get_secret_value()}"}
        assert client.post("/v1/embeddings", content=b"x" * 2_000_001, headers=headers).status_code == 413
        assert client.post("/v1/embeddings", content=iter([b"x"]), headers=headers).status_code == 413


@pytest.mark.stack
@pytest.mark.weights
class TestWithWeights:
    @pytest.fixture(scope="class")
    def server(self) -> Iterator[Settings]:
        settings = Settings()
        if not presence(find(DEFAULT), settings.weights_dir).verified:
            pytest.skip(f"the weights of {DEFAULT} are not under {settings.weights_dir}: lineshaft models pull {DEFAULT}")
        with running(settings.home, f"embedded:{DEFAULT}") as served:
            yield served

    @pytest.fixture
    def model(self, server: Settings) -> Embedded:
        return Embedded(DEFAULT, server)

    async def test_answers_with_one_of_the_choices_and_caches_the_prompt(self, model: Embedded) -> None:
        call = ChatCall(messages=QUESTION, choices=["yes", "no", "vielleicht: später"])
        first, second = await model.answer(call), await model.answer(call)
        assert first.content in {"yes", "no", "vielleicht: später"}
        assert not first.estimated
        assert 0 < second.tokens_cached < second.tokens_in

    async def test_answers_with_json_and_with_a_tool_call(self, model: Embedded) -> None:
        messages = [ChatMessage(role="user", content="Scale the cluster to 4 nodes.")]
        parameters = {"type": "object", "properties": {"nodes": {"type": "integer"}}, "required": ["nodes"]}
        tool = {"type": "function", "function": {"name": "scale", "description": "Scale a cluster.", "parameters": parameters}}
        assert (await model.answer(ChatCall(messages=messages, tools=[tool]))).tool_calls[0].arguments == {"nodes": 4}
        assert "nodes" in (await model.answer(ChatCall(messages=messages, json_schema=parameters))).content

    async def test_a_prompt_beyond_the_context_is_refused(self, model: Embedded) -> None:
        with pytest.raises(InvalidInput, match="context"):
            await model.answer(ChatCall(messages=[ChatMessage(role="user", content="lease " * 6000)]))

    async def test_streams(self, server: Settings) -> None:
        assert server.model_server_url is not None
        assert server.model_server_key is not None
        headers = {"Authorization": f"Bearer {server.model_server_key.get_secret_value()}"}
        body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8, "stream": True}
        async with httpx.AsyncClient(base_url=server.model_server_url, headers=headers, timeout=60) as client:
            response = await client.post("/v1/chat/completions", json=body)
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.rstrip().endswith("data: [DONE]")

    async def test_remembers_to_the_token_what_was_asked_streamed_and_cut_off(self, server: Settings) -> None:
        backend = EmbeddedBackend(EmbeddedSpec(kind="embedded"), server, None)
        body: JsonObject = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 4}
        answer = await backend.complete(Call("whole/1", "chat", DEFAULT, body, 120))
        assert await backend.usage_of("whole/1") == answer.usage
        pieces = [piece async for piece in backend.stream(Call("stream/1", "chat", DEFAULT, body, 120))]
        assert all(piece.usage and not piece.usage.estimated for piece in pieces)
        assert await backend.usage_of("stream/1") == pieces[-1].usage
        stream = backend.stream(Call("cut/1", "chat", DEFAULT, body | {"max_tokens": 400}, 120))
        cut = await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(30):
            while (usage := await backend.usage_of("cut/1")) is None:  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(0.02)
        assert not usage.estimated
        assert cut.tokens_out <= usage.tokens_out < 400
        await backend.close()
