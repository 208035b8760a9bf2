"""Amazon Polly, Amazon Transcribe and as much of S3 as the latter needs, behind one address."""

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Speech:
    """Polly says a text as its own bytes; Transcribe hears `transcript` in everything, after `polls` questions."""

    transcript: str = "hello world"
    polls: int = 1
    fails: str = ""
    polly_error: tuple[int, str] | None = None
    objects: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """The objects that were ever put."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    started: list[dict[str, Any]] = field(default_factory=list)
    spoken: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> web.Application:
        """The server."""
        app = web.Application(client_max_size=64_000_000)
        app.router.add_post("/v1/speech", self._speak)
        app.router.add_post("/", self._transcribe)
        app.router.add_route("*", "/{bucket}/{key:.+}", self._object)
        return app

    async def _speak(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.spoken.append(body)
        if self.polly_error is not None:
            status, code = self.polly_error
            return web.json_response({"message": "no"}, status=status, headers={"x-amzn-ErrorType": code})
        text = body["Text"].encode()
        return web.Response(body=text, content_type="audio/mpeg", headers={"x-amzn-RequestCharacters": str(len(body["Text"]))})

    async def _object(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['bucket']}/{request.match_info['key']}"
        if request.method == "PUT":
            self.objects[name] = unchunked(await request.read(), request.headers.get("x-amz-content-sha256", ""))
            self.seen.append(name)
            return web.Response()
        if request.method == "DELETE":
            self.objects.pop(name, None)
            return web.Response(status=204)
        if name not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>", content_type="application/xml")
        return web.Response(body=self.objects[name])

    async def _transcribe(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        name, operation = body["TranscriptionJobName"], request.headers["X-Amz-Target"].removeprefix("Transcribe.")
        if operation == "DeleteTranscriptionJob":
            self.jobs.pop(name, None)
            return told({})
        if operation == "StartTranscriptionJob":
            self.started.append(body)
            self.jobs[name] = {"TranscriptionJobName": name, "TranscriptionJobStatus": "IN_PROGRESS", "polls": 0} | body
        job = self.jobs[name]
        if operation == "GetTranscriptionJob":
            self._advance(job)
        shown = {key: job[key] for key in ("TranscriptionJobName", "TranscriptionJobStatus", "FailureReason") if key in job}
        return told({"TranscriptionJob": shown})

    def _advance(self, job: dict[str, Any]) -> None:
        job["polls"] += 1
        if job["polls"] <= self.polls:
            return
        if self.fails:
            job |= {"TranscriptionJobStatus": "FAILED", "FailureReason": self.fails}
            return
        job["TranscriptionJobStatus"] = "COMPLETED"
        result = {"results": {"transcripts": [{"transcript": self.transcript}]}}
        self.objects[f"{job['OutputBucketName']}/{job['OutputKey']}"] = json.dumps(result).encode()


def told(body: dict[str, Any]) -> web.Response:
    """An answer in AWS's JSON."""
    return web.json_response(body, content_type="application/x-amz-json-1.1")


def unchunked(raw: bytes, signature: str) -> bytes:
    """The object in a body that is sent in signed or trailed chunks; the body itself where it is not."""
    if not signature.startswith("STREAMING"):
        return raw
    data = b""
    while raw:
        line, _, raw = raw.partition(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            break
        data, raw = data + raw[:size], raw[size + 2 :]
    return data
