"""Amazon Polly speaks; Amazon Transcribe writes down what lies in a bucket for as long as it takes."""

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import suppress

import orjson
from pydantic import JsonValue, SecretStr

from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends import faults
from factory_infra.saas.models.backends.abilities import abilities_of, ability_missing
from factory_infra.saas.models.backends.audio import file_type_of, seconds_of_audio
from factory_infra.saas.models.backends.aws import Aws
from factory_infra.saas.models.backends.spec import AwsSpeechSpec
from factory_infra.saas.models.calls import Abilities, Answer, Audio, Call
from factory_infra.settings import Settings

FORMATS = {"mp3": ("mp3", "audio/mpeg"), "opus": ("ogg_opus", "audio/ogg"), "pcm": ("pcm", "audio/pcm")}
ENGINES = frozenset({"standard", "neural", "long-form", "generative"})
POLL_SECONDS_FIRST = 0.5
POLL_SECONDS_MAX = 5.0
CLEAN_SECONDS = 10.0
NO_BUCKET = "Amazon Transcribe reads audio from a bucket, and this backend has none."


class AwsSpeechBackend:
    """The model is Polly's engine (`neural`, `standard`, …) for speech; for transcription its name is free, such as `transcribe`."""

    def __init__(self, spec: AwsSpeechSpec, settings: Settings, secret: SecretStr | None) -> None:
        del settings, secret
        self.name = spec.title
        self._spec = spec
        self._aws = Aws(self.name, spec)

    def abilities(self, model: str) -> Abilities:
        """Speech for Polly's engines; transcription for other names, where a bucket is configured."""
        if model in ENGINES:
            return self._spec.overridden(model, abilities_of("speech", context=3_000))
        return self._spec.overridden(model, abilities_of("transcription") if self._spec.bucket else abilities_of())

    async def close(self) -> None:
        """Give connections back."""
        await self._aws.close()

    async def speak(self, call: Call) -> Audio:
        """Say `body.input`. Polly counts the characters that it charges."""
        wanted = str(call.body.get("response_format") or "mp3")
        text, voice = str(call.body.get("input", "")), str(call.body.get("voice", ""))
        if wanted not in FORMATS:
            raise ability_missing(f"Polly makes no '{wanted}'.", remedy=f"Use {', '.join(FORMATS)}.")
        form, media_type = FORMATS[wanted]
        response = await self._aws.call(
            "polly",
            "synthesize_speech",
            call.deadline_seconds,
            Text=text,
            VoiceId=self._spec.voices.get(voice, voice),
            Engine=call.model,
            OutputFormat=form,
        )
        stream = response["AudioStream"]
        data = await self._aws.in_thread(lambda: bytes(stream.read()), call.deadline_seconds)  # type: ignore[attr-defined]
        counted = response.get("RequestCharacters")
        told = isinstance(counted, int)
        return Audio(data, media_type, Usage(characters=counted if isinstance(counted, int) else len(text), estimated=not told))

    async def transcribe(self, call: Call) -> Answer:
        """Transcribe `call.audio` by a job, whose audio and transcript are removed afterwards, whatever happens."""
        bucket = self._spec.bucket
        if bucket is None:
            raise ability_missing(NO_BUCKET, remedy="Set `bucket` for it in the gateway's file, and let it read and write there.")
        if call.body.get("response_format", "json") not in {"json", "text"}:
            raise ability_missing("Amazon Transcribe is asked for words alone here.", remedy="Use the response_format json or text.")
        job = f"lineshaft-{uuid.uuid4().hex}"
        _, suffix = file_type_of(call.audio_type)
        key, result = f"{self._spec.prefix}{job}{suffix}", f"{self._spec.prefix}{job}.json"
        try:
            async with asyncio.timeout(call.deadline_seconds):
                await self._aws.call("s3", "put_object", call.deadline_seconds, Bucket=bucket, Key=key, Body=call.audio)
                await self._start(call, job, f"s3://{bucket}/{key}", result)
                await self._finished(call, job)
                text = await self._text(call, bucket, result)
        except TimeoutError as error:
            raise faults.too_late(self.name, call.deadline_seconds) from error
        finally:
            await asyncio.shield(self._removed(job, bucket, key, result))
        seconds = seconds_of_audio(call.audio)
        return Answer({"text": text}, Usage(audio_seconds=seconds, estimated=True))

    async def _start(self, call: Call, job: str, media: str, result: str) -> None:
        language = call.body.get("language")
        spoken: dict[str, object] = {"LanguageCode": self._spec.language}
        if isinstance(language, str) and language:
            # OpenAI's shape names a language, Transcribe wants a region too: it chooses among those of the language by itself.
            spoken = {"LanguageCode": language} if "-" in language else {"IdentifyLanguage": True}
        await self._aws.call(
            "transcribe",
            "start_transcription_job",
            call.deadline_seconds,
            TranscriptionJobName=job,
            Media={"MediaFileUri": media},
            OutputBucketName=self._spec.bucket,
            OutputKey=result,
            **spoken,
        )

    async def _finished(self, call: Call, job: str) -> None:
        wait = POLL_SECONDS_FIRST
        while True:
            response = await self._aws.call("transcribe", "get_transcription_job", call.deadline_seconds, TranscriptionJobName=job)
            about = response.get("TranscriptionJob")
            state = about.get("TranscriptionJobStatus") if isinstance(about, Mapping) else None
            if state == "COMPLETED":
                return
            if state == "FAILED":
                why = about.get("FailureReason", "") if isinstance(about, Mapping) else ""
                raise faults.refused(self.name, faults.told(str(why)))
            await asyncio.sleep(wait)
            wait = min(wait * 1.5, POLL_SECONDS_MAX)

    async def _text(self, call: Call, bucket: str, result: str) -> str:
        response = await self._aws.call("s3", "get_object", call.deadline_seconds, Bucket=bucket, Key=result)
        stream = response["Body"]
        raw = await self._aws.in_thread(lambda: bytes(stream.read()), call.deadline_seconds)  # type: ignore[attr-defined]
        try:
            found: JsonValue = orjson.loads(raw)["results"]["transcripts"][0]["transcript"]
        except (orjson.JSONDecodeError, KeyError, IndexError, TypeError) as error:
            raise faults.not_the_protocol(self.name, "with what is no transcript") from error
        return str(found)

    async def _removed(self, job: str, bucket: str, *keys: str) -> None:
        """Nobody's speech stays behind. A removal that fails is left to the bucket's own rules of expiry."""
        with suppress(LineshaftError):
            await self._aws.call("transcribe", "delete_transcription_job", CLEAN_SECONDS, TranscriptionJobName=job)
        for key in keys:
            with suppress(LineshaftError):
                await self._aws.call("s3", "delete_object", CLEAN_SECONDS, Bucket=bucket, Key=key)
