"""One running process of a part: its start, its log, its end."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from cli.stack.part import Part, SystemUser

_LAUNCHER = Path(__file__).with_name("launch.py")
_PRIVATE = 0o077
"""What parts and their jobs write is the user's alone: prompts, data and models lie in it."""
_LOG_BYTES_MAX = 20 * 1024 * 1024


def guarded(command: list[str], user: SystemUser | None, death_signal: int) -> list[str]:
    """Return the command behind the launcher that ends it with this process and gives root up."""
    uid, gid = (user.uid, user.gid) if user else (-1, -1)
    return [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(death_signal), str(uid), str(gid), *command]


def rotate(log: Path) -> None:
    """Set a log aside that has grown too large; one old one is kept. Raises OSError."""
    if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
        log.replace(log.with_name(log.name + ".1"))


def last_lines(log: Path, count: int = 8) -> list[str]:
    """Return the last lines of a log that are not empty."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 32768))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


class PartProcess:
    """A started part in a session of its own, so that no signal of the terminal reaches it and its whole group can be ended."""

    def __init__(self, part: Part, process: asyncio.subprocess.Process) -> None:
        self._part = part
        self._process = process
        self.pid = process.pid
        self.created: float | None = None
        with suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(process.pid).create_time()

    @classmethod
    async def start(cls, part: Part, log: Path) -> "PartProcess":
        """Start the part's command; its output is appended to the log. Raises OSError."""
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *guarded(part.command, part.user, part.death_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=part.environment,
                cwd="/",
                start_new_session=True,
                umask=_PRIVATE,
            )
        return cls(part, process)

    async def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit code, or None if the process still runs after so many seconds."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._process.wait(), seconds)
        return None

    async def stop(self) -> None:
        """Ask the part to end, wait, then end its whole group. Idempotent."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(self._part.stop_signal)
            await self.wait(self._part.stop_seconds_max)
        self.kill_group()
        await self._process.wait()

    def kill_group(self) -> None:
        """End whatever is left of the part's session, its own children included."""
        kill_group(self.pid)


def kill_group(group: int) -> None:
    """Send SIGKILL to a process group; an empty one is not an error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
