"""One program from its start to its end: put into its walls, watched, ended with everything that it started. Standard library only."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from factory_infra.iaas.jobs.providers.cage import Bounds, Cage, Cages
from factory_infra.iaas.jobs.providers.order import Order, Unit
from factory_infra.iaas.jobs.providers.process_tree import (
    descendants,
    die_with_parent,
    oom_kills,
    proportional_bytes,
    resident_bytes,
    send,
    threads_of_user,
)
from factory_infra.iaas.jobs.providers.verdict import Stop, failure, failure_of
from factory_infra.iaas.jobs.providers.walls_local import Enclosure

GIB = 1024**3
GRACE_SECONDS = 5.0
SILENT_GRACE_SECONDS = 1.0
WATCH_SECONDS = 0.25
SCAN_SECONDS = 1.0
PROCESSES_SPARE = 64
NICE = 5
SEARCH_PATH = os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"])
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD)


@dataclass(frozen=True)
class Ending:
    """How a program, or a job as a whole, ended. `failure` is None for success."""

    exit_code: int | None
    number: int | None
    started_at: str | None
    failure: dict[str, str] | None

    def record(self) -> dict[str, object]:
        """As it is written down, with the present moment as its end."""
        return {
            "exit_code": self.exit_code,
            "signal": self.number,
            "started_at": self.started_at,
            "finished_at": now(),
            "failure": self.failure,
        }


class Watch:
    """Watches one program. The process that calls it must be a subreaper, with SIGNALS blocked."""

    def __init__(self, unit: Unit, attempt: int, cage: Cage) -> None:
        self._unit = unit
        self._attempt = attempt
        self._cage = cage
        self._started_at = now()
        self._scanned_at = 0.0
        self._oom_kills = oom_kills()
        self._status: int | None = None
        self._child = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._log = unit.work.open_log()  # held: a program may put another file in the log's place

    def run(self) -> Ending | None:
        """Start, watch, end the tree. Returns None where the whole stack goes down: then nothing is recorded. Raises OSError."""
        problem = self._start()
        if problem is not None:
            return Ending(None, None, self._started_at, failure("job_failed", problem, "Check the argument vector."))
        stop = self._end_tree(self._watch())
        if stop is Stop.LOG:
            cut(self._log, self._unit.order.walls.log_bytes)
        os.close(self._log)
        return None if stop is Stop.SILENT else self._ending(stop)

    def _start(self) -> str | None:
        order, work = self._unit.order, self._unit.work
        try:
            enclosure = Enclosure.of(order.reach)
        except OSError as error:
            return f"The walls around the job could not be made: {error}"
        try:
            process = subprocess.Popen(
                order.argv,
                cwd=work.path,
                env=environment_for(self._unit, self._attempt),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                preexec_fn=walls(order, self._cage, enclosure),
            )
        except (OSError, subprocess.SubprocessError) as error:
            return f"The job's program could not be started: {error}"
        finally:
            enclosure.close()
        self._process = process  # kept: a Popen that is collected reaps its child, and the exit status would be lost to us
        self._child = process.pid
        return None

    def _watch(self) -> Stop:
        """Wait for the program's own end, a signal, the wall time or a bound that is passed, whichever comes first."""
        seconds = self._unit.order.walls.seconds
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._status is None:
            left = WATCH_SECONDS if deadline is None else min(WATCH_SECONDS, deadline - time.monotonic())
            stop = received(signal.sigtimedwait(SIGNALS, max(left, 0)))
            self._reap()
            if self._status is not None or stop is not Stop.NONE:
                return stop
            if deadline is not None and time.monotonic() >= deadline:
                return Stop.TIMEOUT
            stop = self._passed()
            if stop is not Stop.NONE:
                return stop
        return Stop.NONE

    def _passed(self) -> Stop:
        """Say which bound the program and all that it started have passed."""
        walls, held = self._unit.order.walls, self._cage.told
        if os.fstat(self._log).st_size > walls.log_bytes:
            return Stop.LOG
        if self._cage.counted("memory"):
            return Stop.MEMORY
        if self._cage.counted("pids"):
            return Stop.PROCESSES
        if {"memory", "pids"} <= held.keys() or time.monotonic() < self._scanned_at + SCAN_SECONDS:
            return Stop.NONE
        self._scanned_at = time.monotonic()
        tree = descendants(os.getpid())
        if len(tree) > walls.processes:
            return Stop.PROCESSES
        limit = walls.memory_gib * GIB
        return Stop.MEMORY if resident_bytes(tree) > limit and proportional_bytes(tree) > limit else Stop.NONE

    def _end_tree(self, stop: Stop) -> Stop:
        """Ask the tree to end, then kill what is left, until not one child remains."""
        grace = {Stop.CANCELLED: GRACE_SECONDS, Stop.TIMEOUT: GRACE_SECONDS, Stop.SILENT: SILENT_GRACE_SECONDS}.get(stop, 0.0)
        deadline = time.monotonic() + grace
        if grace:
            send(descendants(os.getpid()), signal.SIGTERM)
        while self._reap():
            left = deadline - time.monotonic()
            if left <= 0:
                self._kill()
                left = 0.1
            if received(signal.sigtimedwait(SIGNALS, left)) is Stop.SILENT:
                stop, deadline = Stop.SILENT, min(deadline, time.monotonic() + SILENT_GRACE_SECONDS)
        return stop

    def _kill(self) -> None:
        """Kill the tree; one that forks faster than it is killed is stopped first."""
        self._cage.kill()
        tree: list[int] = []
        while len(more := descendants(os.getpid())) > len(tree):
            tree = more
            send(tree, signal.SIGSTOP)
        send(tree, signal.SIGKILL)

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

    def _ending(self, stop: Stop) -> Ending:
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        exit_code, number = (None, None) if code is None else (code, None) if code >= 0 else (None, -code)
        if stop is Stop.NONE and code != 0:
            stop = self._hidden_reason(number)
        log = self._unit.work.log
        return Ending(exit_code, number, self._started_at, failure_of(stop, exit_code, number, log, self._unit.order.walls))

    def _hidden_reason(self, number: int | None) -> Stop:
        """Say what a bound did to a program that failed before we looked."""
        killed = self._cage.counted("memory") or (number == signal.SIGKILL and oom_kills() > self._oom_kills)
        return Stop.MEMORY if killed else Stop.PROCESSES if self._cage.counted("pids") else Stop.NONE


def watched(unit: Unit, attempt: int, cages: Cages) -> Ending | None:
    """Run a unit once, in a cage of its own that is gone afterwards. Returns None where the whole stack goes down. Raises OSError."""
    order = unit.order
    cores = len(order.slots) if order.slot_kind == "cpu" and order.slots else None
    cage = cages.cage(f"{unit.name}-{attempt}", Bounds.of(order.walls, cores))
    try:
        return Watch(unit, attempt, cage).run()
    finally:
        cage.remove()


def received(info: signal.struct_siginfo | None) -> Stop:
    """Say what a signal to the runner asks for."""
    number = info.si_signo if info else 0
    return {int(signal.SIGTERM): Stop.CANCELLED, int(signal.SIGUSR1): Stop.SILENT}.get(number, Stop.NONE)


def walls(order: Order, cage: Cage, enclosure: Enclosure) -> Callable[[], None]:
    """Return what the new child does before it becomes the program. The cage is first: inside the walls its files are closed."""
    parent, cores = os.getpid(), cores_of(order)
    counted = "pids" in cage.told or os.geteuid() == 0
    # A little above the bound, so that the look at the tree finds out and tells; the limit alone would only refuse.
    processes = None if counted else threads_of_user() + order.walls.processes + PROCESSES_SPARE

    def enter() -> None:
        os.setsid()
        try:
            cage.enter()
            enclosure.enter()
        except OSError as error:
            os.write(2, f"-- the walls around the job could not be closed: {error} --\n".encode())
            raise
        die_with_parent(parent)  # after the walls: a change of user forgets it
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        set_limits(order, processes)
        if cores:
            with suppress(OSError):
                os.sched_setaffinity(0, cores)
        if not order.service:
            os.nice(NICE)

    return enter


def set_limits(order: Order, processes: int | None) -> None:
    """In the new child: set the kernel's limits, never above the hard ones."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: order.walls.file_bytes}
    if processes is not None:
        limits[resource.RLIMIT_NPROC] = processes
    if order.slot_kind != "gpu":
        # A GPU driver reserves far more addresses than it uses; there the watch on resident memory, or the cage, is the only wall.
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


def environment_for(unit: Unit, attempt: int) -> dict[str, str]:
    """Return a clean environment: nothing of ours reaches a job but what its specification names."""
    threads = str(max(len(unit.order.slots), 1))
    own = {
        "PATH": SEARCH_PATH,
        "HOME": str(unit.work.path),
        "TMPDIR": str(unit.work.tmp),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
    }
    ours = {
        "LINESHAFT_JOB_ID": unit.order.job_id,
        "LINESHAFT_JOB_DIR": str(unit.work.path),
        "LINESHAFT_CHECKPOINT_DIR": str(unit.work.checkpoint),
        "LINESHAFT_ATTEMPT": str(attempt),
    }
    return own | unit.order.environment | gpus_of(unit.order) | unit.variables | ours


def gpus_of(order: Order) -> dict[str, str]:
    """Return what shows a job its leased GPUs and no others; CUDA must count them as NVML does, not the fastest first."""
    named = list(dict.fromkeys(order.devices)) or [str(index) for index in order.slots]  # two shares of one GPU name it once
    return {"CUDA_VISIBLE_DEVICES": ",".join(named) if order.slot_kind == "gpu" else "", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def cut(log: int, length: int) -> None:
    """Cut a log that passed its bound, and say so at its end."""
    os.ftruncate(log, length)
    os.write(log, b"\n-- the log reached its limit: the job was ended --\n")


def now() -> str:
    """The present moment, with its zone."""
    return datetime.now(UTC).isoformat()
