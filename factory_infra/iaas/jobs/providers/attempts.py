"""How often a program was started, and whether it is started once more. Standard library only: the runner loads it."""

import json
import os
from collections.abc import Callable

from factory_infra.iaas.jobs.providers.folder import JobFolder
from factory_infra.iaas.jobs.providers.watch import Ending, now

TRIED_AGAIN = frozenset({"job_failed", "job_memory"})
"""What a further attempt may mend. A job that ran too long, wrote too much or was cancelled is not started again by itself."""


def started(folder: JobFolder) -> int:
    """How often the program was started in all."""
    return count_of(folder, "started")


def count_of(folder: JobFolder, name: str) -> int:
    """One of the two counts; what a job made of it counts as none."""
    value = (folder.read(folder.attempts) or {}).get(name)
    return value if isinstance(value, int) else 0


def forgive(folder: JobFolder) -> None:
    """Begin to count failures anew: somebody asked for the job again."""
    if folder.attempts.exists():
        folder.write(folder.attempts, json.dumps({"started": started(folder), "failures": 0}))


def attempted(
    folder: JobFolder, log: JobFolder, attempts_max: int, start: Callable[[int], Ending | None], facts: dict[str, object]
) -> Ending | None:
    """Start a program until it succeeds or has failed as often as it may; return its last ending, None where the stack goes down.

    Args:
        folder: where the count and the run record lie; they outlive this process, so a lost host costs no attempt.
        log: where a line says that it is started again.
        start: starts the program and waits for its end; it is told the number of the attempt.
        facts: what else the run record tells.
    """
    while True:
        number, failures = count_of(folder, "started") + 1, count_of(folder, "failures")
        folder.write(folder.attempts, json.dumps({"started": number, "failures": failures}), lasting=False)
        folder.write(folder.run, json.dumps({"pid": os.getpid(), "started_at": now(), "attempt": number, **facts}), lasting=False)
        ending = start(number)
        if ending is None or ending.failure is None or ending.failure["code"] not in TRIED_AGAIN:
            return ending
        failures += 1
        folder.write(folder.attempts, json.dumps({"started": number, "failures": failures}), lasting=False)
        if failures >= attempts_max or log.cancel.exists():
            return ending
        log.say(f"attempt {number + 1} begins, {failures} of {attempts_max} failed: {ending.failure['reason'][:200]}")
