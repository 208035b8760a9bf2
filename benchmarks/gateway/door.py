"""A gateway for tries by hand: plain and raw requests, what the upstream heard, and what was charged."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
from pydantic import JsonValue

from benchmarks.gateway.ground import Gateway, Ground, Upstream, openai_backend, route
from benchmarks.gateway.script import JsonObject

RAW_SECONDS = 5.0
CHAT = "/v1/chat/completions"
OTHER_TEAM = "loom"


@dataclass(frozen=True)
class Door:
    """A running gateway with two teams, a cached model, and one that cannot do much."""

    ground: Ground
    upstream: Upstream
    gateway: Gateway
    key: str
    other_key: str

    def post(self, body: object, path: str = CHAT, **headers: str) -> httpx.Response:
        """One call with the team's key, unless a header says otherwise."""
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | str) else json.dumps(body)
        return httpx.post(self.gateway.url + path, content=content, headers=sent, timeout=30)

    def raw(self, data: bytes) -> bytes:
        """What comes back for some bytes, until the gateway closes or says no more."""
        with socket.create_connection(("127.0.0.1", self.gateway.port), timeout=RAW_SECONDS) as made:
            made.sendall(data)
            made.shutdown(socket.SHUT_WR)
            found = b""
            try:
                while part := made.recv(65_536):
                    found += part
            except TimeoutError:
                return found
            return found

    def heard(self) -> int:
        """How many calls reached the upstream."""
        return len(self.upstream.heard())

    def charged(self) -> int:
        """How many attempts the ledger has settled."""
        return int(str(self.ground.query("SELECT count(*) FROM ledger_entries WHERE action = 'settle'")[0][0]))


def ask(text: str, model: str = "fast", **more: JsonValue) -> JsonObject:
    """A chat request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 32, **more}


def opened(ground: Ground) -> Door:
    """Start a gateway for tries."""
    upstream = ground.upstream()
    few: JsonObject = {"*": {"remove": ["json_schema", "json_object", "tools", "parallel_tools", "images", "n"], "context_tokens": 4096}}
    ground.configure(
        {"plain": openai_backend(upstream.url), "plainer": openai_backend(upstream.url, abilities=few)},
        {
            "fast": route("plain", model="fast"),
            "kept": route("plain", model="fast", cache_seconds=600),
            "simple": route("plainer", model="fast"),
        },
    )
    ground.team()
    ground.team(OTHER_TEAM)
    key, other = ground.keys()[0], ground.keys(team=OTHER_TEAM)[0]
    return Door(ground, upstream, ground.start()[0], key, other)


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """An address that nothing may ever call, and who did."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65_537)
            calls.append(self.raw_requestline.decode("latin-1").strip())
            self.close_connection = True

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
