"""Landlock by its system calls: what a process and its descendants may open, signal and trace from now on. Standard library only."""

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_QUESTION = 1
RULE_PATH_BENEATH, RULE_PORT = 1, 2
CONNECT_TCP = 2
PORTS = 65_536
PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
MAKE_CHAR, MAKE_BLOCK, REFER, TRUNCATE = 1 << 6, 1 << 11, 1 << 13, 1 << 14
FIRST_RIGHTS = (1 << 13) - 1
"""What the first version knows; later ones add a bit each."""
READING = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
SCOPE_SOCKETS, SCOPE_SIGNALS = 1, 2
ABI_REFER, ABI_TRUNCATE, ABI_NET, ABI_SCOPES = 2, 3, 4, 6


@cache
def libc() -> ctypes.CDLL:
    """The C library, told to keep errno."""
    return ctypes.CDLL(None, use_errno=True)


@cache
def abi() -> int:
    """The version of Landlock that this kernel offers, 0 for none."""
    return max(int(libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ABI_QUESTION)), 0)


def rights(version: int) -> int:
    """Every right over files that is governed. What opens devices is left alone, or GPUs would not work."""
    return FIRST_RIGHTS | (REFER if version >= ABI_REFER else 0) | (TRUNCATE if version >= ABI_TRUNCATE else 0)


def make(*, files: bool = False, processes: bool = False, ports: bool = False) -> int | None:
    """Make a set of rules that allows nothing yet; returns its descriptor, or None where the kernel has none of what is asked."""
    version = abi()
    governed = rights(version) if files and version else 0
    connecting = CONNECT_TCP if ports and version >= ABI_NET else 0
    scoped = SCOPE_SOCKETS | SCOPE_SIGNALS if processes and version >= ABI_SCOPES else 0
    if not governed and not scoped and not connecting:
        return None
    size = 24 if version >= ABI_SCOPES else 16 if version >= ABI_NET else 8
    attributes = struct.pack("=QQQ", governed, connecting, scoped)[:size]
    descriptor = int(libc().syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), 0))
    return descriptor if descriptor >= 0 else None


def allow(ruleset: int, path: str, wanted: int) -> None:
    """Allow rights on a path and all that lies under it. A link is never followed; what has vanished is left out."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISLNK(mode) or stat.S_ISBLK(mode):
                return
            granted = wanted & rights(abi()) & (-1 if stat.S_ISDIR(mode) else OF_FILES)
            libc().syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", granted, descriptor), 0)
        finally:
            os.close(descriptor)


def allow_ports(ruleset: int, closed: Iterable[int]) -> None:
    """Allow TCP connections to every port but the closed ones. The kernel knows single ports only: some tenths of a second of work."""
    shut, call, rule = set(closed), libc().syscall, ctypes.create_string_buffer(16)
    for port in range(PORTS):
        if port not in shut:
            struct.pack_into("=QQ", rule, 0, CONNECT_TCP, port)
            call(ADD_RULE, ruleset, RULE_PORT, rule, 0)


def gain_nothing() -> None:
    """Let this thread, and all that it starts, never gain a right by starting a program. Raises OSError."""
    if libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel refused to bound what the job may gain")


def enter(ruleset: int) -> None:
    """Put this thread, and all that it starts, under the rules for good. Raises OSError."""
    gain_nothing()
    if libc().syscall(RESTRICT_SELF, ruleset, 0):
        raise OSError(ctypes.get_errno(), "Landlock refused to restrict the job")


def openings(closed: Iterable[str], reading: Iterable[str], above: str = "/", *, writing: bool = True) -> Iterator[tuple[str, bool]]:
    """Yield the fewest paths that together are everything but the closed ones, each with whether it may be written.

    A folder that holds something closed is not itself yielded: rules reach downward, and would open it again.
    """
    shut, only_read = set(closed), set(reading)
    if above in shut:
        return
    writing = writing and above not in only_read
    if not any(beneath(path, above) for path in (shut | only_read if writing else shut)):
        yield above, writing
        return
    with suppress(OSError):
        for entry in sorted(Path(above).iterdir()):
            if not entry.is_symlink() and not entry.is_block_device():
                yield from openings(shut, only_read, str(entry), writing=writing)


def beneath(path: str, above: str) -> bool:
    """Whether a path lies strictly under another."""
    return path != above and path.startswith(above.rstrip("/") + "/")
