"""One job's folder: the names of its files, its lock, and writes that are whole or absent. Standard library only: the runner loads it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

OWN_FILES = frozenset(
    {"spec.json", "run.json", "exit.json", "exit.reserve", "log.txt", "lock", "submit.lock", "cancel", "progress.jsonl", "tmp"}
)
"""Names that the runner keeps for itself: no input or result may take them."""

EXIT_RESERVE_BYTES = 4096


class JobFolder:
    """Paths and small reads of one job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spec = path / "spec.json"
        self.run = path / "run.json"
        self.exit = path / "exit.json"
        self.exit_reserve = path / "exit.reserve"
        self.log = path / "log.txt"
        self.lock = path / "lock"
        self.submit_lock = path / "submit.lock"
        self.cancel = path / "cancel"
        self.progress = path / "progress.jsonl"
        self.tmp = path / "tmp"

    def read(self, file: Path) -> dict[str, object] | None:
        """Return a JSON file's object, or None while there is none."""
        try:
            return cast("dict[str, object]", json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def write(self, file: Path, text: str) -> None:
        """Replace a file as a whole, readable by the owner alone."""
        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)

    def reserve_exit(self) -> None:
        """Take the space of the exit record now, so that a full disk cannot keep a job from ending."""
        self.write(self.exit_reserve, " " * EXIT_RESERVE_BYTES)

    def write_exit(self, record: dict[str, object]) -> None:
        """Turn the reserved space into the exit record."""
        text = json.dumps(record)
        if not self.exit_reserve.exists():
            self.write(self.exit, text)
            return
        with self.exit_reserve.open("r+", encoding="utf-8") as stream:
            stream.write(text.ljust(EXIT_RESERVE_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        self.exit_reserve.replace(self.exit)

    def alive(self) -> bool:
        """Whether a runner, or a submit that is starting one, holds the lock."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Hold off every other submit and cancel of this job, in all processes."""
        with hold(self.submit_lock):
            yield


@contextmanager
def hold(file: Path) -> Iterator[int]:
    """Hold a file's exclusive lock; yields the descriptor, which a child may inherit to go on holding it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
