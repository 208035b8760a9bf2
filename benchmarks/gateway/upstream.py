"""A scripted OpenAI-compatible upstream that knows the truth: python -m benchmarks.gateway.upstream --seed 7 --faults 0.1

It tells its port on the first line that it prints, and keeps for each `x-request-id` what it truly produced:
GET /v1/usage/{id} tells one ({usage, final}), GET /truth all, GET /heard the last requests, POST /reset forgets.
"""

import argparse
import asyncio
import io
import wave
from collections import Counter, deque
from dataclasses import asdict
from typing import cast
from urllib.parse import unquote

import orjson
import uvloop

from benchmarks.gateway.flows import STARTED, Flow, Stream, Whole
from benchmarks.gateway.script import JsonObject, Made, decide

CANNED_USAGE = b'{"prompt_tokens":20,"completion_tokens":10,"total_tokens":30}'
CANNED = (
    b'{"id":"chatcmpl-canned","object":"chat.completion","created":1,"model":"fast","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"one two three four five six seven eight nine ten"},"logprobs":null,"finish_reason":"stop"}],"usage":' + CANNED_USAGE + b"}"
)
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
CANNED_WHOLE = PLAIN % (len(CANNED), CANNED)
REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
HEARD_MAX = 500
DIMENSIONS = 8


class World:
    """What all connections share."""

    def __init__(self, seed: int, faults: float, *, canned: bool = False) -> None:
        self.seed, self.faults, self.canned = seed, faults, canned
        self.down = False
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.made: dict[str, Made] = {}
        self.tries: Counter[bytes] = Counter()
        self.doubled: list[str] = []
        self.heard: deque[JsonObject] = deque(maxlen=HEARD_MAX)
        self.nameless = 0
        self.closed: set[str] = set()
        """Whose usage was asked for before they came: they will not come any more."""

    def made_for(self, name: str) -> Made:
        """A new account of an attempt; a name that comes twice is told."""
        if not name:
            self.nameless += 1
            name = f"nameless-{self.nameless}"
        if name in self.made:
            self.doubled.append(name)
        self.made[name] = Made()
        return self.made[name]


class Door(asyncio.Protocol):
    """One connection: one request after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.data = b""
        self.need = 0
        self.parts: list[bytes] = []
        self.flow: Flow | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.flow is not None:
            self.flow.left()
            self.flow = None

    def send(self, data: bytes) -> None:
        """Write to the caller."""
        self.transport.write(data)

    def answer(self, status: int, body: bytes, kind: str = "application/json", more: str = "") -> None:
        """A whole answer; the connection stays."""
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
        self.transport.write(head.encode() + body)
        self.ended()

    def ended(self, *, close: bool = False) -> None:
        """The request is answered; the next one may come, or the connection ends once all is written."""
        self.flow = None
        if close:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        if len(data) < self.need:  # the rest of a long body: it is put together once
            self.parts.append(data)
            self.need -= len(data)
            return
        self.data, self.parts, self.need = self.data + b"".join(self.parts) + data, [], 0
        while self.data:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            if not found:
                return
            body, size = whole_body(head.lower(), rest)
            if body is None:
                self.need = size
                return
            self.data = rest[size:]
            self.asked(head, body)

    def asked(self, head: bytes, body: bytes) -> None:
        """One request."""
        if self.world.canned and head.startswith(b"POST /v1/chat") and b'"stream":true' not in body.replace(b" ", b""):
            self.transport.write(CANNED_WHOLE)
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if method == "POST" and path.endswith(("/chat/completions", "/embeddings", "/audio/speech", "/audio/transcriptions")):
            self.model(path, headers, body)
        else:
            self.told(method, path, body)

    def model(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """A call of a model."""
        name = headers.get("x-request-id", "")
        multipart = "multipart" in headers.get("content-type", "")
        said = {} if multipart else cast(JsonObject, orjson.loads(body))
        self.world.heard.append({"path": path, "headers": cast(JsonObject, headers), "body": said})
        made = self.world.made_for(name)
        if self.world.down:
            self.refuse(made, 503, "down")
        elif name in self.world.closed:  # it lay in the socket while its usage was asked for
            self.refuse(made, 503, "left")
        elif path.endswith("/chat/completions"):
            self.chat(name, said, made)
        else:
            other(self, path, said, made)

    def chat(self, name: str, body: JsonObject, made: Made) -> None:
        """A chat call, as its script says."""
        key = orjson.dumps(body.get("messages"))
        script = decide(self.world.seed, body, self.world.tries[key], self.world.faults)
        self.world.tries[key] += 1
        streamed = bool(body.get("stream"))
        if script.fault == "refuse" or (script.fault == "error" and not streamed):
            self.refuse(made, 503, script.fault)
        elif script.fault == "throttle":
            self.refuse(made, 429, script.fault, "retry-after: 1\r\n")
        else:
            self.flow = (Stream if streamed else Whole)(self, name, body, script, made)
            self.flow.start()

    def refuse(self, made: Made, status: int, end: str, more: str = "") -> None:
        """Refuse before anything was produced."""
        made.final, made.end = True, end
        self.answer(
            status, orjson.dumps({"error": {"message": f"No: {end}.", "type": "server_error", "param": None, "code": end}}), more=more
        )

    def told(self, method: str, path: str, body: bytes) -> None:
        """What it knows of itself."""
        world = self.world
        match method, path:
            case "GET", "/v1/models":
                models = [{"id": name, "object": "model", "created": STARTED, "owned_by": "script"} for name in ("fast", "script")]
                self.answer(200, orjson.dumps({"object": "list", "data": models}))
            case "GET", "/truth":
                made = {name: asdict(each) for name, each in world.made.items()}
                self.answer(200, orjson.dumps({"made": made, "doubled": world.doubled, "nameless": world.nameless}))
            case "GET", "/heard":
                self.answer(200, orjson.dumps(list(world.heard)))
            case "POST", "/reset":
                world.forget()
                self.answer(200, b"{}")
            case "POST", "/set":
                given = cast(JsonObject, orjson.loads(body))
                world.down, world.faults = bool(given.get("down", world.down)), float(cast(float, given.get("faults", world.faults)))
                self.answer(200, b"{}")
            case "GET", _ if path.startswith("/v1/usage/"):
                self.usage(unquote(path.removeprefix("/v1/usage/").partition("?")[0]))
            case _:
                self.answer(
                    404, b'{"error":{"message":"Nothing is here.","type":"invalid_request_error","param":null,"code":"unknown_path"}}'
                )

    def usage(self, name: str) -> None:
        """What one attempt used; one that never came used nothing, and never will."""
        made = self.world.made.get(name)
        if made is None:
            made = Made(final=True)
            self.world.closed.add(name)
        self.answer(200, orjson.dumps({"id": name, "usage": made.usage(), "final": made.final}))


def other(door: Door, path: str, body: JsonObject, made: Made) -> None:
    """Embeddings and speech: canned, and counted."""
    made.final, made.end = True, "done"
    if path.endswith("/embeddings"):
        given = body.get("input")
        rows = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
        made.prompt = sum(max(1, len(str(each)) // 4) for each in rows)
        data = [{"object": "embedding", "index": index, "embedding": [0.1 * (index + 1)] * DIMENSIONS} for index in range(len(rows))]
        used = {"prompt_tokens": made.prompt, "total_tokens": made.prompt}
        door.answer(200, orjson.dumps({"object": "list", "data": data, "model": body.get("model"), "usage": used}))
    elif path.endswith("/speech"):
        door.answer(200, silence(), "audio/wav")
    else:
        made.prompt, made.out = 14, 6
        told: JsonObject = {"type": "tokens", "input_tokens": 14, "output_tokens": 6, "total_tokens": 20}
        door.answer(200, orjson.dumps({"text": "the line turns every machine", "usage": told}))


def silence(seconds: float = 0.25) -> bytes:
    """A WAV file in which nothing is said."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(b"\0\0" * int(16_000 * seconds))
    return file.getvalue()


def whole_body(head: bytes, rest: bytes) -> tuple[bytes | None, int]:
    """The body of a request and how many bytes it takes on the wire; while it is not all here None, and how many are missing at least."""
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        end = head.find(b"\r\n", at + 2)
        length = int(head[at + 17 : end if end >= 0 else None])
        return (rest[:length], length) if len(rest) >= length else (None, length - len(rest))
    if b"\r\ntransfer-encoding: chunked" not in head:
        return b"", 0
    body, place = b"", 0
    while (line := rest.find(b"\r\n", place)) >= 0:
        size = int(rest[place:line].split(b";")[0], 16)
        if len(rest) < line + 2 + size + 2:
            break
        body += rest[line + 2 : line + 2 + size]
        place = line + 2 + size + 2
        if size == 0:
            return body, place
    return None, 1


async def serve(world: World, port: int) -> None:
    """Listen on the loopback until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Door(world), "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--port", type=int, default=0)
    reader.add_argument("--seed", type=int, default=7)
    reader.add_argument("--faults", type=float, default=0.0, help="The share of attempts that meet a fault.")
    reader.add_argument("--canned", action="store_true", help="Answer whole chat calls at once with fixed bytes.")
    given = reader.parse_args()
    uvloop.run(serve(World(given.seed, given.faults, canned=given.canned), given.port))


if __name__ == "__main__":
    main()
