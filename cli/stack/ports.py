"""Choice of ports on loopback."""

import socket

_TRIED = 50


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
    if wanted not in taken and is_free(wanted, host):
        return wanted
    avoid = avoid | taken
    for port in range(wanted + 1, min(wanted + _TRIED, 65536)):
        if port not in avoid and is_free(port, host):
            return port
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
            port = int(probe.getsockname()[1])
        if port not in avoid:
            return port
