"""Network: throughput and latency over TCP, through the loopback of one node, or between the first node of a job and each other one."""

import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from factory_infra.foundation.validation.models import BurnInOrder, Measurement
from factory_infra.foundation.validation.programs.settings import RunSettings

BLOCK_BYTES = 1024**2
PINGS_MAX = 2000
CONNECT_SECONDS = 120.0
STALL_SECONDS = 30.0
PORT_AWAY = 1
"""Beside the rendezvous port, which a collective may want at the same time."""
SEND, PING, DONE = b"S", b"P", b"D"


def network(order: BurnInOrder, run: RunSettings) -> Iterator[Measurement]:
    """Measure; on the first of several nodes this serves the others and tells nothing."""
    port = run.master_port + PORT_AWAY if run.master_port < 65_535 else run.master_port - 1
    if run.nodes == 1:
        server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=serve, args=(server, 1), daemon=True).start()
        yield from measured("127.0.0.1", server.getsockname()[1], order.seconds, "loopback")
    elif run.node_rank == 0:
        serve(socket.create_server(("", port), reuse_port=False), run.nodes - 1)
    else:
        yield from measured(run.master_address, port, order.seconds, f"to node 0 of {run.nodes}")


def serve(server: socket.socket, visitors: int) -> None:
    """Take so many visitors, one after the other, so that they do not share the wire."""
    with server:
        server.settimeout(CONNECT_SECONDS + STALL_SECONDS * visitors)
        for _ in range(visitors):
            with suppress(OSError):
                visitor, _ = server.accept()
                with visitor:
                    visitor.settimeout(STALL_SECONDS)
                    attend(visitor)


def attend(visitor: socket.socket) -> None:
    """Read what is sent, answer pings, until the visitor is done or gone."""
    buffer = bytearray(BLOCK_BYTES)
    while received := visitor.recv_into(buffer):
        if buffer[received - 1 : received] == DONE:
            visitor.sendall(DONE)
        elif received == 1 and buffer[:1] == PING:
            visitor.sendall(PING)


def measured(host: str, port: int, seconds: float, words: str) -> Iterator[Measurement]:
    """Visit a server: latency first, while the wire is idle. Raises OSError when it does not answer."""
    with connected(host, port) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half = latency(wire, seconds / 4) / 2
        how = f"TCP, {words}"
        yield Measurement(benchmark="latency", value=half * 1e6, unit="µs", higher_is_better=False, how=f"half a round trip, {how}")
        sent, taken = throughput(wire, seconds * 3 / 4)
        yield Measurement(benchmark="network", value=sent * 8 / taken / 1e9, unit="Gbit/s", how=how)


def connected(host: str, port: int) -> socket.socket:
    """Connect as soon as the other side listens. Raises OSError after two minutes."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return socket.create_connection((host, port), STALL_SECONDS)
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.2)


def latency(wire: socket.socket, seconds: float) -> float:
    """The median round trip of one byte."""
    taken: list[float] = []
    deadline = time.monotonic() + seconds
    while len(taken) < 10 or (len(taken) < PINGS_MAX and time.monotonic() < deadline):
        began = time.perf_counter()
        wire.sendall(PING)
        wire.recv(1)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def throughput(wire: socket.socket, seconds: float) -> tuple[int, float]:
    """Send for so long; the time ends when the other side says that it has all."""
    block = bytes(BLOCK_BYTES)
    began, sent = time.perf_counter(), 0
    while sent == 0 or time.perf_counter() - began < seconds:
        wire.sendall(block)
        sent += BLOCK_BYTES
    wire.sendall(DONE)
    wire.recv(1)
    return sent, time.perf_counter() - began
