"""One job's folder: the names of its files, its lock, and writes that are whole or absent. Standard library only: the runner loads it."""

import errno
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

OWN_FILES = frozenset(
    {"spec.json", "run.json", "exit.json", "exit.reserve", "log.txt", "lock", "submit.lock", "cancel", "progress.jsonl", "tmp"}
    | {"attempts.json", "walls.json", "groups.json", "counts.json", "tasks", "nodes", "checkpoint"}
)
"""Names that the runner keeps for itself: no input or result may take them."""

KEPT = ".kept"
"""Beside the folders of tenants, closed to all jobs: the specifications as they were asked for."""
EXIT_RESERVE_BYTES = 4096
RECORD_BYTES_MAX = 1024**2
SUBMIT_LOCK_SECONDS = 10.0
POLL_SECONDS = 0.02


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
        self.attempts = path / "attempts.json"
        self.walls = path / "walls.json"
        self.groups = path / "groups.json"
        self.counts = path / "counts.json"
        self.tasks = path / "tasks"
        self.nodes = path / "nodes"
        self.checkpoint = path / "checkpoint"
        self.kept = path.parent.parent / KEPT / path.parent.name / f"{path.name}.kept"

    def task(self, index: int) -> Path:
        """The folder of one task of an array."""
        return self.tasks / str(index)

    def read(self, file: Path) -> dict[str, object] | None:
        """Return a JSON file's object, or None while there is none: what a job made of it counts as none."""
        try:
            with open_plain(file) as stream:
                found = json.loads(stream.read(RECORD_BYTES_MAX))
        except (OSError, ValueError):
            return None
        return cast("dict[str, object]", found) if isinstance(found, dict) else None

    def write(self, file: Path, text: str, *, lasting: bool = True) -> None:
        """Replace a file as a whole, readable by the owner alone; a lasting one is on the disk when this returns."""
        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if lasting:
                os.fsync(stream.fileno())
        draft.replace(file)

    def reserve_exit(self) -> None:
        """Take the space of the exit record now, so that a full disk cannot keep a job from ending."""
        self.write(self.exit_reserve, " " * EXIT_RESERVE_BYTES)

    def write_exit(self, record: dict[str, object]) -> None:
        """Turn the reserved space into the exit record."""
        text = json.dumps(record)
        try:
            with open_plain(self.exit_reserve, os.O_RDWR) as stream:
                stream.write(text.encode().ljust(EXIT_RESERVE_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError:
            self.write(self.exit, text)
            return
        self.exit_reserve.replace(self.exit)

    def say(self, line: str) -> None:
        """Append a line of ours to the log. A link in its place is never followed. Raises OSError."""
        with os.fdopen(self.open_log(), "ab") as log:
            log.write(f"-- {line} --\n".encode())

    def open_log(self) -> int:
        """Return a descriptor to append to the log with. A link in its place is never followed. Raises OSError."""
        return plain_descriptor(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def alive(self) -> bool:
        """Whether a runner, or a submit that is starting one, holds the lock."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @contextmanager
    def submitting(self) -> Iterator[bool]:
        """Hold off every other submit and cancel of this job, in all processes; yields whether that could be had within 10 s."""
        with hold(self.submit_lock, SUBMIT_LOCK_SECONDS) as (_, held):
            yield held


@contextmanager
def hold(file: Path, seconds: float) -> Iterator[tuple[int, bool]]:
    """Hold a file's exclusive lock; yields the descriptor, which a child may inherit to go on holding it, and whether it is held.

    Nobody holds it for longer than a moment but a program that wants to be in the way: it is not waited for without end.
    """
    descriptor = plain_descriptor(file, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + seconds
    try:
        while not (held := locked(descriptor)) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        yield descriptor, held
    finally:
        os.close(descriptor)


def locked(descriptor: int) -> bool:
    """Take the lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def plain_descriptor(file: Path, flags: int) -> int:
    """Open a plain file, as everything in a job's folder must be opened: a job may put a link or a pipe in its place. Raises OSError."""
    descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.ELOOP, "it is not a plain file of its own")
    return descriptor


def open_plain(file: Path, flags: int = os.O_RDONLY) -> BinaryIO:
    """Open a plain file as a stream of bytes. Raises OSError."""
    return os.fdopen(plain_descriptor(file, flags), "rb" if flags == os.O_RDONLY else "r+b")
