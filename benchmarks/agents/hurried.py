"""A stack that starts its dead parts again without the growing pauses: dozens of kills on purpose fit into minutes."""

import asyncio
import subprocess
import sys
from typing import IO

from cli.stack.keeper import Pace
from cli.stack.parts import local_assembly
from cli.stack.supervisor import Stack
from factory_infra.settings import Settings
from tests.live import ROOT, LiveStack, until

READY_SECONDS_MAX = 120.0
PACE = Pace(back_off_seconds=0.2, back_off_seconds_max=0.5)


class HurriedStack(LiveStack):
    """The stack that `lineshaft up` starts, with another pace of its keepers."""

    _process: subprocess.Popen[bytes] | None = None
    _log: IO[bytes] | None = None

    def start(self) -> None:
        """Bring it up; fails with what it said."""
        self.settings.home.mkdir(parents=True, exist_ok=True)
        path = self.settings.home / "hurried.log"
        self._log = path.open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.agents.hurried"], env=self.environment, cwd=ROOT, stdout=self._log, stderr=self._log
        )
        until(self._ready, f"the stack is ready: {path}", READY_SECONDS_MAX)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.settings.home / "hurried.log").read_text()[-2000:]
        return (self.settings.run_dir / "stack.json").exists() and self.state().phase == "ready"

    def stop(self) -> None:
        """Take it down, and wait for its process."""
        super().stop()
        if self._process is not None:
            self._process.wait(30)
        if self._log is not None:
            self._log.close()


async def serve(settings: Settings) -> None:
    """Keep the stack up until it is asked to stop."""
    stack = Stack(settings, lambda emit: local_assembly(settings, emit, []), pace=PACE)
    stack.handle_signals()
    try:
        await stack.start()
        await stack.wait()
    finally:
        if stack.running:
            await stack.stop()


if __name__ == "__main__":
    asyncio.run(serve(Settings()))
