"""A container as a process of this machine: its log with the time of each line, its memory limit, and an end that leaves nothing behind."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MARK = "EMULATOR_POD_UID"
WATCH_SECONDS = 0.15
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LINE_MAX = 16 * 1024


class ContainerLog:
    """What a container wrote, a time before each line as a kubelet keeps it. Rotated, it begins again, and the old part is gone."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self.path = path
        self._bytes_max = bytes_max
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def add(self, line: bytes) -> None:
        """Keep a line, or the last one without its end."""
        if self.path.stat().st_size > self._bytes_max:
            self.path.unlink()
        stamp = time.time_ns()
        text = datetime.fromtimestamp(stamp // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{stamp % 10**9:09d}Z "
        with self.path.open("ab") as stream:
            stream.write(text.encode() + line)


@dataclass
class Order:
    """What to start."""

    argv: list[str]
    environment: dict[str, str]
    folder: Path
    memory_bytes: float | None
    uid: str


class Container:
    """One process and all that it starts."""

    def __init__(self, order: Order, log: ContainerLog) -> None:
        self._order = order
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.started_at = ""
        self.oom = False

    async def run(self) -> int:
        """Start it and wait for its end; return its exit code as a kubelet tells it: 128 and the signal's number for a killed one."""
        self._order.folder.mkdir(parents=True, exist_ok=True)
        out = asyncio.subprocess.PIPE
        self.started_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._process = await asyncio.create_subprocess_exec(
            *self._order.argv,
            cwd=self._order.folder,
            env=self._order.environment | {MARK: self._order.uid},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            limit=LINE_MAX,
        )
        watch = asyncio.create_task(self._watch_memory())
        reading = asyncio.create_task(self._read(self._process.stdout))
        code = await self._process.wait()
        watch.cancel()
        self.kill_all()
        await reading
        return code if code >= 0 else 128 - code

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM to the first process, SIGKILL to all after the grace."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(max(grace_seconds, 0.01)):
                await process.wait()
        except TimeoutError:
            self.kill_all()

    def kill_all(self) -> None:
        """Kill the process and whatever it started."""
        if self._process is not None and self._process.returncode is None:
            for each in family(self._process.pid):
                with suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while True:
            try:
                line = await stream.readuntil(b"\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self._log.add(error.partial)
                return
            except asyncio.LimitOverrunError as error:
                line = await stream.readexactly(max(error.consumed, 1))
            self._log.add(line)

    async def _watch_memory(self) -> None:
        limit = self._order.memory_bytes
        while limit is not None and self._process is not None:
            await asyncio.sleep(WATCH_SECONDS)
            if resident(self._process.pid) > limit:
                self.oom = True
                self.kill_all()
                return


def family(pid: int) -> list[int]:
    """A process and its descendants, as the kernel lists them."""
    found, at = [pid], 0
    while at < len(found):
        for file in Path(f"/proc/{found[at]}/task").glob("*/children"):
            with suppress(OSError):
                found += [int(child) for child in file.read_text().split()]
        at += 1
    return found


def resident(pid: int) -> int:
    """Bytes of memory that they hold."""
    total = 0
    for each in family(pid):
        with suppress(OSError, IndexError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * PAGE_BYTES
    return total


def kill_marked(uid: str) -> None:
    """Kill what a pod left behind: daemons that went out of its sessions."""
    mark = f"{MARK}={uid}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), signal.SIGKILL)
