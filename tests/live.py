"""A real stack for tests: the same command that a user gives, on a home and ports of its own, always stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from api.client import ApiClient
from cli.access import api_client
from cli.stack.state import StackState, read_state
from factory_infra.settings import Settings

ROOT = Path(__file__).parent.parent


class LiveStack:
    """One stack in the background."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.settings = Settings(home=home)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
        self.environment = {**clean, "LINESHAFT_HOME": str(home), "PYTHONPATH": str(ROOT), "LINESHAFT_MODEL": "none", **environment}

    def command(self, *arguments: str, seconds_max: float = 180.0) -> subprocess.CompletedProcess[str]:
        """Run `lineshaft …` against this home."""
        return subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )

    def start(self) -> None:
        """Bring it up; fails with what the command said."""
        done = self.command("up", "--detach")
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """Take it down."""
        done = self.command("down")
        assert done.returncode == 0, done.stdout + done.stderr

    @property
    def temporal_address(self) -> str:
        """Where Temporal's own command connects, from the server's command line."""
        command = psutil.Process(self.pid("temporal")).cmdline()
        return f"127.0.0.1:{command[command.index('--port') + 1]}"

    def client(self) -> ApiClient:
        """A client with the administrator's key."""
        return api_client(self.settings)

    def state(self) -> StackState:
        """What the stack says of itself."""
        state = read_state(self.settings)
        assert state is not None
        return state

    def pid(self, part: str) -> int:
        """A part's process."""
        return next(each.pid for each in self.state().parts if each.name == part and each.pid is not None)

    def kill(self, part: str) -> int:
        """SIGKILL a part and all its processes, as they are now; returns the pid that died."""
        process = psutil.Process(self.pid(part))
        for each in [process, *process.children(recursive=True)]:
            os.kill(each.pid, signal.SIGKILL)
        return process.pid


def until(holds: Callable[[], bool], what: str, seconds_max: float = 60.0) -> None:
    """Wait for a condition, with a limit."""
    deadline = time.monotonic() + seconds_max
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds_max} s: {what}"
        time.sleep(0.05)
