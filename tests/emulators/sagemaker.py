"""SageMaker's runtime with a container behind it that speaks OpenAI's chat shape."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.emulators.event_stream import frame


@dataclass
class SageMaker:
    """Endpoints of any name. A stream is cut into parts of `part_bytes`, wherever an event may end."""

    words: list[str] = field(default_factory=lambda: ["The", " sky", " is", " blue", "."])
    part_bytes: int = 37
    error: tuple[int, str, dict[str, Any]] | None = None
    """Status, code and body of an error in place of an answer."""
    breaks_after: int | None = None
    """After so many parts the stream ends in an error frame."""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def app(self) -> web.Application:
        """The server."""
        app = web.Application()
        app.router.add_post("/endpoints/{name}/invocations", self._whole)
        app.router.add_post("/endpoints/{name}/invocations-response-stream", self._stream)
        return app

    @property
    def usage(self) -> dict[str, int]:
        """What each call uses."""
        return {"prompt_tokens": 9, "completion_tokens": len(self.words), "total_tokens": 9 + len(self.words)}

    async def _whole(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append((request.match_info["name"], body))
        if self.error is not None:
            status, code, told = self.error
            return web.json_response(told, status=status, headers={"x-amzn-ErrorType": code})
        choice = {"index": 0, "message": {"role": "assistant", "content": "".join(self.words)}, "finish_reason": "stop"}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": self.usage}
        return web.json_response(answer)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.match_info["name"], await request.json()))
        response = web.StreamResponse(headers={"Content-Type": "application/vnd.amazon.eventstream"})
        await response.prepare(request)
        raw = "".join(f"data: {event}\n\n" for event in self._events()).encode()
        try:
            for number, start in enumerate(range(0, len(raw), self.part_bytes)):
                if self.breaks_after == number:
                    told = {"Message": "the container died", "ErrorCode": "ModelInvocationTimeExceeded"}
                    await response.write(frame("ModelStreamError", told, exception=True))
                    return response
                await response.write(frame("PayloadPart", raw[start : start + self.part_bytes]))
        except ConnectionError:
            self.gone.set()
        return response

    def _events(self) -> list[str]:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        deltas: list[tuple[dict[str, str], str | None]] = [({"content": word}, None) for word in self.words]
        chunks = [head | {"choices": [{"index": 0, "delta": d, "finish_reason": f}]} for d, f in [*deltas, ({}, "stop")]]
        return [json.dumps(chunk) for chunk in [*chunks, head | {"choices": [], "usage": self.usage}]] + ["[DONE]"]
