"""Polly and Transcribe: what is said is counted, what was heard is removed."""

import io
import wave
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from factory_infra.errors import EffectFailed, InvalidInput, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import aws_speech
from factory_infra.saas.models.backends.aws_speech import AwsSpeechBackend
from factory_infra.saas.models.backends.spec import AwsSpeechSpec
from factory_infra.saas.models.calls import Call
from factory_infra.settings import Settings
from tests.emulators.aws_speech import Speech
from tests.emulators.serving import serving
from tests.factory_infra.saas.models.backends.calls import call

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("credentials")]


def sound(seconds: float) -> bytes:
    """Silence as WAV."""
    held = io.BytesIO()
    with wave.open(held, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(int(8000 * seconds) * 2))
    return held.getvalue()


@pytest_asyncio.fixture(scope="module")
async def opened(credentials: None) -> AsyncIterator[tuple[Speech, str, AwsSpeechBackend]]:
    state = Speech()
    with serving(state.app) as url:
        spec = AwsSpeechSpec(kind="aws_speech", name="aws", endpoint_url=url, bucket="speech", voices={"alloy": "Joanna"})
        backend = AwsSpeechBackend(spec, Settings(), None)
        yield state, url, backend
        await backend.close()


@pytest.fixture
def speech(opened: tuple[Speech, str, AwsSpeechBackend], monkeypatch: pytest.MonkeyPatch) -> Speech:
    monkeypatch.setattr(aws_speech, "POLL_SECONDS_FIRST", 0.01)
    vars(opened[0]).update(vars(Speech()))
    return opened[0]


@pytest.fixture
def url(opened: tuple[Speech, str, AwsSpeechBackend]) -> str:
    return opened[1]


@pytest.fixture
def backend(opened: tuple[Speech, str, AwsSpeechBackend], speech: Speech) -> AwsSpeechBackend:
    return opened[2]


def heard(**body: str) -> Call:
    return Call("c", "transcription", "transcribe", dict(body), 20, sound(2.5), "audio/wav")


async def test_polly_speaks_and_counts_characters(backend: AwsSpeechBackend, speech: Speech) -> None:
    spoken = await backend.speak(call("neural", kind="speech", input="Grüße", voice="alloy"))
    assert (spoken.data.decode(), spoken.media_type, spoken.usage) == ("Grüße", "audio/mpeg", Usage(characters=5))
    assert {key: speech.spoken[0][key] for key in ("VoiceId", "Engine", "OutputFormat")} == {
        "VoiceId": "Joanna",
        "Engine": "neural",
        "OutputFormat": "mp3",
    }
    with pytest.raises(InvalidInput, match="flac"):
        await backend.speak(call("neural", kind="speech", input="x", voice="alloy", response_format="flac"))


@pytest.mark.parametrize(
    ("told", "error"), [((400, "TextLengthExceededException"), InvalidInput), ((503, "ServiceFailureException"), Unavailable)]
)
async def test_polly_fails(backend: AwsSpeechBackend, speech: Speech, told: tuple[int, str], error: type[Exception]) -> None:
    speech.polly_error = told
    with pytest.raises(error):
        await backend.speak(call("neural", kind="speech", input="x", voice="Joanna"))


async def test_transcribe_by_a_job_and_nothing_stays_behind(backend: AwsSpeechBackend, speech: Speech) -> None:
    answer = await backend.transcribe(heard())
    assert answer.body == {"text": "hello world"}
    assert answer.usage == Usage(audio_seconds=2.5, estimated=True)
    assert speech.seen[0].startswith("speech/lineshaft/lineshaft-")
    assert (speech.objects, speech.jobs) == ({}, {})
    assert speech.started[0]["LanguageCode"] == "en-US"
    await backend.transcribe(heard(language="de"))
    assert speech.started[1]["IdentifyLanguage"] is True


async def test_a_job_that_fails_leaves_nothing_either(backend: AwsSpeechBackend, speech: Speech) -> None:
    speech.fails = "The media format is not supported."
    with pytest.raises(InvalidInput, match="media format"):
        await backend.transcribe(heard())
    assert (speech.objects, speech.jobs) == ({}, {})


async def test_a_job_without_end_is_given_up(backend: AwsSpeechBackend, speech: Speech) -> None:
    await backend.transcribe(heard())
    speech.polls = 1_000_000
    asked = heard()
    asked.deadline_seconds = 0.5
    with pytest.raises(Unavailable):
        await backend.transcribe(asked)
    assert speech.objects == {}


async def test_without_a_bucket_it_says_what_to_configure(url: str) -> None:
    backend = AwsSpeechBackend(AwsSpeechSpec(kind="aws_speech", endpoint_url=url), Settings(), None)
    assert "transcription" not in backend.abilities("transcribe").can
    with pytest.raises(InvalidInput, match="bucket") as caught:
        await backend.transcribe(heard())
    assert caught.value.error_code == "ability_missing"
    await backend.close()


async def test_no_credentials_are_a_refused_key(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    backend = AwsSpeechBackend(AwsSpeechSpec(kind="aws_speech", endpoint_url=url), Settings(), None)
    with pytest.raises(EffectFailed) as caught:
        await backend.speak(call("neural", kind="speech", input="x", voice="Joanna"))
    assert caught.value.error_code == "model_key_refused"
    await backend.close()
