"""Terminals of a person: commands with what they printed, kept as a recording."""

import io
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.live import ROOT, LiveStack, until

WIDTH = 150
COMMAND_SECONDS_MAX = 180.0
FONT_FACES = re.compile(r"@font-face \{.*?\}", re.DOTALL)


class Recording:
    """What was typed and printed, in order; written as text and as a picture."""

    def __init__(self) -> None:
        self._console = Console(
            record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
        )

    def heading(self, text: str) -> None:
        """Say what comes."""
        self._console.print(f"\n[bold yellow]# {text}[/bold yellow]")

    def typed(self, arguments: tuple[str, ...]) -> None:
        """A command."""
        self._console.print(Text(f"$ lineshaft {shlex.join(arguments)}", style="bold cyan"))

    def printed(self, text: str) -> None:
        """Its output, colours and all."""
        self._console.print(Text.from_ansi(text.rstrip("\n")), soft_wrap=True)

    def keep(self, folder: Path, name: str) -> None:
        """Write NAME.txt and NAME.svg; the picture loads no font from elsewhere."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = self._console.export_text(clear=False).splitlines()
        (folder / f"{name}.txt").write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
        drawn = self._console.export_svg(title="lineshaft", clear=False)
        (folder / f"{name}.svg").write_text(FONT_FACES.sub("", drawn), encoding="utf-8")


class Session:
    """A command that runs while others are given elsewhere; what it prints is read as it comes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while piece := self._process.stdout.read(1):
            self._said.append(piece)

    @property
    def text(self) -> str:
        """All that it printed so far."""
        return "".join(self._said)

    def until(self, words: str, seconds_max: float = 60.0) -> None:
        """Wait until it prints some words."""
        until(lambda: words in self.text or self._process.poll() is not None, f"'{words}' in: {self.text[-300:]}", seconds_max)

    def answer(self, line: str) -> int:
        """Type a line and wait until it ends; return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        code = self._process.wait(COMMAND_SECONDS_MAX)
        self._reader.join(5.0)
        return code


class Terminal:
    """Gives commands to one stack and records them."""

    def __init__(self, stack: LiveStack, recording: Recording) -> None:
        self._stack = stack
        self._recording = recording
        self._environment = {**stack.environment, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}

    def give(self, *arguments: str, typed: str | None = None) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            env=self._environment,
            cwd=ROOT,
            input=typed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        self._recording.typed(arguments)
        self._recording.printed(done.stdout)
        return done

    @contextmanager
    def beside(self, *arguments: str) -> Iterator[Session]:
        """Run a command in a second terminal; it is recorded once it has ended."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *arguments],
            env={**self._environment, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        session = Session(process)
        try:
            yield session
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)
            self._recording.typed(arguments)
            self._recording.printed(session.text)
