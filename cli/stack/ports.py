"""Choice of ports on loopback, agreed between the stacks of one user."""

import fcntl
import os
import socket
import tempfile
from pathlib import Path

_TRIED = 50
_CLAIMS: dict[int, int] = {}
"""Port → descriptor of its lock file; held until this process ends, however it ends."""


def claim(port: int) -> bool:
    """Claim a port among the stacks of this user: a server binds seconds after its port was chosen, and two stacks may start at once.

    Returns False while another process has claimed it. Where no lock file can be written there is nothing to agree by, and it is True.
    """
    if port in _CLAIMS:
        return True
    folder = Path(tempfile.gettempdir()) / f"lineshaft-ports-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _CLAIMS[port] = descriptor
    return True


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def choose(wanted: int, taken: set[int], avoid: set[int], host: str = "127.0.0.1") -> int:
    """Return the wanted port if it is free and not taken, else the next such one that nobody else wants, else any."""
    if wanted not in taken and is_free(wanted, host) and claim(wanted):
        return wanted
    avoid = avoid | taken
    for port in range(wanted + 1, min(wanted + _TRIED, 65536)):
        if port not in avoid and is_free(port, host) and claim(port):
            return port
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid and claim(port):
            return port
