"""The log of what was asked of a simulated data centre: append-only, one writer at a time, the same for every process."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from factory_infra.errors import EffectFailed, StorageFull
from factory_infra.file_locks import hold

Command: TypeAlias = dict[str, JsonValue]


class CommandLog:
    """One file of commands. What was written stays; a line that a crash cut off is none, and is written over.

    Args:
        file: it need not exist, nor its folder.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._size = 0
        self._inode = 0
        self._commands: list[Command] = []

    def read(self) -> list[Command]:
        """Every command, in the order in which they were written. Only what is new is read from the disk."""
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._size, self._inode, self._commands = 0, 0, []
            return self._commands
        if found.st_ino != self._inode or found.st_size < self._size:
            self._size, self._inode, self._commands = 0, found.st_ino, []
        if found.st_size > self._size:
            with self._file.open("rb") as stream:
                stream.seek(self._size)
                self._take(stream.read())
        return self._commands

    def _take(self, data: bytes) -> None:
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), len(self._commands) + 1):
            try:
                self._commands.append(json.loads(line))
            except json.JSONDecodeError as error:
                reason = f"Line {number} of {self._file.name} of the simulated pool {self._file.parent.name} cannot be read."
                raise EffectFailed(reason, remedy="Restore the file, or remove it: the pool then begins anew.", code="twin_log") from error
        self._size += whole

    @contextmanager
    def writing(self) -> Iterator["Writer"]:
        """Hold off every other writer; yields what was written so far and a way to add to it. Raises StorageFull."""
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with hold(self._file.with_suffix(".lock")):
                yield Writer(self.read(), self)
        except OSError as error:
            reason = f"The log of the simulated pool {self._file.parent.name} cannot be written: {error.strerror}."
            raise StorageFull(reason, remedy="Free space on the disk.") from error

    def append(self, command: Command) -> None:
        """Write one command, whole and lasting; only while the lock is held. Raises OSError."""
        line = json.dumps(command, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self._size)
            os.pwrite(descriptor, line, self._size)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.read()


class Writer:
    """The log while its lock is held."""

    def __init__(self, commands: list[Command], log: CommandLog) -> None:
        self.commands = commands
        self._log = log

    def append(self, command: Command) -> None:
        """Write one command. Raises OSError."""
        self._log.append(command)
        self.commands = self._log.read()
