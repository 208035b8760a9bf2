"""Speech: a form with a file is read in memory, a text is said, and what is no form is refused."""

from typing import Any

import httpx
import pytest

from factory_infra.saas.models.requests import TranscriptionRequest
from tests.api.gateway.house import KEY, Gate, gate

WAV = b"RIFF....WAVE"


@pytest.fixture
def doors() -> Gate:
    return gate(body_bytes_max=3_000_000)


async def transcribed(doors: Gate, data: dict[str, Any], file: bytes = WAV) -> httpx.Response:
    files = {"file": ("a.wav", file, "audio/wav")}
    return await doors.http.post("/v1/audio/transcriptions", data=data, files=files, headers={"x-api-key": KEY})


class TestTranscriptions:
    async def test_a_form_becomes_a_request(self, doors: Gate) -> None:
        doors.script.answer = {"text": "hello"}
        data: dict[str, Any] = {"model": "fast", "temperature": "0.5", "timestamp_granularities[]": ["word", "segment"], "stream": "false"}
        answer = await transcribed(doors, data, WAV + b"\x00\r\n--x" * 400_000)
        assert answer.json() == {"text": "hello"}
        request = doors.script.asked[0][1]
        assert (
            isinstance(request, TranscriptionRequest) and request.audio_type == "audio/wav" and len(request.audio) == len(WAV) + 2_400_000
        )
        granular = ["word", "segment"]
        assert request.sent == {"model": "fast", "temperature": 0.5, "timestamp_granularities": granular, "stream": False}

    @pytest.mark.parametrize("form", ["text", "srt", "vtt"])
    async def test_some_forms_are_no_json(self, doors: Gate, form: str) -> None:
        doors.script.answer = {"text": "hello\n"}
        answer = await transcribed(doors, {"model": "fast", "response_format": form})
        assert (answer.text, answer.headers["content-type"]) == ("hello\n", "text/plain; charset=utf-8")

    @pytest.mark.parametrize(
        ("data", "param"),
        [({}, "model"), ({"model": "fast", "api_base": "http://x"}, "api_base"), ({"model": "fast", "temperature": "hot"}, "temperature")],
    )
    async def test_a_field_that_is_wrong_is_named(self, doors: Gate, data: dict[str, Any], param: str) -> None:
        answer = await transcribed(doors, data)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)

    async def test_no_file_an_empty_one_and_no_form(self, doors: Gate) -> None:
        assert (await transcribed(doors, {"model": "fast"}, b"")).status_code == 400
        for kind, content in (
            ("application/json", b'{"model":"fast"}'),
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=x", b"--y\r\n"),
            ("multipart/form-data; boundary=x", b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nfast\r\n--x--\r\n'),
        ):
            headers = {"x-api-key": KEY, "content-type": kind}
            answer = await doors.http.post("/v1/audio/transcriptions", content=content, headers=headers)
            assert answer.status_code == 400, (kind, content)

    async def test_many_files_and_many_fields_are_refused(self, doors: Gate) -> None:
        files = [("file", ("a.wav", WAV, "audio/wav")), ("more", ("b.wav", WAV, "audio/wav"))]
        answer = await doors.http.post("/v1/audio/transcriptions", data={"model": "fast"}, files=files, headers={"x-api-key": KEY})
        assert answer.status_code == 400
        assert (await transcribed(doors, {f"f{number}": "x" for number in range(40)})).status_code == 400


class TestSpeech:
    async def test_a_text_is_said(self, doors: Gate) -> None:
        answer = await doors.post("/v1/audio/speech", {"model": "fast", "input": "hello", "voice": "alloy"})
        assert (answer.content, answer.headers["content-type"]) == (b"RIFF sound", "audio/wav")
        assert answer.headers["x-lineshaft-cost"] == "0.0012"

    @pytest.mark.parametrize("more", [{"input": "x" * 5000}, {"voice": None}, {"speed": 9}, {"stream_format": "sse"}])
    async def test_bad_input(self, doors: Gate, more: dict[str, object]) -> None:
        body = {"model": "fast", "input": "hello", "voice": "alloy", **more}
        assert (await doors.post("/v1/audio/speech", body)).status_code == 400
