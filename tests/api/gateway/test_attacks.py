"""Each class of the known holes of gateways that a door can have, tried: nothing of it works, and nothing is asked of a model."""

import orjson
import pytest

from api.gateway.edge import ONE_MODEL, ROUTES
from tests.api.gateway.house import KEY, Gate, gate

CHAT = {"model": "fast", "messages": [{"role": "user", "content": "hello"}]}
RESPONSE = {"model": "fast", "input": "hello"}
MESSAGE = {**CHAT, "max_tokens": 64}
INSIDE = "http://169.254.169.254/latest/meta-data"
ADDRESSES = [
    {"api_base": INSIDE},
    {"base_url": INSIDE},
    {"api_key": "x"},
    {"extra_body": {"api_base": INSIDE}},
    {"extra_headers": {"host": INSIDE}},
    {"headers": {"x-upstream": INSIDE}},
    {"custom_llm_provider": "openai"},
    {"litellm_params": {"api_base": INSIDE}},
    {"model_info": {"base_url": INSIDE}},
    {"fallbacks": [{"model": "x", "api_base": INSIDE}]},
    {"mock_response": "free"},
    {"proxy": INSIDE},
    {"webhook": INSIDE},
]


@pytest.fixture
def doors() -> Gate:
    return gate()


class TestRequestForgery:
    @pytest.mark.parametrize("more", ADDRESSES, ids=lambda more: next(iter(more)))
    @pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", CHAT), ("/v1/responses", RESPONSE), ("/v1/messages", MESSAGE)])
    async def test_no_address_comes_from_a_request(self, doors: Gate, path: str, body: dict[str, object], more: dict[str, object]) -> None:
        answer = await doors.post(path, {**body, **more})
        assert answer.status_code == 400 and next(iter(more)) in answer.json()["error"]["message"]
        assert doors.script.asked == []

    @pytest.mark.parametrize(
        "message",
        [
            {"role": "user", "content": "x", "api_base": INSIDE},
            {"role": "user", "content": [{"type": "text", "text": "x", "api_base": INSIDE}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": INSIDE}}]},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]},
            {"role": "user", "content": [{"type": "file", "file": {"url": INSIDE}}]},
        ],
    )
    async def test_nor_from_the_depth_of_one(self, doors: Gate, message: dict[str, object]) -> None:
        assert (await doors.post("/v1/chat/completions", {**CHAT, "messages": [message]})).status_code == 400
        assert doors.script.asked == []

    async def test_metadata_is_only_words(self, doors: Gate) -> None:
        nested = {**CHAT, "metadata": {"api_base": {"url": INSIDE}}}
        assert (await doors.post("/v1/chat/completions", nested)).status_code == 400
        assert (await doors.post("/v1/chat/completions", {**CHAT, "metadata": {"api_base": INSIDE}})).status_code == 200
        assert doors.script.asked[0][1].body(frozenset()) == {"messages": CHAT["messages"]}


class TestHost:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8405", "127.0.0.1.evil.example", "localhost.evil.example", ""])
    async def test_another_name_is_refused(self, doors: Gate, host: str) -> None:
        answer = await doors.http.get("/v1/models", headers={"host": host, "x-api-key": KEY})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "host_refused")

    @pytest.mark.parametrize("header", ["host", "x-forwarded-host", "x-forwarded-for", "x-original-url", "x-rewrite-url", "forwarded"])
    async def test_no_host_is_believed_or_repeated(self, header: str) -> None:
        """The control: where the doors are open to the network every host is let in, and none is ever told back."""
        doors = gate(loopback=False)
        for path in ("/v1/models", "/openapi.json", "/health"):
            answer = await doors.http.get(path, headers={header: "evil.example", "x-api-key": KEY})
            assert answer.status_code == 200
            assert "evil.example" not in answer.text + str(answer.headers)


class TestTemplates:
    @pytest.mark.parametrize(
        "text", ["{{7*7}}", "{% for x in y %}{% endfor %}", "${7*7}", "{0.__class__}", "%(x)s", "#{7*7}", "<%= 7*7 %>"]
    )
    async def test_a_prompt_is_passed_on_as_it_is(self, doors: Gate, text: str) -> None:
        await doors.post("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": text}]})
        await doors.post("/v1/messages", {**MESSAGE, "system": text, "messages": [{"role": "user", "content": text}]})
        await doors.post("/v1/responses", {**RESPONSE, "instructions": text, "input": text})
        for _, request in doors.script.asked:
            assert {message["content"] for message in request.sent["messages"]} == {text}

    @pytest.mark.parametrize("field", ["chat_template", "chat_template_kwargs", "prompt_template", "guided_grammar", "documents"])
    async def test_nobody_sends_a_template(self, doors: Gate, field: str) -> None:
        assert (await doors.post("/v1/chat/completions", {**CHAT, field: "{{7*7}}"})).status_code == 400


class TestCommands:
    async def test_nothing_is_served_that_runs_or_tests_or_configures(self, doors: Gate) -> None:
        """A door is a model's, or tells of the gateway itself; there is none that takes a command, a server or a setup."""
        assert {path: door.method for path, door in ROUTES.items() if door.name == "other"} == {
            "/health": "GET",
            "/metrics": "GET",
            "/openapi.json": "GET",
        }
        assert ONE_MODEL.method == "GET"
        for path in (
            "/mcp-rest/test/connection",
            "/mcp-rest/test/tools/list",
            "/config/update",
            "/key/generate",
            "/guardrails/test",
            "/docs",
        ):
            assert (await doors.post(path, {"command": "id", "args": []})).status_code == 404


class TestKeys:
    @pytest.mark.parametrize("key", ["' OR '1'='1", "ls_%", "ls_0123456789ab_' --", KEY + "x", KEY[:-1], KEY.upper(), "\x00", "x" * 8000])
    async def test_nothing_but_the_key_is_the_key(self, doors: Gate, key: str) -> None:
        answer = await doors.http.get("/v1/models", headers=[(b"x-api-key", key.encode())])
        assert answer.status_code == 401 and "OR" not in answer.text


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b'"x"',
            b"\xff\xfe",
            b'{"model": NaN}',
            b'{"a": 1} {"b": 2}',
            b'{"model":"fast","messages":' + b"[" * 900 + b"]" * 900 + b"}",
            b'{"model":"fast","messages":' + b"[" * 5000,
            b'{"model":"fast","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        ],
    )
    @pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings", "/v1/audio/speech"])
    async def test_what_is_no_request_is_refused_quickly(self, doors: Gate, path: str, body: bytes) -> None:
        answer = await doors.http.post(path, content=body, headers={"x-api-key": KEY})
        assert answer.status_code == 400 and answer.json()["error"]["message"]
        assert doors.script.asked == []

    async def test_a_flood_of_small_parts_is_refused(self) -> None:
        doors = gate(body_bytes_max=10_000_000)
        flood = b'{"model":"fast","messages":[' + b"[]," * 1_000_000 + b"1]}"
        answer = await doors.http.post("/v1/chat/completions", content=flood, headers={"x-api-key": KEY})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")

    async def test_a_compressed_body_is_not_unpacked(self, doors: Gate) -> None:
        headers = {"x-api-key": KEY, "content-encoding": "gzip"}
        answer = await doors.http.post("/v1/chat/completions", content=orjson.dumps(CHAT), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "encoding_refused")
