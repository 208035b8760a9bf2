"""Finding, measuring and ending a job's processes through /proc. Standard library only: the runner loads it."""

import ctypes
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PROC = Path("/proc")
KIB = 1024


def become_subreaper() -> None:
    """Let orphans among our descendants become our children, so that a daemonised one is still found."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """In a new child: be killed when the parent dies, also when it died before this call."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def descendants(pid: int) -> list[int]:
    """Return every process below this one, nearest first."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = [child for parent in waiting for child in children_of(parent)]
        found += children
        waiting = children
    return found


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process, of all its threads."""
    children: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                children += [int(child) for child in (thread / "children").read_text().split()]
    return children


def end_orphans() -> None:
    """Kill every process below this one and collect it: what watchers that were killed have left."""
    while True:
        send(descendants(os.getpid()), signal.SIGKILL)
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
        except ChildProcessError:
            return


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal each process that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def resident_bytes(pids: list[int]) -> int:
    """Return the memory that these processes hold, shared pages counted once for each."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(words[1]) * page for words in (read_words(pid, "statm") for pid in pids) if len(words) > 1)


def proportional_bytes(pids: list[int]) -> int:
    """Return the memory that these processes hold, shared pages divided among their users; slower than `resident_bytes`."""
    total = 0
    for pid in pids:
        words = read_words(pid, "smaps_rollup")
        if "Pss:" in words:
            total += int(words[words.index("Pss:") + 1]) * KIB
    return total


def read_words(pid: int, name: str) -> list[str]:
    """Return the words of a file under /proc/PID, or none once the process is gone."""
    with suppress(OSError):
        return (PROC / str(pid) / name).read_text().split()
    return []


def threads_of_user() -> int:
    """Count the threads that this user runs: what RLIMIT_NPROC is measured against."""
    own = os.getuid()
    total = 0
    for entry in pids():
        with suppress(OSError):
            if (PROC / str(entry)).stat().st_uid == own:
                total += sum(1 for _ in (PROC / str(entry) / "task").iterdir())
    return total


def pids() -> Iterator[int]:
    """Yield the number of each process that exists."""
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def kill_strays(job_dir: Path) -> int:
    """Kill what a killed runner left behind: processes that carry the job's folder, or a task's, in their environment; return how many."""
    mark = f"LINESHAFT_JOB_DIR={job_dir}".encode()
    killed = 0
    for _ in range(5):
        strays = [pid for pid in pids() if pid != os.getpid() and marked(pid, mark)]
        if not strays:
            break
        send(strays, signal.SIGKILL)
        killed += len(strays)
        time.sleep(0.05)
    return killed


def marked(pid: int, mark: bytes) -> bool:
    """Whether a process carries a variable with this value, or with one that lies below it."""
    return any(entry == mark or entry.startswith(mark + b"/") for entry in environment_of(pid))


def environment_of(pid: int) -> list[bytes]:
    """Return a process's environment as it began, or nothing where it may not be read."""
    with suppress(OSError):
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    return []


def arguments_of(pid: int) -> list[bytes]:
    """Return a process's arguments, or nothing where they may not be read."""
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    return []


def parent_of(pid: int) -> int:
    """Return a process's parent, 0 once it is gone."""
    words = read_words(pid, "status")
    return int(words[words.index("PPid:") + 1]) if "PPid:" in words else 0


def oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it started."""
    with suppress(OSError):
        words = (PROC / "vmstat").read_text().split()
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return 0
