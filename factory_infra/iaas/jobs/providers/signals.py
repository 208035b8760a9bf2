"""Reaching a job's runner: by a descriptor of its process, and only while it holds its lock, so that no stranger is ever signalled."""

import os
import signal
import time
from collections.abc import Callable

from factory_infra.iaas.jobs.providers.cage import end_left
from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.process_tree import arguments_of, parent_of, pids
from factory_infra.iaas.jobs.providers.runner import runner_pid

RUNNER = "factory_infra.iaas.jobs.providers.runner"
START_SECONDS = 1.0
POLL_SECONDS = 0.02


def tell(folder: JobFolder, number: signal.Signals) -> bool:
    """Send a signal to the runner; return False where it has not said its number or is gone."""
    pid = true_runner(folder)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor pins the process; asked after that, its arguments and the lock that is held say that it is the runner.
        if folder.alive() and watches(pid, folder):
            signal.pidfd_send_signal(descriptor, number)
            return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return False


def true_runner(folder: JobFolder) -> int | None:
    """Return the runner's number: as it wrote it, or, where the job has written another, that of the process with its arguments."""
    pid = runner_pid(folder)
    if pid is None or watches(pid, folder):
        return pid
    found = {each for each in pids() if watches(each, folder)}
    return next((each for each in found if parent_of(each) not in found), None)  # those forked from it have the same arguments


def watches(pid: int, folder: JobFolder) -> bool:
    """Whether a process is a runner of this job, by its arguments: these a job can give to its own processes only."""
    arguments = arguments_of(pid)
    return RUNNER.encode() in arguments and str(folder.path).encode() in arguments


def runner_known(folder: JobFolder) -> bool:
    """Whether the runner can be signalled, or there is none any more."""
    return runner_pid(folder) is not None or not folder.alive()


def cancel_runner(folder: JobFolder, seconds: float) -> bool:
    """Let the runner end its tree and write the record; kill it when that takes too long. Returns whether it let go of the lock."""
    wait_for(lambda: runner_known(folder), START_SECONDS)
    told = tell(folder, signal.SIGTERM)
    return wait_for(lambda: not folder.alive(), seconds if told else 0) or kill_runner(folder)


def kill_runner(folder: JobFolder) -> bool:
    """Kill the runner, and with it the tree. Returns whether the lock is free."""
    tell(folder, signal.SIGKILL)
    wait_for(lambda: not folder.alive(), START_SECONDS)
    end_left(folder)
    return wait_for(lambda: not folder.alive(), START_SECONDS)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition of the file system for at most this long; return whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
