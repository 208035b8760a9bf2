"""The process beside each job: starts it inside its walls, ends its whole tree, writes the exit record. Standard library only.

Run as `python -m factory_infra.iaas.jobs.providers.runner FOLDER LOCK_FD [--again]`. The descriptor holds the lock of the folder: while
this process lives, the lock is held, and that alone is what "running" means.
"""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.process_tree import (
    become_subreaper,
    descendants,
    die_with_parent,
    kill_strays,
    oom_kills,
    proportional_bytes,
    resident_bytes,
    send,
    threads_of_user,
)
from factory_infra.iaas.jobs.providers.verdict import Stop, Walls, failure, failure_of

GIB = 1024**3
GRACE_SECONDS = 5.0
SILENT_GRACE_SECONDS = 1.0
WATCH_SECONDS = 1.0
NICE = 5
PROCESSES_MORE = 512
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)


@dataclass(frozen=True)
class Order:
    """What spec.json asks for."""

    argv: list[str]
    environment: dict[str, str]
    slot_kind: str
    slots: list[int]
    service: bool
    walls: Walls

    @classmethod
    def read(cls, folder: JobFolder) -> "Order":
        """Read it; the specification was checked before it was written."""
        spec = json.loads(folder.spec.read_text(encoding="utf-8"))
        limits = spec["limits"]
        seconds = None if spec["service"] else limits["seconds"]
        walls = Walls(memory_gib=limits["memory_gib"], file_gib=limits["file_gib"], seconds=seconds)
        return cls(spec["argv"], spec["environment"], spec["slot_kind"], spec["slots"], spec["service"], walls)


def main() -> None:
    """Leave the caller at once, then run the job to its end."""
    folder, descriptor = JobFolder(Path(sys.argv[1])), int(sys.argv[2])
    if os.fork():
        # The caller waits only for this exit: the runner itself is nobody's child, and holds the lock through its descriptor.
        os._exit(0)
    os.set_inheritable(descriptor, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    become_subreaper()
    if "--again" in sys.argv:
        kill_strays(folder.path)
    runner = Runner(folder, Order.read(folder))
    try:
        runner.run()
    except OSError as error:
        runner.fail(error)


class Runner:
    """Watches one job from its start to its exit record."""

    def __init__(self, folder: JobFolder, order: Order) -> None:
        self._folder = folder
        self._order = order
        self._started_at = now()
        self._oom_kills = oom_kills()
        self._status: int | None = None
        self._child = 0
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start, watch, end the tree, record."""
        self._folder.write(self._folder.run, json.dumps({"pid": os.getpid(), "started_at": self._started_at}))
        stop = Stop.CANCELLED if self._folder.cancel.exists() else Stop.NONE
        problem = None if stop is Stop.CANCELLED else self._start()
        if problem is not None:
            self._record(failure("job_failed", f"The job's program could not be started: {problem}", "Check the argument vector."))
            return
        if stop is Stop.NONE:
            stop = self._watch()
        stop = self._end_tree(stop)
        if stop is not Stop.SILENT:
            self._record(self._failure(stop))

    def fail(self, error: OSError) -> None:
        """Record that the runner itself could not write its files; the space for this was reserved before."""
        code = "storage_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "job_failed"
        send(descendants(os.getpid()), signal.SIGKILL)
        self._record(failure(code, f"The job's files could not be written: {error.strerror}.", "Free space on the disk."))

    def _start(self) -> str | None:
        parent, order = os.getpid(), self._order
        cores, nproc = cores_of(order), threads_of_user() + PROCESSES_MORE

        def walls() -> None:
            os.setsid()
            die_with_parent(parent)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            set_walls(order, nproc)
            if cores:
                with suppress(OSError):
                    os.sched_setaffinity(0, cores)
            if not order.service:
                os.nice(NICE)

        with self._folder.log.open("ab") as log:
            try:
                process = subprocess.Popen(
                    order.argv,
                    cwd=self._folder.path,
                    env=environment_for(order, self._folder),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    preexec_fn=walls,
                )
            except (OSError, subprocess.SubprocessError) as error:
                return str(error)
        self._process = process  # kept: a Popen that is collected reaps its child, and the exit status would be lost to us
        self._child = process.pid
        return None

    def _watch(self) -> Stop:
        """Wait for the job's own process, a signal, the wall time or the memory limit, whichever comes first."""
        seconds = self._order.walls.seconds
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._status is None:
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            stop = received(signal.sigtimedwait(SIGNALS, max(left, 0)))
            self._reap()
            if self._status is not None or stop is not Stop.NONE:
                return stop
            if deadline is not None and time.monotonic() >= deadline:
                return Stop.TIMEOUT
            if self._over_memory():
                return Stop.MEMORY
        return Stop.NONE

    def _over_memory(self) -> bool:
        limit = self._order.walls.memory_gib * GIB
        tree = descendants(os.getpid())
        return resident_bytes(tree) > limit and proportional_bytes(tree) > limit

    def _end_tree(self, stop: Stop) -> Stop:
        """Ask the tree to end, then kill what is left, until not one child remains."""
        grace = {Stop.CANCELLED: GRACE_SECONDS, Stop.TIMEOUT: GRACE_SECONDS, Stop.SILENT: SILENT_GRACE_SECONDS}.get(stop, 0.0)
        deadline = time.monotonic() + grace
        if grace:
            send(descendants(os.getpid()), signal.SIGTERM)
        while self._reap():
            left = deadline - time.monotonic()
            if left <= 0:
                send(descendants(os.getpid()), signal.SIGKILL)
                left = 0.1
            if received(signal.sigtimedwait(SIGNALS, left)) is Stop.SILENT:
                stop, deadline = Stop.SILENT, min(deadline, time.monotonic() + SILENT_GRACE_SECONDS)
        return stop

    def _reap(self) -> bool:
        """Collect ended children; return whether any child remains."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return True
                if pid == self._child:
                    self._status = status
        return False

    def _failure(self, stop: Stop) -> dict[str, str] | None:
        exit_code, number = self._exit()
        if stop is Stop.NONE and number == signal.SIGKILL and oom_kills() > self._oom_kills:
            stop = Stop.MEMORY
        return failure_of(stop, exit_code, number, self._folder.log, self._order.walls)

    def _exit(self) -> tuple[int | None, int | None]:
        if self._status is None:
            return None, None
        code = os.waitstatus_to_exitcode(self._status)
        return (code, None) if code >= 0 else (None, -code)

    def _record(self, problem: dict[str, str] | None) -> None:
        exit_code, number = self._exit()
        self._folder.write_exit(
            {"exit_code": exit_code, "signal": number, "started_at": self._started_at, "finished_at": now(), "failure": problem}
        )


def received(info: signal.struct_siginfo | None) -> Stop:
    """Say what a signal to the runner asks for."""
    number = info.si_signo if info else 0
    return {int(signal.SIGTERM): Stop.CANCELLED, int(signal.SIGUSR1): Stop.SILENT}.get(number, Stop.NONE)


def set_walls(order: Order, processes: int) -> None:
    """In the new child: set the kernel's limits, never above the hard ones."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: order.walls.file_bytes, resource.RLIMIT_NPROC: processes}
    if order.slot_kind != "gpu":
        # A GPU driver reserves far more addresses than it uses; there the watch on resident memory is the only wall.
        limits[resource.RLIMIT_AS] = int(order.walls.memory_gib * GIB)
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (wanted, wanted))


def cores_of(order: Order) -> set[int]:
    """Return the leased cores: a slot's index is a position among the cores that we may use, in order."""
    if order.slot_kind != "cpu":
        return set()
    allowed = sorted(os.sched_getaffinity(0))
    return {allowed[index] for index in order.slots if 0 <= index < len(allowed)}


def environment_for(order: Order, folder: JobFolder) -> dict[str, str]:
    """Return a clean environment: nothing of ours reaches a job but what its specification names."""
    threads = str(max(len(order.slots), 1))
    own = {
        "PATH": SEARCH_PATH,
        "HOME": str(folder.path),
        "TMPDIR": str(folder.tmp),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
    }
    return own | order.environment | gpus_of(order) | {"LINESHAFT_JOB_DIR": str(folder.path)}


def gpus_of(order: Order) -> dict[str, str]:
    """Return what shows a job its leased GPUs and no others; CUDA must count them as NVML does, not the fastest first."""
    visible = ",".join(str(index) for index in order.slots) if order.slot_kind == "gpu" else ""
    return {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def now() -> str:
    """The present moment, with its zone."""
    return datetime.now(UTC).isoformat()


def runner_pid(folder: JobFolder) -> int | None:
    """Return the runner's process number once it has written it."""
    record = folder.read(folder.run)
    return cast("int", record["pid"]) if record else None


if __name__ == "__main__":
    main()
