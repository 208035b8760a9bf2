"""The OpenAI-compatible backend against a server that knows what it said, and breaks in every way."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pydantic import JsonValue, SecretStr

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import connection
from factory_infra.saas.models.backends.openai import OpenAIBackend
from factory_infra.saas.models.backends.spec import OpenAISpec
from factory_infra.saas.models.calls import Call
from factory_infra.settings import Settings
from tests.emulators.openai_upstream import Fault, Upstream
from tests.emulators.serving import serving
from tests.factory_infra.saas.models.backends.calls import call, deltas, finishes, message, read, said, words

pytestmark = pytest.mark.stack

KEY = "our-s3cret-key"
WHOLE = Usage(tokens_in=11, tokens_out=10, tokens_cached=4, tokens_reasoning=2)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def url(upstream: Upstream) -> Iterator[str]:
    with serving(upstream.app) as address:
        yield f"{address}/v1"


@pytest_asyncio.fixture
async def backend(url: str, upstream: Upstream) -> AsyncIterator[OpenAIBackend]:
    opened = OpenAIBackend(OpenAISpec(kind="openai", name="vllm", url=url, usage_recall=True), Settings(), SecretStr(KEY))
    yield opened
    await opened.close()


def told(url: str, **spec: bool) -> OpenAIBackend:
    return OpenAIBackend(OpenAISpec.model_validate({"kind": "openai", "url": url, **spec}), Settings(), None)


class TestWhole:
    async def test_answers_with_the_usage_and_all_its_details(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        answer = await backend.complete(call(max_tokens=9))
        assert message(answer.body)["content"] == "".join(upstream.words)
        assert answer.usage == WHOLE
        assert upstream.asked[0]["model"] == "m"
        assert upstream.asked[0]["max_tokens"] == 9
        assert (upstream.headers[0]["authorization"], upstream.headers[0]["x-request-id"]) == (f"Bearer {KEY}", "call/1")

    async def test_counts_itself_where_nobody_tells(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.tells_usage = False
        usage = (await backend.complete(call())).usage
        assert usage.estimated
        assert usage.tokens_in > 8
        assert usage.tokens_out == 10

    async def test_the_model_of_a_body_does_not_count(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        await backend.complete(Call("c", "chat", "mine", {"model": "other"}, 9))
        assert upstream.asked[0]["model"] == "mine"

    @pytest.mark.parametrize(
        ("fault", "error", "code"),
        [
            (Fault(status=400), InvalidInput, "model_call_refused"),
            (Fault(status=404), InvalidInput, "model_call_refused"),
            (Fault(status=422), InvalidInput, "model_call_refused"),
            (Fault(status=401), EffectFailed, "model_key_refused"),
            (Fault(status=403), EffectFailed, "model_key_refused"),
            (Fault(status=500), Unavailable, "model_unavailable"),
            (Fault(status=529), Unavailable, "model_unavailable"),
            (Fault(status=302, headers={"Location": "/elsewhere"}), EffectFailed, "model_protocol"),
            (Fault(whole="<html>"), EffectFailed, "model_protocol"),
            (Fault(whole="<html>", media_type="text/html"), EffectFailed, "model_protocol"),
            (Fault(whole="[]"), EffectFailed, "model_protocol"),
            (Fault(whole='{"choices": []}'), EffectFailed, "model_protocol"),
            (Fault(whole='{"choices": [{"text": "x"}]}'), EffectFailed, "model_protocol"),
            (Fault(whole='{"error": {"message": "no", "code": 429}}'), Unavailable, "model_unavailable"),
            (Fault(whole='{"error": {"message": "no", "type": "invalid_request_error"}}'), InvalidInput, "model_call_refused"),
            (Fault(whole="{}", headers={"Content-Encoding": "x"}), EffectFailed, "model_protocol"),
        ],
    )
    async def test_each_fault_has_its_error_and_is_not_retried(
        self, backend: OpenAIBackend, upstream: Upstream, fault: Fault, error: type[LineshaftError], code: str
    ) -> None:
        upstream.faults.append(fault)
        with pytest.raises(error) as caught:
            await backend.complete(call())
        assert caught.value.error_code == code
        assert len(upstream.asked) == 1

    @pytest.mark.parametrize("status", [429, 503])
    async def test_an_overload_says_when_to_come_back(self, backend: OpenAIBackend, upstream: Upstream, status: int) -> None:
        upstream.faults.append(Fault(status=status, headers={"Retry-After": "7"}))
        with pytest.raises(Unavailable) as caught:
            await backend.complete(call())
        assert caught.value.retry_after_seconds == 7

    async def test_a_refusal_tells_the_upstreams_words_but_no_address_and_no_key(
        self, backend: OpenAIBackend, upstream: Upstream, url: str
    ) -> None:
        upstream.faults.append(Fault(status=400, body=f'{{"error": {{"message": "too long for {url} by {KEY} {"x" * 5000}"}}}}'))
        with pytest.raises(InvalidInput, match="too long for") as caught:
            await backend.complete(call())
        assert "127.0.0.1" not in str(caught.value)
        assert KEY not in str(caught.value)
        assert len(str(caught.value)) < 600

    async def test_nobody_there_and_nobody_answering(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        nobody = OpenAIBackend(OpenAISpec(kind="openai", url="http://127.0.0.1:9/v1"), Settings(), None)
        with pytest.raises(Unavailable) as caught:
            await nobody.complete(call())
        assert (caught.value.error_code, "127.0.0.1" in str(caught.value)) == ("model_unavailable", False)
        upstream.faults.append(Fault(hang=True))
        with pytest.raises(Unavailable) as late:
            await backend.complete(call(deadline=0.1))
        assert late.value.error_code == "model_timeout"

    async def test_an_answer_without_end_is_refused(
        self, backend: OpenAIBackend, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection, "ANSWER_BYTES_MAX", 100_000)
        upstream.words = ["x" * 1_000_000]
        with pytest.raises(EffectFailed, match="more than"):
            await backend.complete(call())

    @pytest.mark.parametrize("value", ["\ud800", 2**70])
    async def test_what_json_cannot_say_is_refused(self, backend: OpenAIBackend, upstream: Upstream, value: JsonValue) -> None:
        with pytest.raises(InvalidInput) as caught:
            await backend.complete(call(user=value))
        assert (caught.value.error_code, upstream.asked) == ("model_call_refused", [])


class TestStream:
    @pytest.mark.parametrize(("split", "line_end"), [(0, "\n"), (0, "\r\n"), (7, "\n"), (1, "\r\n")])
    async def test_says_every_word_once_however_it_is_cut(
        self, backend: OpenAIBackend, upstream: Upstream, split: int, line_end: str
    ) -> None:
        upstream.split_bytes, upstream.line_end = split, line_end
        text, pieces = await said(backend, call())
        assert text == "".join(upstream.words)
        assert finishes(pieces) == ["stop"]
        assert (pieces[-1].usage, pieces[-1].tokens_out) == (WHOLE, 10)
        assert upstream.asked[0]["stream_options"] == {"include_usage": True}
        assert [delta for delta in deltas(pieces) if delta] == [{"content": word} for word in upstream.words]

    async def test_the_connection_serves_the_next_call(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        await said(backend, call())
        session = backend._http._session
        assert session is not None
        await said(backend, call())
        assert session.connector is not None
        assert sum(len(kept) for kept in session.connector._conns.values()) == 1

    async def test_our_own_count_where_the_usage_never_comes(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.tells_usage = False
        _, pieces = await said(backend, call())
        assert (pieces[-1].usage, pieces[-1].tokens_out) == (None, 10)

    async def test_the_usage_so_far_where_the_upstream_tells_it(self, url: str, upstream: Upstream) -> None:
        backend = told(url, usage_in_stream=True)
        upstream.word_seconds = 0.01
        pieces = backend.stream(call())
        piece = await anext(pieces)
        assert piece.usage is not None
        assert (piece.usage.tokens_in, piece.usage.tokens_out) == (11, piece.tokens_out)
        assert upstream.asked[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
        await pieces.aclose()
        await backend.close()

    async def test_closing_cuts_the_connection_at_once(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.words, upstream.word_seconds = [" word"] * 10_000, 0.002
        pieces = backend.stream(call())
        async for piece in pieces:
            if piece.tokens_out >= 3:
                break
        await pieces.aclose()
        assert await asyncio.to_thread(upstream.gone.wait, 5), "the upstream went on"
        assert upstream.said["call/1"] < 1000

    async def test_control_without_closing_the_upstream_goes_on(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.words, upstream.word_seconds = [" word"] * 200, 0.002
        pieces = backend.stream(call())
        await anext(pieces)
        assert not await asyncio.to_thread(upstream.gone.wait, 0.2)
        await pieces.aclose()

    @pytest.mark.parametrize(
        ("fault", "kept"),
        [
            (Fault(cut_after=4), 4),
            (Fault(error_after=4), 4),
            (Fault(garbage_after=4), 4),
            (Fault(done=False), 10),
        ],
    )
    async def test_a_fault_in_mid_stream_keeps_what_was_said(
        self, backend: OpenAIBackend, upstream: Upstream, fault: Fault, kept: int
    ) -> None:
        upstream.faults.append(fault)
        upstream.word_seconds = 0.002
        pieces, error = await read(backend.stream(call()))
        assert words(pieces) == "".join(upstream.words[:kept])
        assert pieces[-1].tokens_out == kept
        assert isinstance(error, Unavailable)
        assert error.error_code == "model_stream_broken"

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault(error_after=0), "model_unavailable"),
            (Fault(garbage_after=0), "model_protocol"),
            (Fault(cut_after=0), "model_stream_broken"),
            (Fault(whole="{}"), "model_protocol"),
            (Fault(status=429), "model_unavailable"),
            (Fault(status=400), "model_call_refused"),
        ],
    )
    async def test_a_fault_before_the_first_word(self, backend: OpenAIBackend, upstream: Upstream, fault: Fault, code: str) -> None:
        upstream.faults.append(fault)
        pieces, error = await read(backend.stream(call()))
        assert (pieces, error and error.error_code) == ([], code)

    async def test_a_deadline_ends_a_stream(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.words, upstream.word_seconds = [" word"] * 10_000, 0.01
        pieces, error = await read(backend.stream(call(deadline=0.3)))
        assert pieces
        assert error is not None
        assert error.error_code == "model_stream_broken"


class TestOthers:
    async def test_embeds_as_floats(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        answer = await backend.embed(call(kind="embeddings", input=["a", "bcd"], encoding_format="base64"))
        assert [item["embedding"][0] for item in answer.body["data"]] == [1.0, 3.0]  # type: ignore[union-attr, index, call-overload]
        assert (answer.usage, upstream.asked[0]["encoding_format"]) == (Usage(tokens_in=11), "float")
        upstream.tells_usage = False
        assert (await backend.embed(call(kind="embeddings", input="x" * 40))).usage == Usage(tokens_in=10, estimated=True)

    async def test_embeddings_of_another_number_are_refused(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        upstream.faults.append(Fault(whole='{"data": [{"embedding": [1.0]}]}'))
        with pytest.raises(EffectFailed) as caught:
            await backend.embed(call(kind="embeddings", input=["a", "b"]))
        assert caught.value.error_code == "model_protocol"

    async def test_transcribes(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        asked = Call(
            "c", "transcription", "whisper", {"language": "en", "timestamp_granularities": ["word"]}, 20, b"RIFF", "audio/mpeg; x=1"
        )
        answer = await backend.transcribe(asked)
        assert (answer.body["text"], answer.usage) == ("hello world", Usage(audio_seconds=3))
        assert upstream.asked[0] == {
            "model": "whisper",
            "language": "en",
            "timestamp_granularities[]": "word",
            "name": "audio.mp3",
            "type": "audio/mpeg",
        }
        upstream.tells_usage = False
        assert (await backend.transcribe(asked)).usage == Usage(audio_seconds=0.001, estimated=True)
        plain = Call("c", "transcription", "whisper", {"response_format": "text"}, 20, b"RIFF", "x\r\ny")
        assert (await backend.transcribe(plain)).body == {"text": "hello world"}

    async def test_speaks(self, backend: OpenAIBackend, upstream: Upstream) -> None:
        spoken = await backend.speak(call(kind="speech", input="Grüße", voice="alloy"))
        assert (spoken.data, spoken.media_type, spoken.usage) == (b"sound", "audio/mpeg", Usage(characters=5))
        upstream.faults.append(Fault(whole="{}"))
        with pytest.raises(EffectFailed):
            await backend.speak(call(kind="speech", input="x", voice="alloy"))

    async def test_recalls_what_a_call_used(self, backend: OpenAIBackend, upstream: Upstream, url: str) -> None:
        await backend.complete(call(identity="call/7"))
        assert await backend.usage_of("call/7") == WHOLE
        assert await backend.usage_of("call/8") is None
        silent = told(url)
        assert await silent.usage_of("call/7") is None
