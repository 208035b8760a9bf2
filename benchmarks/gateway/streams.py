"""Many streams side by side, each at a pace: how long a client waits beyond it. python -m benchmarks.gateway.streams URL KEY"""

import argparse
import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.gateway.ground import figures
from benchmarks.gateway.load import scripted

STREAMS, TOKENS, PACE_SECONDS = 200, 300, 0.02
RAMP_SECONDS = 1.0
SECONDS_MAX = 120.0
CONTENT = b'"content":"'
END = b"data: [DONE]"


@dataclass(frozen=True)
class Stalls:
    """Waits beyond the pace, in milliseconds."""

    streams: int
    whole: int
    """Streams that came to their end with every token."""
    tokens: int
    p50: float
    p99: float
    worst_p99: float
    """Of the longest wait of each stream."""
    worst: float
    seconds: float
    """How long a stream took, in the middle."""


class Reader(asyncio.Protocol):
    """One stream: when each piece came."""

    def __init__(self, request: bytes, ended: asyncio.Future[None]) -> None:
        self.request, self.ended = request, ended
        self.came: list[float] = []
        self.tokens = 0
        self.whole = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        number = data.count(CONTENT)
        if number:
            self.came.append(time.perf_counter())
            self.tokens += number
        if END in data:
            self.whole = True
            self.transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def waits(self) -> list[float]:
        """Between pieces, beyond the pace, in milliseconds."""
        return [max(0.0, later - earlier - PACE_SECONDS) * 1e3 for earlier, later in zip(self.came, self.came[1:], strict=False)]


def request(url: str, key: str, number: int, tokens: int) -> bytes:
    """One streamed call at the pace."""
    address = urlsplit(url)
    text = scripted(f"stream {number}", prompt=20, out=tokens, pace_seconds=PACE_SECONDS)
    body = json.dumps({"model": "fast", "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": text}]})
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    )
    return f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()


async def read(url: str, key: str, streams: int, tokens: int) -> Stalls:
    """Open all streams within a second and read them to their ends."""
    loop, address = asyncio.get_running_loop(), urlsplit(url)
    readers: list[Reader] = []
    for number in range(streams):
        reader = Reader(request(url, key, number, tokens), loop.create_future())
        readers.append(reader)
        await loop.create_connection(lambda reader=reader: reader, str(address.hostname), address.port or 80)  # type: ignore[misc]  # a default argument
        await asyncio.sleep(RAMP_SECONDS / streams)
    async with asyncio.timeout(SECONDS_MAX):
        await asyncio.gather(*(reader.ended for reader in readers))
    each = [reader.waits() for reader in readers]
    p50, p99 = figures([wait for waits in each for wait in waits], 0.5, 0.99)
    longest = [max(waits, default=0.0) for waits in each]
    worst_p99, worst = figures(longest, 0.99, 1.0)
    whole = sum(reader.whole and reader.tokens >= tokens for reader in readers)
    took = figures([reader.came[-1] - reader.came[0] for reader in readers if reader.came], 0.5)[0]
    return Stalls(streams, whole, sum(reader.tokens for reader in readers), p50, p99, worst_p99, worst, took)


def main() -> None:
    """Read, and print the figures as JSON."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("url")
    reader.add_argument("key")
    reader.add_argument("--streams", type=int, default=STREAMS)
    reader.add_argument("--tokens", type=int, default=TOKENS)
    given = reader.parse_args()
    print(json.dumps(asdict(uvloop.run(read(given.url, given.key, given.streams, given.tokens)))))


if __name__ == "__main__":
    main()
