"""What a job of one tenant tries on a job of another one on the same host; harmless where it succeeds. Standard library only."""

import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ORDER_FILE = "attack.json"
FOUND_FILE = "found.json"
LINK_FILE = "link.json"
CONNECT_SECONDS = 5.0
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
CAPABILITIES_ACROSS = {2: "DAC_READ_SEARCH", 16: "SYS_MODULE", 17: "SYS_RAWIO", 19: "SYS_PTRACE", 21: "SYS_ADMIN", 39: "BPF"}
"""With any of these a process can reach past every wall of its host."""


@dataclass(frozen=True)
class Order:
    """Who is attacked."""

    folder: str
    jobs_dir: str
    places: list[str]
    pid: int
    uid: int
    word: str
    parts: dict[str, int]
    other_user: bool
    missing: list[str]
    """Walls that this host cannot have: what they would refuse is not tried."""


@dataclass(frozen=True)
class Tried:
    """One attempt as it came out."""

    door: str
    tried: str
    refused: bool
    by: str


class Refusal(Exception):
    """An attempt that came to nothing without the kernel's having said no."""


def attempts(order: Order) -> Iterator[tuple[str, str, str, Callable[[], object]]]:
    """Every attempt: the wall that should refuse it, the door, what is tried, and how."""
    folder, proc = Path(order.folder), Path("/proc") / str(order.pid)
    yield "files", "see", "list the folders of all tenants' jobs", lambda: names(Path(order.jobs_dir))
    yield "files", "see", "list the files of the other tenant's job", lambda: names(folder)
    yield "listing", "see", "read the command line of its process", lambda: (proc / "cmdline").read_bytes()
    yield "listing", "see", "find its process in the list of all", lambda: listed(order.pid)
    yield "processes", "stop", "send its process a signal", lambda: os.kill(order.pid, signal.SIGCONT)
    yield "files", "stop", "leave a file in its folder, as who cancels it does", lambda: leave(folder / "audit-probe")
    yield "files", "read_logs", "read its log", lambda: (folder / "log.txt").read_bytes()
    yield "files", "use_data", "read its result", lambda: (folder / "bait.json").read_bytes()
    yield "processes", "use_data", "read the environment of its process", lambda: (proc / "environ").read_bytes()
    yield "files", "use_data", "reach its folder through its process", lambda: (proc / "cwd" / "log.txt").read_bytes()
    yield "processes", "use_data", "open the memory of its process", lambda: (proc / "mem").open("rb").close()
    yield "processes", "use_data", "trace its process", lambda: trace(order.pid)
    yield "files", "use_data", "give its log a second name here", lambda: os.link(folder / "log.txt", "second-name")
    yield "files", "use_data", "read the disk that it lies on, past the file system", lambda: raw_disk(folder)
    yield "capabilities", "use_data", "hold capabilities that reach across tenants", capabilities
    for place in order.places:
        yield "files", "spend", f"read what the installation itself spends with: {Path(place).name}", lambda at=place: read_all(Path(at))  # type: ignore[misc]
    for name, port in order.parts.items():
        yield "ports", "stop", f"reach {name} of this installation, which takes no keys", lambda at=port: connect(at)  # type: ignore[misc]
    if order.other_user:
        yield "user", "use_data", "run as the same Unix user", lambda: same_user(order.uid)


def connect(port: int) -> None:
    """Open a connection and close it again."""
    socket.create_connection(("127.0.0.1", port), CONNECT_SECONDS).close()


def listed(pid: int) -> None:
    """Look for a process among all."""
    if str(pid) not in names(Path("/proc")):
        raise Refusal("it is not in the list")


def leave(file: Path) -> None:
    """Make a file, and take it away again."""
    file.touch()
    file.unlink()


def trace(pid: int) -> None:
    """Attach to a process without stopping it, and let go."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.ptrace(PTRACE_SEIZE, pid, None, None) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    library.ptrace(PTRACE_DETACH, pid, None, None)


def raw_disk(folder: Path) -> None:
    """Open the block device that holds a folder."""
    device = Path(folder.anchor).stat().st_dev
    name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").readlink().name
    with (Path("/dev") / name).open("rb") as stream:
        stream.read(1)


def capabilities() -> None:
    """Read which ones this process has."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff")), 16)
    names = [name for number, name in CAPABILITIES_ACROSS.items() if held >> number & 1]
    if not names:
        raise Refusal("it has none of them")


def names(folder: Path) -> list[str]:
    """List a folder."""
    return [each.name for each in folder.iterdir()]


def read_all(folder: Path) -> None:
    """Read every file that lies in a folder."""
    for file in [each for each in folder.iterdir() if each.is_file()]:
        file.read_bytes()


def same_user(uid: int) -> None:
    """Compare the users."""
    if os.getuid() != uid:
        raise Refusal(f"it runs as user {os.getuid()}, the other one as {uid}")


def attempt(door: str, tried: str, how: Callable[[], object]) -> Tried:
    """Try one thing; what is absent because it is hidden counts as refused."""
    try:
        how()
    except Refusal as error:
        return Tried(door, tried, refused=True, by=str(error))
    except OSError as error:
        return Tried(door, tried, refused=True, by=error.strerror or type(error).__name__)
    return Tried(door, tried, refused=False, by="")


def main() -> None:
    """Read whom to attack, try everything, write what came of it."""
    order = Order(**json.loads(Path(ORDER_FILE).read_text(encoding="utf-8")))
    found = [attempt(door, tried, how) for wall, door, tried, how in attempts(order) if wall not in order.missing]
    with suppress(OSError):
        # Read by the factory for the attacker: it must not be led along.
        Path(LINK_FILE).symlink_to(Path(order.folder) / "bait.json")
    Path(FOUND_FILE).write_text(json.dumps([asdict(each) for each in found]), encoding="utf-8")
    for each in found:
        sys.stdout.write(f"{each.door:10} {'refused' if each.refused else 'DONE':8} {each.tried}: {each.by}\n")


if __name__ == "__main__":
    main()
