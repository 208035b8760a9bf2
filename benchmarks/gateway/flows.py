"""How one attempt is answered by the scripted upstream: whole or streamed, token by token, and cut off where the caller leaves."""

import asyncio
import time
from typing import Protocol, cast

import orjson
from pydantic import JsonValue

from benchmarks.gateway.script import JsonObject, Made, Script
from benchmarks.gateway.wits import Reply, reply

STARTED = int(time.time())
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
BROKEN = b'data: {"error":{"message":"The model broke.","type":"server_error","param":null,"code":"model_broke"}}\n\n'
BATCH = 16
"""So many chunks are written in one turn of the loop where there is no pace."""


class Line(Protocol):
    """The connection that a flow answers on."""

    def send(self, data: bytes) -> None: ...

    def answer(self, status: int, body: bytes, kind: str = "application/json", more: str = "") -> None: ...

    def ended(self, *, close: bool = False) -> None: ...


def pieces(text: str, number: int) -> list[str]:
    """Cut a text into at most so many pieces, none empty: one token each."""
    words = text.split(" ")
    if len(words) >= number:
        return [word if index == 0 else " " + word for index, word in enumerate(words[: number - 1])] + [
            (" " if number > 1 else "") + " ".join(words[number - 1 :])
        ]
    size = max(1, -(-len(text) // max(1, number)))
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def deltas(answer: Reply, tokens: int) -> list[JsonObject]:
    """The answer as deltas of one token each."""
    if not answer.calls:
        return [{"content": piece} for piece in pieces(answer.text, tokens)]
    found: list[JsonObject] = []
    share = max(1, tokens // len(answer.calls))
    for index, (name, arguments) in enumerate(answer.calls):
        head = {"index": index, "id": f"call_{STARTED}_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        cut = [{"index": index, "function": {"arguments": piece}} for piece in pieces(arguments, max(1, share - 1))]
        found += [{"tool_calls": [cast(JsonObject, each)]} for each in (head, *cut)]
    return found


def logprobs(text: str) -> JsonObject:
    """Log probabilities of one token."""
    return {"content": [{"token": text, "logprob": -0.25, "bytes": list(text.encode()), "top_logprobs": []}], "refusal": None}


class Flow:
    """One attempt. `made` is raised as tokens come to be, whether or not anybody reads them."""

    def __init__(self, line: Line, name: str, body: JsonObject, script: Script, made: Made) -> None:
        self.line, self.body, self.script, self.made = line, body, script, made
        self.loop = asyncio.get_running_loop()
        self.id = f"chatcmpl-{name}"
        self.n = cast(int, body.get("n") or 1)
        answer = reply(body, script.out - script.reasoning)
        self.calls = bool(answer.calls)
        self.deltas = deltas(answer, max(1, script.out - script.reasoning))
        self.began, self.at, self.begun = 0.0, 0, False
        self.timer: asyncio.TimerHandle | None = None
        made.prompt, made.cached = script.prompt, min(script.cached, script.prompt)

    def start(self) -> None:
        """Begin when the first byte is due."""
        if self.script.first_seconds:
            self.timer = self.loop.call_later(self.script.first_seconds, self.begin)
        else:
            self.begin()

    def begin(self) -> None:
        """Reasoning comes first and is not shown."""
        self.began, self.begun = self.loop.time(), True
        self.made.reasoning = min(self.script.reasoning, self.script.out) * self.n
        self.made.out = self.made.reasoning

    def left(self) -> None:
        """The caller went away: what was not produced by now never is."""
        if self.timer is not None:
            self.timer.cancel()
        self.finish("left")

    def finish(self, end: str) -> None:
        """The attempt is over."""
        if not self.made.final:
            self.made.final, self.made.end = True, end


class Whole(Flow):
    """An answer in one piece, after the time that its tokens take."""

    def begin(self) -> None:
        super().begin()
        tokens = self.script.fault_at if self.script.fault == "cut" else len(self.deltas)
        self.timer = self.loop.call_later(tokens * self.script.pace_seconds, self.done, min(tokens, len(self.deltas)))

    def left(self) -> None:
        """Tokens are produced by the clock."""
        if self.begun and not self.made.final and self.script.pace_seconds:
            gone = int((self.loop.time() - self.began) / self.script.pace_seconds)
            self.made.out += min(gone, len(self.deltas)) * self.n
        super().left()

    def done(self, tokens: int) -> None:
        """Answer, or break as the script says."""
        self.made.out += tokens * self.n
        fault = self.script.fault
        self.finish(fault or "done")
        if fault == "cut":
            self.line.ended(close=True)
        elif fault == "garbled":
            self.line.answer(200, b"<html>model out of order</html>", "text/html")
        else:
            self.line.answer(200, orjson.dumps(self.completion()))

    def completion(self) -> JsonObject:
        """OpenAI's chat completion."""
        text = "".join(cast(str, each.get("content", "")) for each in self.deltas)
        message: JsonObject = {"role": "assistant", "content": None if self.calls else text, "refusal": None}
        if self.calls:
            message["tool_calls"] = list(self.joined().values())
        choice: JsonObject = {"message": message, "finish_reason": "tool_calls" if self.calls else "stop"}
        choice["logprobs"] = logprobs(text[:8]) if self.body.get("logprobs") else None
        found: JsonObject = {
            "id": self.id,
            "object": "chat.completion",
            "created": STARTED,
            "model": cast(str, self.body.get("model")),
            "choices": [{"index": index, **choice} for index in range(self.n)],
        }
        if self.script.fault != "silent":
            found["usage"] = self.made.usage()
        return found

    def joined(self) -> dict[int, JsonObject]:
        """The calls of tools, put together from their deltas."""
        found: dict[int, JsonObject] = {}
        for each in self.deltas:
            call = cast(list[JsonObject], each["tool_calls"])[0]
            index, said = cast(int, call["index"]), cast(JsonObject, call["function"])
            if index not in found:
                found[index] = {"id": call["id"], "type": "function", "function": {"name": said["name"], "arguments": ""}}
            function = cast(JsonObject, found[index]["function"])
            function["arguments"] = cast(str, function["arguments"]) + cast(str, said["arguments"])
        return found


class Stream(Flow):
    """An answer token by token, each counted when it is written."""

    def begin(self) -> None:
        super().begin()
        options = cast(JsonObject, self.body.get("stream_options") or {})
        self.usage, self.running = bool(options.get("include_usage")), bool(options.get("continuous_usage_stats"))
        self.line.send(SSE_HEAD + self.chunk([self.choice({"role": "assistant", "content": None if self.calls else ""})]))
        self.step()

    def step(self) -> None:
        """Write what is due; without a pace a batch at a time."""
        turns = 1 if self.script.pace_seconds else BATCH
        written = b""
        for _ in range(turns):
            if self.broken(written):
                return
            if self.at >= len(self.deltas):
                self.done(written)
                return
            written += self.some()
        self.line.send(written)
        due = self.began + (self.at // self.script.per_chunk) * self.script.pace_seconds
        self.timer = self.loop.call_at(due, self.step)

    def some(self) -> bytes:
        """One chunk of a few tokens, for each choice."""
        until = min(self.at + self.script.per_chunk, len(self.deltas))
        if self.script.fault in ("cut", "error"):
            until = min(until, max(self.at + 1, self.script.fault_at))
        part, count = self.deltas[self.at : until], until - self.at
        self.at = until
        self.made.out += count * self.n
        if "content" in part[0]:
            part = [{"content": "".join(cast(str, each["content"]) for each in part)}]
        return b"".join(self.chunk([self.choice(each, index=index)]) for each in part for index in range(self.n))

    def broken(self, written: bytes) -> bool:
        """Break here where the script says so."""
        fault = self.script.fault
        if fault not in ("cut", "error") or self.at < self.script.fault_at:
            return False
        self.finish(fault)
        self.line.send(written + (framed(BROKEN) if fault == "error" else b""))
        self.line.ended(close=True)
        return True

    def done(self, written: bytes) -> None:
        """The last words: why it ended, and what it used."""
        self.finish(self.script.fault or "done")
        reason = "tool_calls" if self.calls else "stop"
        written += b"".join(self.chunk([self.choice({}, reason, index)]) for index in range(self.n))
        if self.usage and self.script.fault != "silent":
            written += self.chunk([], self.made.usage())
        self.line.send(written + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        self.line.ended()

    def choice(self, delta: JsonObject, reason: str | None = None, index: int = 0) -> JsonObject:
        """One choice of a chunk."""
        told = logprobs(str(delta["content"])) if self.body.get("logprobs") and delta.get("content") else None
        return {"index": index, "delta": delta, "logprobs": told, "finish_reason": reason}

    def chunk(self, choices: list[JsonValue], usage: JsonObject | None = None) -> bytes:
        """OpenAI's chunk as an event, framed for the wire."""
        body: JsonObject = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": STARTED,
            "model": cast(str, self.body.get("model")),
            "choices": choices,
        }
        if self.usage and self.script.fault != "silent":
            body["usage"] = usage or (self.made.usage() if self.running else None)
        return framed(b"data: " + orjson.dumps(body) + b"\n\n")


def framed(data: bytes) -> bytes:
    """One frame of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)
