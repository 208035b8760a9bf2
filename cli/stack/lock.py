"""One stack a home: a lock that the kernel frees when its holder dies, so that it is never stale."""

import fcntl
import os
import time
from pathlib import Path

_TRIES = 4
_PAUSE_SECONDS = 0.1


class StackLock:
    """Held by the supervisor for as long as the stack runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def take(self) -> bool:
        """Take the lock and return True, or False while another process holds it."""
        for attempt in range(_TRIES):
            if attempt:  # Another process may merely have looked whether the lock is held.
                time.sleep(_PAUSE_SECONDS)
            if self._try():
                return True
        return False

    def _try(self) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino == self._path.stat().st_ino:
                self._descriptor = descriptor
                return True
        except OSError:  # Held by another, or removed by its holder between our opening and locking.
            pass
        os.close(descriptor)
        return False

    def release(self) -> None:
        """Free the lock and remove its file. Idempotent."""
        if self._descriptor is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None
