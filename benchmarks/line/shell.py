"""Runs commands as a user does and keeps what they printed."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Ran:
    """A command that ended."""

    code: int
    text: str
    seconds: float

    def last(self, lines: int = 1) -> str:
        """The last lines that it printed."""
        return "\n".join(self.text.strip().splitlines()[-lines:])


def run(*command: str, folder: Path = ROOT, seconds_max: float = 900.0, environment: dict[str, str] | None = None) -> Ran:
    """Run a command to its end; one that outlasts its limit counts as failed with code 124."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LINESHAFT_")}
    began = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**inherited, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        told = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        return Ran(124, told + f"\nstopped after {seconds_max:.0f} s", seconds_max)
    return Ran(done.returncode, done.stdout, time.perf_counter() - began)
