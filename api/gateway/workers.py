"""The gateway's processes: one, or a parent that forks as many as it is told and puts a new one in each dead one's place."""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType

import structlog

log = structlog.get_logger("gateway")

STOP_SECONDS_MAX = 9.0
"""A worker that has not ended by then is killed; its journal is taken over by the next process."""
PAUSE_SECONDS = 1.0
BACKLOG = 2048
_PR_SET_PDEATHSIG = 1


def listening(host: str, port: int) -> socket.socket:
    """Open the socket that all workers accept from."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((host, port))
    opened.listen(BACKLOG)
    opened.set_inheritable(True)
    return opened


class Workers:
    """A parent of workers. Everything heavy is imported before it forks, so that they share those pages; nothing runs before it."""

    def __init__(self, count: int, serve: Callable[[int], None]) -> None:
        """`serve` runs in a worker, is told which one it is, and returns when a signal ended it."""
        self._count = count
        self._serve = serve
        self._pids: dict[int, int] = {}
        self._stopping = False

    def run(self) -> None:
        """Keep the workers until a signal comes; then end them all and return."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for worker in range(self._count):
            self._start(worker)
        while self._pids and not self._stopping:
            self._replace_dead()
        self._end()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
        for pid in self._pids:
            _signal(pid, signal.SIGTERM)

    def _start(self, worker: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._pids[pid] = worker
            return
        code = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            die_with(parent)
            self._serve(worker)
            code = 0
        finally:
            # Nothing of the parent's may run at a worker's end: neither its handlers nor its frames.
            sys.stderr.flush()
            os._exit(code)

    def _replace_dead(self) -> None:
        with contextlib.suppress(InterruptedError, ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid in self._pids:
                worker = self._pids.pop(pid)
                log.warning("a worker ended", worker=worker, pid=pid, code=os.waitstatus_to_exitcode(status))
                time.sleep(PAUSE_SECONDS)
                if not self._stopping:
                    self._start(worker)
                return
        time.sleep(0.1)

    def _end(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while self._pids and time.monotonic() < deadline:
            self._forget_ended()
            time.sleep(0.02)
        for pid in self._pids:
            _signal(pid, signal.SIGKILL)

    def _forget_ended(self) -> None:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            self._pids.clear()
            return
        self._pids.pop(pid, None)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies without a word."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit("the parent is gone")


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
