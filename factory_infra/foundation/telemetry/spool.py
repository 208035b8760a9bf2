"""Events on the node's disk until the API has them: bounded, and whole after a crash."""

import contextlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from factory_infra.errors import StorageFull
from factory_infra.foundation.reliability.node_models import NodeEvent

BYTES_MAX = 4 * 1024**2


class Spool:
    """A queue in one file. The oldest events go first, also when there is no room for new ones: that is counted.

    Args:
        path: the file.
        bytes_max: so much of it is kept.
    """

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._lines: list[bytes] | None = None
        self.dropped = 0

    def __len__(self) -> int:
        """How many events wait."""
        with self._lock:
            return len(self._read())

    def add(self, events: Sequence[NodeEvent]) -> None:
        """Keep events. Raises StorageFull when the disk takes nothing; they are then kept in memory only."""
        if not events:
            return
        with self._lock:
            lines = self._read()
            lines += [event.model_dump_json().encode() + b"\n" for event in events]
            size = sum(map(len, lines))
            while size > self._bytes_max and lines:
                size -= len(lines.pop(0))
                self.dropped += 1
            self._write(lines)

    def first(self, count: int) -> list[NodeEvent]:
        """The oldest ones. They stay until `done` says so."""
        with self._lock:
            return [NodeEvent.model_validate_json(line) for line in self._read()[:count]]

    def done(self, ids: set[str]) -> None:
        """Forget events that the API has."""
        with self._lock:
            lines = self._read()
            left = [line for line in lines if NodeEvent.model_validate_json(line).id not in ids]
            self._lines = left
            self._write(left)

    def _read(self) -> list[bytes]:
        if self._lines is None:
            lines = self._path.read_bytes().splitlines(keepends=True) if self._path.exists() else []
            self._lines = [line for line in lines if readable(line)]
        return self._lines

    def _write(self, lines: list[bytes]) -> None:
        """Write the file whole or not at all."""
        partial = self._path.with_suffix(".partial")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with partial.open("wb") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StorageFull(
                f"Events cannot be kept in {self._path} ({error.strerror}).", remedy="Free some space on the node."
            ) from error


def readable(line: bytes) -> bool:
    """Whether a line is a whole event: the last one may have been cut off by a crash."""
    try:
        NodeEvent.model_validate_json(line)
    except ValidationError:
        return False
    return line.endswith(b"\n")
