"""Reaching a job's runner: by a descriptor of its process, and only while it holds its lock, so that no stranger is ever signalled."""

import os
import signal
import time
from collections.abc import Callable

from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.process_tree import kill_strays
from factory_infra.iaas.jobs.providers.runner import runner_pid

START_SECONDS = 1.0
POLL_SECONDS = 0.02


def tell(folder: JobFolder, number: signal.Signals) -> bool:
    """Send a signal to the runner; return False where it has not said its number or is gone."""
    pid = runner_pid(folder)
    if pid is None:
        return False
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        # The descriptor pins the process; the lock that is still held then says that it is the runner.
        if folder.alive():
            signal.pidfd_send_signal(descriptor, number)
            return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return False


def runner_known(folder: JobFolder) -> bool:
    """Whether the runner can be signalled, or there is none any more."""
    return runner_pid(folder) is not None or not folder.alive()


def cancel_runner(folder: JobFolder, seconds: float) -> bool:
    """Let the runner end its tree and write the record; kill it when that takes too long. Returns whether it let go of the lock."""
    wait_for(lambda: runner_known(folder), START_SECONDS)
    tell(folder, signal.SIGTERM)
    return wait_for(lambda: not folder.alive(), seconds) or kill_runner(folder)


def kill_runner(folder: JobFolder) -> bool:
    """Kill the runner, and with it the tree. Returns whether the lock is free."""
    tell(folder, signal.SIGKILL)
    free = wait_for(lambda: not folder.alive(), START_SECONDS)
    kill_strays(folder.path)
    return free


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition of the file system for at most this long; return whether it came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
