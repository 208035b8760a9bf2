"""Containers of Batch and SageMaker as processes of this machine, their output in CloudWatch Logs."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.emulators.aws.logs import append
from tests.emulators.aws.standing import KEYS
from tests.emulators.aws.world import World

ROOT = Path(__file__).parents[3]
STOP_SECONDS = 30.0
"""From SIGTERM to SIGKILL, as ECS has it."""
START_SECONDS = 30.0
JOIN_SECONDS = 10.0


class Zygote:
    """The process that forks containers, and whoever waits for them."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door, self._numbers, self._lock = ours, itertools.count(1), threading.Lock()
        self._waiting: dict[int, Container] = {}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.emulators.aws.zygote", str(theirs.fileno())],
            cwd=ROOT,
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        threading.Thread(target=self._listen, daemon=True).start()

    def start(self, container: "Container", environment: dict[str, str], log: int) -> None:
        """Fork a container."""
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = container
            socket.send_fds(self._door, [json.dumps({"id": number, "environment": environment}).encode()], [log])

    def _listen(self) -> None:
        while data := self._door.recv(1 << 16):
            told = json.loads(data)
            container = self._waiting[told["id"]]
            if "pid" in told:
                container.pid = told["pid"]
                container.begun.set()
            else:
                container.code = told["code"]
                container.ended.set()


@cache
def zygote() -> Zygote:
    """The one of this process; it ends when the socket closes with us."""
    return Zygote()


class Container:
    """One container of one attempt.

    Args:
        world: whose logs its output goes to.
        region: where.
        group: the group of logs.
        stream: the stream.
    """

    def __init__(self, world: World, region: str, group: str, stream: str) -> None:
        self.world, self.region, self.group, self.stream = world, region, group, stream
        self.pid = 0
        self.code: int | None = None
        self.begun, self.ended = threading.Event(), threading.Event()
        self._pump: threading.Thread | None = None

    def run(self, environment: dict[str, str]) -> None:
        """Start it with the environment of its job and what every container has."""
        read, write = os.pipe()
        self._pump = threading.Thread(target=self._copy, args=(read,), daemon=True)
        self._pump.start()
        zygote().start(self, base_environment(self.world, self.region) | environment, write)
        os.close(write)
        assert self.begun.wait(START_SECONDS), "the container did not start"

    def wait(self) -> int:
        """Wait for its end and its last lines; return its exit code."""
        self.ended.wait()
        if self._pump is not None:
            self._pump.join(JOIN_SECONDS)
        return self.code if self.code is not None else 137

    def signal(self, number: signal.Signals) -> None:
        """Signal its first process."""
        if not self.ended.is_set():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM, and SIGKILL when it does not end."""
        self.signal(signal.SIGTERM)
        if not self.ended.wait(seconds):
            self.signal(signal.SIGKILL)

    def _copy(self, descriptor: int) -> None:
        append(self.world, self.region, self.group, self.stream, [])
        rest = b""
        with open(descriptor, "rb", buffering=0) as stream:
            while chunk := stream.read(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                append(self.world, self.region, self.group, self.stream, lines)
        append(self.world, self.region, self.group, self.stream, [rest])


def base_environment(world: World, region: str) -> dict[str, str]:
    """What every container of this account has: its image's programs, and the way to AWS."""
    path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
    endpoint = {"AWS_ENDPOINT_URL": str(world.extra["endpoint"]), "AWS_DEFAULT_REGION": region}
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": "/tmp", "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", **endpoint, **KEYS}


def milliseconds() -> int:
    """The moment, as Batch tells it."""
    return int(time.time() * 1000)
