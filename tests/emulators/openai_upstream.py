"""An OpenAI-compatible server that knows what it said to the token, and breaks in every way that it is told to."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

WORDS = ["The", " sky", " is", " blue", " and", " the", " grass", " is", " green", "."]


@dataclass
class Fault:
    """How the next call goes wrong, or differs. The first one in the list is used up by the next call."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"error": {"message": "no", "type": "x", "code": null}}'
    cut_after: int | None = None
    """The connection breaks off after so many words."""
    error_after: int | None = None
    """An error object comes after so many words."""
    garbage_after: int | None = None
    done: bool = True
    """Whether the end of the stream is told."""
    hang: bool = False
    """Nothing is ever answered."""
    whole: str | None = None
    """This text in place of a whole answer."""
    media_type: str = "application/json"


@dataclass
class Upstream:
    """The server's state: what it shall say, what it was asked, and what it has said."""

    words: list[str] = field(default_factory=lambda: list(WORDS))
    tokens_in: int = 11
    tokens_cached: int = 4
    tokens_reasoning: int = 2
    tells_usage: bool = True
    word_seconds: float = 0.0
    split_bytes: int = 0
    """Writes of so many bytes, wherever an event may end; 0 writes whole events."""
    line_end: str = "\n"
    faults: list[Fault] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, int] = field(default_factory=dict)
    """Tokens by call, as far as they were sent."""
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when a client left in mid-stream."""

    def app(self) -> web.Application:
        """The server."""
        app = web.Application(client_max_size=64_000_000)
        app.add_routes(
            [
                web.post("/v1/chat/completions", self._chat),
                web.post("/v1/embeddings", self._embeddings),
                web.post("/v1/audio/transcriptions", self._transcriptions),
                web.post("/v1/audio/speech", self._speech),
                web.get("/v1/usage/{call:.+}", self._usage),
            ]
        )
        return app

    def usage(self, words: int) -> dict[str, Any]:
        """The usage after so many words."""
        return {
            "prompt_tokens": self.tokens_in,
            "completion_tokens": words,
            "total_tokens": self.tokens_in + words,
            "prompt_tokens_details": {"cached_tokens": self.tokens_cached},
            "completion_tokens_details": {"reasoning_tokens": min(self.tokens_reasoning, words)},
        }

    async def _asked(self, request: web.Request) -> tuple[dict[str, Any], Fault, web.Response | None]:
        body = await request.json() if request.content_type == "application/json" else {}
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        fault = self.faults.pop(0) if self.faults else Fault()
        if fault.hang:
            await asyncio.sleep(3600)
        refusal = None
        if fault.status != 200 or fault.whole is not None:
            text = fault.body if fault.whole is None else fault.whole
            refusal = web.Response(status=fault.status, text=text, headers=fault.headers, content_type=fault.media_type)
        return body, fault, refusal

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body, fault, refusal = await self._asked(request)
        if refusal is not None:
            return refusal
        call = request.headers.get("x-request-id", "")
        if body.get("stream"):
            return await self._stream(request, body, fault, call)
        self.said[call] = len(self.words)
        message = {"role": "assistant", "content": "".join(self.words)}
        answer: dict[str, Any] = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        answer["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
        if self.tells_usage:
            answer["usage"] = self.usage(len(self.words))
        return web.json_response(answer)

    async def _stream(self, request: web.Request, body: dict[str, Any], fault: Fault, call: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        options = body.get("stream_options") or {}
        self.said[call] = 0
        try:
            for number, word in enumerate(self.words):
                if fault.cut_after == number:
                    assert request.transport is not None
                    request.transport.close()
                    return response
                if fault.error_after == number:
                    await self._event(response, json.dumps({"error": {"message": "the engine died", "code": 500}}))
                    return response
                if fault.garbage_after == number:
                    await self._event(response, "<html>")
                    return response
                chunk = self._chunk(body, {"content": word})
                if options.get("continuous_usage_stats"):
                    chunk["usage"] = self.usage(number + 1)
                self.said[call] = number + 1
                await self._event(response, json.dumps(chunk))
                await asyncio.sleep(self.word_seconds)
            await self._event(response, json.dumps(self._chunk(body, {}, "stop")))
            if self.tells_usage and options.get("include_usage"):
                await self._event(response, json.dumps(self._chunk(body, None) | {"usage": self.usage(len(self.words))}))
            if fault.done:
                await self._event(response, "[DONE]")
        except ConnectionError:
            self.gone.set()
        return response

    def _chunk(self, body: dict[str, Any], delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices}

    async def _event(self, response: web.StreamResponse, data: str) -> None:
        raw = f": alive{self.line_end}data: {data}{self.line_end}{self.line_end}".encode()
        size = self.split_bytes or len(raw)
        for start in range(0, len(raw), size):
            await response.write(raw[start : start + size])

    async def _embeddings(self, request: web.Request) -> web.Response:
        body, _, refusal = await self._asked(request)
        if refusal is not None:
            return refusal
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        data = [{"object": "embedding", "index": index, "embedding": [float(len(text)), 0.5]} for index, text in enumerate(texts)]
        usage = {"prompt_tokens": self.tokens_in, "total_tokens": self.tokens_in}
        return web.json_response({"object": "list", "model": body["model"], "data": data, "usage": usage if self.tells_usage else None})

    async def _transcriptions(self, request: web.Request) -> web.Response:
        form = await request.post()
        sound = form["file"]
        assert isinstance(sound, web.FileField)
        fields = {name: value for name, value in form.items() if name != "file"}
        self.asked.append(fields | {"name": sound.filename, "type": sound.content_type})
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if form.get("response_format") == "text":
            return web.Response(text="hello world")
        usage = {"type": "duration", "seconds": 3} if self.tells_usage else None
        return web.json_response({"text": "hello world", "usage": usage})

    async def _speech(self, request: web.Request) -> web.Response:
        _, _, refusal = await self._asked(request)
        return refusal or web.Response(body=b"sound", content_type="audio/mpeg")

    async def _usage(self, request: web.Request) -> web.Response:
        call = request.match_info["call"]
        if call not in self.said:
            return web.json_response({"error": {"message": "unknown"}}, status=404)
        return web.json_response({"usage": self.usage(self.said[call]), "final": True})
