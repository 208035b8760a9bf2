"""How many calls a second, and how long each takes: wrk where it is, else a plain client of our own."""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop

from benchmarks.gateway.ground import figures
from benchmarks.line.shell import ROOT

QUESTION = "In the first factories one engine turned one long shaft, and every machine took its power from that line. " * 2
BODY = json.dumps({"model": "fast", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64})
SCRIPT = """
math.randomseed({start})
local keys = {{}}
for line in io.lines("{keys}") do keys[#keys + 1] = line end
local body = [==[{body}]==]
request = function()
  local key = keys[math.random(#keys)]
  return wrk.format("POST", nil, {{["authorization"] = "Bearer " .. key, ["content-type"] = "application/json"}}, body)
end
done = function(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format('RESULT {{"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"failed":%d}}\\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, failed))
end
"""


@dataclass(frozen=True)
class Pace:
    """What came of so many seconds; milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        """Answered requests a second."""
        return (self.requests - self.failed) / self.seconds


def hammer(url: str, keys: list[str], connections: int, seconds: float) -> Pace:
    """Call as quickly as so many connections can, each call with a key at random."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "keys"
        listed.write_text("\n".join(keys) + "\n")
        script = Path(folder) / "post.lua"
        script.write_text(SCRIPT.format(keys=listed, body=BODY, start=connections))
        target = f"{url}/v1/chat/completions"
        own = [sys.executable, "-m", "benchmarks.gateway.hammer", target, str(listed), f"-c{connections}", f"-d{seconds:.0f}"]
        wrk = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "30s", "-s", str(script), target]
        done = subprocess.run(
            wrk if shutil.which("wrk") else own, cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds + 60
        )
    told = re.search(r"RESULT (\{.*\})", done.stdout)
    assert told is not None, done.stdout + done.stderr
    return Pace(**json.loads(told[1]))


class Caller(asyncio.Protocol):
    """One connection of our own client: one call after the other until the time is over."""

    def __init__(self, requests: list[bytes], deadline: float, taken: list[float], ended: asyncio.Future[int]) -> None:
        self.requests, self.deadline, self.taken, self.ended = requests, deadline, taken, ended
        self.data, self.failed, self.count = b"", 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.next()

    def next(self) -> None:
        """Send the next call, or leave."""
        if time.perf_counter() > self.deadline:
            self.transport.close()
            return
        self.count += 1
        self.began = time.perf_counter()
        self.transport.write(self.requests[self.count % len(self.requests)])

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, rest = self.data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if found and length is not None and len(rest) >= int(length[1]):
            self.taken.append((time.perf_counter() - self.began) * 1e3)
            self.failed += not head.startswith(b"HTTP/1.1 200")
            self.data = b""
            self.next()

    def connection_lost(self, _error: Exception | None) -> None:
        self.failed += bool(self.data)
        if not self.ended.done():
            self.ended.set_result(self.failed)


async def measure(url: str, keys: list[str], connections: int, seconds: float) -> Pace:
    """Our own client, all connections in one loop."""
    loop, address, taken = asyncio.get_running_loop(), urlsplit(url), list[float]()
    heads = [f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: Bearer {key}\r\n" for key in keys[:1000]]
    requests = [f"{head}content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n{BODY}".encode() for head in heads]
    began = time.perf_counter()
    ended = [loop.create_future() for _ in range(connections)]
    for future in ended:
        made = Caller(requests, began + seconds, taken, future)
        await loop.create_connection(lambda made=made: made, str(address.hostname), address.port or 80)  # type: ignore[misc]  # a default argument
    failed = sum(await asyncio.gather(*ended))
    p50, p99 = figures(taken, 0.5, 0.99)
    return Pace(len(taken), time.perf_counter() - began, p50, p99, failed)


def main() -> None:
    """Our own client by itself; prints what wrk's script prints."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("url")
    reader.add_argument("keys", type=Path)
    reader.add_argument("-c", type=int, default=1)
    reader.add_argument("-d", type=float, default=5.0)
    given = reader.parse_args()
    print("RESULT", json.dumps(vars(uvloop.run(measure(given.url, given.keys.read_text().split(), given.c, given.d)))))


if __name__ == "__main__":
    main()
