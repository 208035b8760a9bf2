"""The job's program as a child of the carrier: its log line by line, its walls, and its end with everything that it started."""

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO

from factory_infra.iaas.jobs.providers.process_tree import (
    become_subreaper,
    descendants,
    die_with_parent,
    proportional_bytes,
    resident_bytes,
    send,
)
from factory_infra.iaas.jobs.providers.verdict import Walls

GIB = 1024**3
LINE_BYTES_MAX = 16 * 1024
"""CloudWatch takes longer lines apart by itself, elsewhere than we would."""
TAIL_BYTES = 4096
END_SECONDS = 5.0
POLL_SECONDS = 0.05


class Log:
    """Copies the program's output to our own, line by line, up to a limit; counts what a reader of the lines will count."""

    def __init__(self, out: BinaryIO, bytes_max: int) -> None:
        self.bytes = 0
        self.tail = b""
        self._out = out
        self._bytes_max = bytes_max

    def copy(self, stream: IO[bytes]) -> None:
        """Copy until the stream ends. What is over the limit is read and dropped: a program must not stand still for it."""
        while line := stream.readline(LINE_BYTES_MAX):
            self._take(line.rstrip(b"\r\n"))

    def say(self, words: str) -> None:
        """Write a line of our own."""
        self._take(words.encode())

    def _take(self, line: bytes) -> None:
        if self.bytes > self._bytes_max:
            return
        # An empty line is no event of CloudWatch: it would be lost and everything after it would move.
        kept = (line or b" ") + b"\n"
        if self.bytes + len(kept) > self._bytes_max:
            kept = b"-- the log has reached its limit: what follows is not kept --\n"
            self._bytes_max = self.bytes
        self.bytes += len(kept)
        self.tail = (self.tail + kept)[-TAIL_BYTES:]
        self._out.write(kept)
        self._out.flush()


class Program:
    """One start of the program.

    Args:
        argv: what is run; never a shell string.
        folder: where.
        environment: all that it sees.
        walls: its limits.
    """

    def __init__(self, argv: list[str], folder: Path, environment: dict[str, str], walls: Walls) -> None:
        self._argv, self._folder, self._environment, self._walls = argv, folder, environment, walls
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._started = time.monotonic()
        self.log = Log(sys.stdout.buffer, walls.file_bytes)
        self.absent = False

    def start(self) -> str:
        """Start it; return why that cannot be, or nothing."""
        become_subreaper()
        file_bytes, parent = self._walls.file_bytes, os.getpid()

        def limits() -> None:
            os.setsid()
            die_with_parent(parent)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            wanted = file_bytes if hard == resource.RLIM_INFINITY else min(file_bytes, hard)
            resource.setrlimit(resource.RLIMIT_FSIZE, (wanted, wanted))

        try:
            process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                preexec_fn=limits,
            )
        except OSError as error:
            self.absent = error.errno == errno.ENOENT
            return f"{self._argv[0]}: {error.strerror}"
        self._process, self._started = process, time.monotonic()
        if process.stdout is not None:
            self._pump = threading.Thread(target=self.log.copy, args=(process.stdout,), daemon=True)
            self._pump.start()
        return ""

    def ended(self) -> bool:
        """Whether the program itself has ended."""
        return self._process is None or self._process.poll() is not None

    @property
    def status(self) -> tuple[int | None, int | None]:
        """Exit code and signal, of which one is None."""
        code = self._process.returncode if self._process is not None else None
        return (None, None) if code is None else (code, None) if code >= 0 else (None, -code)

    def over_time(self) -> bool:
        """Whether its time is over."""
        return self._walls.seconds is not None and time.monotonic() - self._started >= self._walls.seconds

    def over_memory(self) -> bool:
        """Whether it and its children hold more than they may."""
        limit, tree = self._walls.memory_gib * GIB, descendants(os.getpid())
        return resident_bytes(tree) > limit and proportional_bytes(tree) > limit

    def end(self, grace_seconds: float) -> None:
        """Ask everything that it started to end, kill what is left, and wait for the last lines of the log."""
        deadline = time.monotonic() + grace_seconds
        if grace_seconds:
            send(descendants(os.getpid()), signal.SIGTERM)
        while self._alive():
            if time.monotonic() >= deadline:
                send(descendants(os.getpid()), signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        if self._pump is not None:
            self._pump.join(END_SECONDS)

    def _alive(self) -> bool:
        """Collect what has ended; return whether any child remains. Popen collects its own child."""
        self.ended()
        left = descendants(os.getpid())
        own = self._process.pid if self._process is not None and self._process.returncode is None else -1
        for pid in left:
            if pid != own:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        return bool(descendants(os.getpid()))
