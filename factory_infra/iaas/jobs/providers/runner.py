"""The process beside each job: waits for those before it, starts it as often as it may, writes the exit record. Standard library only.

Run as `python -m factory_infra.iaas.jobs.providers.runner FOLDER LOCK_FD LOG_BYTES [--again] [--no-groups]`, with the order on standard
input. The descriptor holds the lock of the folder: while this process lives, the lock is held, and that alone is what "running" means.
"""

import errno
import json
import os
import signal
import sys
from pathlib import Path

from factory_infra.iaas.jobs.providers.attempts import attempted
from factory_infra.iaas.jobs.providers.before import look
from factory_infra.iaas.jobs.providers.cage import Cages, end_left, hierarchies
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.order import Order, free_port, only_unit
from factory_infra.iaas.jobs.providers.parts import Tasks, run_nodes
from factory_infra.iaas.jobs.providers.process_tree import become_subreaper, descendants, send
from factory_infra.iaas.jobs.providers.verdict import Stop, failure, stopped
from factory_infra.iaas.jobs.providers.watch import SIGNALS, Ending, received, watched

LOOK_SECONDS = 0.2


def main() -> None:
    """Leave the caller at once, then run the job to its end."""
    folder, descriptor, log_bytes = JobFolder(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
    order = Order.received(sys.stdin.read(), log_bytes)
    if os.fork():
        # The caller waits only for this exit: the runner itself is nobody's child, and holds the lock through its descriptor.
        os._exit(0)
    for held in (descriptor, order.reach.ports_made):
        if held is not None:
            os.set_inheritable(held, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    become_subreaper()
    if "--again" in sys.argv:
        end_left(folder)
    runner = Runner(folder, order, groups="--no-groups" not in sys.argv)
    try:
        runner.run()
    except OSError as error:
        runner.fail(error)


class Runner:
    """Leads one job from its submission to its exit record."""

    def __init__(self, folder: JobFolder, order: Order, *, groups: bool) -> None:
        self._folder = folder
        self._order = order
        self._groups = groups

    def run(self) -> None:
        """Wait for the jobs before it, then start it; record the end, unless the whole stack goes down."""
        self._folder.write(self._folder.run, json.dumps({"pid": os.getpid(), "started_at": None}), lasting=False)
        stop, failed = self._wait()
        if stop is Stop.SILENT:
            return
        if stop is Stop.CANCELLED:
            ending: Ending | None = Ending(None, None, None, stopped(stop, self._order.walls))
        elif failed:
            reason = f"Job {failed}, which had to succeed before, did not."
            ending = Ending(None, None, None, failure("dependency_failed", reason, f"See why {failed} failed; then try this job again."))
        else:
            ending = self._play()
        if ending is not None:
            self._folder.write_exit(ending.record())

    def fail(self, error: OSError) -> None:
        """Record that the runner itself could not write its files; the space for this was reserved before."""
        code = "storage_full" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "job_failed"
        send(descendants(os.getpid()), signal.SIGKILL)
        problem = failure(code, f"The job's files could not be written: {error.strerror}.", "Free space on the disk.")
        self._folder.write_exit(Ending(None, None, None, problem).record())

    def _wait(self) -> tuple[Stop, str]:
        """Wait until the jobs before it have ended; returns what was asked for meanwhile, and the one that did not succeed."""
        if self._folder.cancel.exists():
            return Stop.CANCELLED, ""
        seconds = 0.0
        while True:
            stop = received(signal.sigtimedwait(SIGNALS, seconds)) if self._order.after else Stop.NONE
            before = look(self._folder.path.parent, self._order.after)
            if stop is not Stop.NONE or before.failed or not before.open:
                return stop, before.failed
            seconds = LOOK_SECONDS

    def _play(self) -> Ending | None:
        folder, order = self._folder, self._order
        cages = Cages(folder, hierarchies() if self._groups else [])
        facts: dict[str, object] = {"walls": held(cages.told, order)}
        try:
            if order.array:
                return attempted(folder, folder, 1, Tasks(order, folder, cages).run, facts)
            if order.nodes > 1:
                return attempted(folder, folder, order.attempts_max, lambda number: run_nodes(order, folder, cages, number), facts)
            unit = only_unit(order, folder)
            return attempted(folder, folder, order.attempts_max, lambda number: watched(unit.at(free_port()), number, cages), facts)
        finally:
            cages.remove()


def held(groups: dict[str, str], order: Order) -> dict[str, str]:
    """Say which wall is held by what on this host."""
    pinned = order.slot_kind == "cpu" and bool(order.slots)
    return {
        "memory": groups.get("memory", "rlimit, and looked at each second"),
        "processes": groups.get("pids", "rlimit, and looked at each second"),
        "cores": (f"affinity, {groups['cpu']}" if "cpu" in groups else "affinity") if pinned else "",
        "files": "rlimit",
        "log": "looked at four times a second",
    }


def runner_pid(folder: JobFolder) -> int | None:
    """Return the runner's process number once it has written it."""
    pid = (folder.read(folder.run) or {}).get("pid")
    return pid if isinstance(pid, int) and pid > 0 else None


if __name__ == "__main__":
    main()
