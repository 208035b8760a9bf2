"""What every request passes first, and how every fault is told: in the shape of the door's clients, in words, once."""

import asyncio

import httpx
import orjson
import pytest
from sqlalchemy.exc import OperationalError

from factory_infra.errors import (
    BudgetExceeded,
    EffectFailed,
    Forbidden,
    InvalidInput,
    LineshaftError,
    NotFound,
    QuotaExceeded,
    RateLimited,
    StorageFull,
    Unavailable,
)
from tests.api.gateway.house import KEY, WORDS, Gate, events, gate, listening
from tests.waiting import eventually

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
MESSAGE = {**CHAT, "max_tokens": 64}
AWAY = OperationalError("SELECT 1", {}, Exception("server closed the connection; password=hush"))


@pytest.fixture
def doors() -> Gate:
    return gate()


class TestShapes:
    @pytest.mark.parametrize(
        ("error", "status", "kind", "code", "retry"),
        [
            (NotFound("No.", code="model_not_found"), 404, "invalid_request_error", "model_not_found", "false"),
            (Forbidden("No."), 403, "permission_error", "forbidden", "false"),
            (InvalidInput("Too long.", code="context_length_exceeded"), 400, "invalid_request_error", "context_length_exceeded", "false"),
            (BudgetExceeded("No money."), 429, "insufficient_quota", "insufficient_quota", "false"),
            (QuotaExceeded("No more."), 429, "insufficient_quota", "insufficient_quota", "false"),
            (RateLimited("Slower.", retry_after_seconds=6.2), 429, "rate_limit_exceeded", "rate_limit_exceeded", "true"),
            (Unavailable("Away.", code="model_unavailable"), 503, "server_error", "model_unavailable", "true"),
            (EffectFailed("Odd.", code="model_protocol"), 502, "server_error", "model_protocol", "false"),
            (StorageFull("Full."), 507, "server_error", "storage_full", "false"),
            (LineshaftError("Odd."), 500, "server_error", "internal", "true"),
            (AWAY, 503, "server_error", "database_unavailable", "true"),
            (RuntimeError("hush"), 500, "server_error", "internal", "true"),
        ],
    )
    async def test_openai(self, doors: Gate, error: Exception, status: int, kind: str, code: str, retry: str) -> None:
        doors.script.error = error
        answer = await doors.post("/v1/chat/completions", CHAT)
        said = answer.json()["error"]
        assert (answer.status_code, said["type"], said["code"]) == (status, kind, code)
        assert set(said) == {"message", "type", "param", "code"} and said["message"]
        assert answer.headers["x-should-retry"] == retry and len(answer.headers["x-request-id"]) == 32
        assert "hush" not in answer.text

    @pytest.mark.parametrize(
        ("error", "status", "kind"),
        [
            (NotFound("No.", code="model_not_found"), 404, "not_found_error"),
            (Forbidden("No."), 403, "permission_error"),
            (InvalidInput("Wrong."), 400, "invalid_request_error"),
            (BudgetExceeded("No money."), 402, "billing_error"),
            (RateLimited("Slower."), 429, "rate_limit_error"),
            (Unavailable("Away."), 529, "overloaded_error"),
            (EffectFailed("Odd."), 502, "api_error"),
            (RuntimeError("hush"), 500, "api_error"),
        ],
    )
    async def test_anthropic(self, doors: Gate, error: Exception, status: int, kind: str) -> None:
        doors.script.error = error
        answer = await doors.post("/v1/messages", MESSAGE)
        body = answer.json()
        assert (answer.status_code, body["type"], body["error"]["type"]) == (status, "error", kind)
        assert body["request_id"] == answer.headers["x-request-id"] and "hush" not in answer.text

    async def test_when_to_try_again_and_how_the_limits_stand(self, doors: Gate) -> None:
        doors.script.error = RateLimited("Slower.", retry_after_seconds=6.2)
        answer = await doors.post("/v1/chat/completions", CHAT)
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("7", "6200")
        assert answer.headers["x-ratelimit-remaining-tokens"] == "8000"
        assert (await doors.post("/v1/messages", MESSAGE)).headers["anthropic-ratelimit-requests-remaining"] == "59"


class TestDoor:
    async def test_an_unknown_path_and_a_wrong_method(self, doors: Gate) -> None:
        answer = await doors.post("/v1/files", {})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
        answer = await doors.http.get("/v1/chat/completions")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        answer = await doors.http.get("/v1/files", headers={"anthropic-version": "2023-06-01"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
        for path in ("/v1/chat/completions/", "/V1/models", "//v1/models", "/"):
            assert (await doors.http.get(path)).status_code == 404, path

    async def test_no_page_of_another_origin_is_let_in(self, doors: Gate) -> None:
        asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
        answer = await doors.http.options("/v1/chat/completions", headers=asked)
        assert answer.status_code == 405
        assert [name for name in answer.headers if name.startswith("access-control")] == []
        answer = await doors.post("/v1/chat/completions", CHAT, origin="http://evil.example")
        assert [name for name in answer.headers if name.startswith("access-control")] == []

    async def test_without_a_key_nothing_is_told(self, doors: Gate) -> None:
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/audio/speech", "/v1/messages"):
            answer = await doors.http.post(path, json=CHAT)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        for path in ("/v1/models", "/v1/models/fast", "/metrics"):
            assert (await doors.http.get(path)).status_code == 401
        assert doors.script.asked == []

    async def test_a_key_by_either_header(self, doors: Gate) -> None:
        for headers in ({"authorization": f"Bearer {KEY}"}, {"x-api-key": KEY}, {"authorization": f"bearer  {KEY}"}):
            assert (await doors.http.get("/v1/models", headers=headers)).status_code == 200
        for headers in ({"authorization": "Bearer x"}, {"authorization": f"Basic {KEY}"}, {"x-api-key": "x"}, {"cookie": KEY}):
            answer = await doors.http.get("/v1/models", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")

    async def test_health_openapi_and_metrics(self, doors: Gate) -> None:
        assert (await doors.http.get("/health")).json() == {"status": "ok"}
        document = (await doors.http.get("/openapi.json")).json()
        assert "/v1/chat/completions" in document["paths"] and "ChatBody" in document["components"]["schemas"]
        await doors.post("/v1/chat/completions", CHAT)
        told = await doors.http.get("/metrics", headers={"x-api-key": KEY})
        assert 'lineshaft_gateway_requests_total{door="chat",outcome="2xx"} 1\n' in told.text

    async def test_the_request_id_is_ours(self, doors: Gate) -> None:
        answer = await doors.post("/v1/chat/completions", CHAT, **{"x-request-id": "c" * 32})
        assert answer.headers["x-request-id"] != "c" * 32
        assert doors.script.asked[0][0].call_id == answer.headers["x-request-id"]


class TestStream:
    async def test_an_error_before_the_first_piece_is_an_answer(self, doors: Gate) -> None:
        doors.script.items, doors.script.error = [], Unavailable("Away.", code="model_unavailable")
        answer = await doors.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")

    @pytest.mark.parametrize("error", [Unavailable("Broken.", code="model_stream_broken"), RuntimeError("hush")])
    async def test_an_error_in_the_middle_is_an_event_and_the_end(self, doors: Gate, error: Exception) -> None:
        doors.script.items, doors.script.error = WORDS[:3], error
        answer = await doors.post("/v1/chat/completions", {**CHAT, "stream": True})
        assert answer.status_code == 200 and "[DONE]" not in answer.text and "hush" not in answer.text
        assert set(orjson.loads(events(answer.text)[-1][1])) == {"error"}
        answer = await doors.post("/v1/messages", {**MESSAGE, "stream": True})
        assert events(answer.text)[-1][0] == "error" and "message_stop" not in answer.text
        answer = await doors.post("/v1/responses", {"model": "fast", "input": "hello", "stream": True})
        assert [name for name, _ in events(answer.text)][-2:] == ["error", "response.failed"]


@pytest.mark.stack
class TestLeaving:
    """The client goes away: the call is cancelled at once, and so settles."""

    @pytest.mark.parametrize("stream", [True, False])
    async def test_a_client_that_leaves_ends_the_call(self, doors: Gate, stream: bool) -> None:
        doors.script.hangs = True
        async with listening(doors.app) as url, httpx.AsyncClient(trust_env=False) as client:
            body = {**CHAT, "stream": stream}
            sending = asyncio.create_task(client.post(f"{url}/v1/chat/completions", json=body, headers={"x-api-key": KEY}))
            await doors.script.began.wait()
            sending.cancel()
            await eventually(lambda: doors.script.ended == ["cancelled"])
            await eventually(lambda: 'requests_total{door="chat",outcome="gone"} 1' in doors.metrics.text())

    async def test_a_client_that_reads_nothing_and_leaves(self, doors: Gate) -> None:
        big = WORDS[1].__class__([{**WORDS[1].chunks[0], "filler": "x" * 1_000_000}])
        doors.script.items = [WORDS[0], *[big] * 60]
        async with listening(doors.app) as url:
            host, port = url.removeprefix("http://").split(":")
            body = orjson.dumps({**CHAT, "stream": True})
            asked = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
            _, writer = await asyncio.open_connection(host, int(port), limit=1024)
            writer.write(asked.encode() + body)
            await doors.script.began.wait()
            writer.transport.abort()
            await eventually(lambda: len(doors.script.ended) == 1)

    async def test_the_end_of_the_process_is_said_in_the_stream(self, doors: Gate) -> None:
        doors.script.hangs = True
        async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
            async with listening(doors.app) as url:
                body = {**CHAT, "stream": True}
                sending = asyncio.create_task(client.post(f"{url}/v1/chat/completions", json=body, headers={"x-api-key": KEY}))
                await doors.script.began.wait()
            answer = await sending
        assert orjson.loads(events(answer.text)[-1][1])["error"]["code"] == "gateway_stopping"
        assert doors.script.ended == ["cancelled"]


@pytest.mark.stack
class TestSize:
    async def test_a_large_body_is_refused_before_it_is_read(self, doors: Gate) -> None:
        async with listening(doors.app) as url:
            host, port = url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"POST /v1/messages HTTP/1.1\r\nhost: {host}\r\nx-api-key: {KEY}\r\ncontent-length: 99999999\r\n\r\n".encode())
            async with asyncio.timeout(5):
                assert (await reader.readline()).startswith(b"HTTP/1.1 413")
                await reader.readuntil(b"request_too_large")
            writer.close()

    async def test_a_body_of_unknown_length_is_cut_off(self, doors: Gate) -> None:
        async def endless() -> "asyncio.AsyncIterator[bytes]":  # type: ignore[name-defined]
            for _ in range(100):
                yield b"x" * 1000

        async with listening(doors.app) as url, httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(f"{url}/v1/chat/completions", content=endless(), headers={"x-api-key": KEY})
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
