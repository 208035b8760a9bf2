"""Health checks: each asks the part itself whether it works."""

import asyncio
import http.client
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil

Check = Callable[[int], Awaitable[bool]]

_FRESH_SECONDS = 8.0
_WRITING_SECONDS = 0.05


def http_ok(url: str, seconds_max: float = 5.0) -> Check:
    """The part is healthy when GET on the address answers 200, and it is the part itself that listens there."""

    async def check(pid: int) -> bool:
        answered = await asyncio.to_thread(_get_status, url, seconds_max) == http.client.OK
        return answered and await asyncio.to_thread(_listens, pid, urlsplit(url).port)

    return check


def ready_file(path: Path) -> Check:
    """The part is healthy while it keeps touching a file that holds its process id."""

    async def check(pid: int) -> bool:
        for _ in range(2):  # The file is empty for a moment while it is written.
            try:
                if path.read_text().strip() == str(pid):
                    return time.time() - path.stat().st_mtime < _FRESH_SECONDS
            except OSError:
                return False
            await asyncio.sleep(_WRITING_SECONDS)
        return False

    return check


async def ended(pid: int) -> bool:
    """A step is never healthy while it runs: its exit code decides."""
    return False


def _listens(pid: int, port: int | None) -> bool:
    """Whether the process or a child of it listens on a port: another program's answer proves nothing about ours."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        sockets = [connection for each in family for connection in each.net_connections("tcp")]
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in sockets)


def _get_status(url: str, seconds_max: float) -> int | None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=seconds_max)
    try:
        connection.request("GET", f"{address.path}?{address.query}" if address.query else address.path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
