"""The nodes of a job, which live and end together, and the tasks of an array, which do not. Standard library only: the runner loads it."""

import json
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import cast

from factory_infra.iaas.jobs.providers.attempts import attempted
from factory_infra.iaas.jobs.providers.before import code_of
from factory_infra.iaas.jobs.providers.cage import Cages
from factory_infra.iaas.jobs.providers.folder import OWN_FILES, JobFolder, open_plain
from factory_infra.iaas.jobs.providers.group import Group
from factory_infra.iaas.jobs.providers.order import Order, Unit, free_port, node_unit, task_unit
from factory_infra.iaas.jobs.providers.process_tree import end_orphans, kill_strays
from factory_infra.iaas.jobs.providers.verdict import Stop, failure, stopped
from factory_infra.iaas.jobs.providers.walls_local import WallOrder, give, hand_over
from factory_infra.iaas.jobs.providers.watch import Ending, now, watched

NAMED_MAX = 10
VANISHED = failure("job_failed", "The process that watched it was killed.", "Ask for the job again.")


def run_nodes(order: Order, folder: JobFolder, cages: Cages, attempt: int) -> Ending | None:
    """Start the program once for each node. When one fails, the others are ended. Returns None where the stack goes down."""
    began, port, first = now(), free_port(), list[Ending]()
    for rank in range(order.nodes):
        records = node_unit(order, folder, rank).records
        records.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        records.exit.unlink(missing_ok=True)

    def live(rank: int, _lane: int) -> None:
        unit = node_unit(order, folder, rank)
        ending = watched(unit.at(port), attempt, cages)
        if ending is not None:
            unit.records.write(unit.records.exit, json.dumps(ending.record()), lasting=False)

    def ended(rank: int, killed: bool) -> bool:
        records = node_unit(order, folder, rank).records
        ending = ending_of(records.read(records.exit), killed=killed)
        if ending.failure is None:
            return False
        if not first:
            first.append(told_of(f"Node {rank}", ending, ending.failure))
            folder.say(f"node {rank} did not succeed: the others are ended")
        return True

    stop = Group(range(order.nodes), order.nodes, live, ended).run()
    end_orphans()
    if stop is not Stop.NONE:
        return None if stop is Stop.SILENT else Ending(None, None, began, stopped(stop, order.walls))
    return first[0] if first else Ending(0, None, began, None)


def ending_of(record: dict[str, object] | None, *, killed: bool) -> Ending:
    """Read an exit record. A watcher that was killed has written none, nor has one that went down with the stack."""
    if record is None:
        return Ending(None, None, None, VANISHED if killed else None)
    return Ending(
        cast("int | None", record["exit_code"]),
        cast("int | None", record["signal"]),
        cast("str | None", record["started_at"]),
        cast("dict[str, str] | None", record["failure"]),
    )


def told_of(part: str, ending: Ending, problem: dict[str, str]) -> Ending:
    """The same ending, with the part that it was."""
    return Ending(ending.exit_code, ending.number, ending.started_at, problem | {"reason": f"{part}: {problem['reason']}"})


class Tasks:
    """Runs the tasks of an array that have not ended yet: so many at a time as there are lanes."""

    def __init__(self, order: Order, folder: JobFolder, cages: Cages) -> None:
        self._order = order
        self._folder = folder
        self._cages = cages
        self._walls = order.reach
        self._lanes = min(order.lanes(), order.array)
        self._states: Counter[str] = Counter()
        self._failed: list[int] = []

    def run(self, _attempt: int) -> Ending | None:
        """Run them all; one that fails lets the others go on. Returns None where the stack goes down. Raises OSError."""
        began = now()
        self._folder.tasks.mkdir(mode=0o700, exist_ok=True)
        waiting = [index for index in range(self._order.array) if not self._ended_before(index)]
        self._write()
        stop = Group(waiting, self._lanes, self._live, self._ended).run()
        end_orphans()
        if stop is not Stop.NONE:
            return None if stop is Stop.SILENT else Ending(None, None, began, stopped(stop, self._order.walls))
        return Ending(None if self._failed else 0, None, began, self._failure())

    def _live(self, index: int, lane: int) -> None:
        unit = task_unit(self._order, self._folder, index, lane)
        again = unit.records.run.exists()
        prepare_task(self._folder, unit.work, self._walls)
        if again:
            unit.work.say("started again")
        start = partial(watch_task, unit, self._cages)
        ending = attempted(unit.records, unit.work, self._order.attempts_max, start, {})
        if ending is not None:
            unit.records.write(unit.records.exit, json.dumps(ending.record()))

    def _ended_before(self, index: int) -> bool:
        task = JobFolder(self._folder.task(index))
        record = task.read(task.exit)
        if record is not None:
            self._count(index, record)
        return record is not None

    def _ended(self, index: int, killed: bool) -> bool:
        task = JobFolder(self._folder.task(index))
        record = task.read(task.exit)
        if record is None and killed:
            self._cages.end(f"task{index}-")
            kill_strays(task.path)
            record = ending_of(None, killed=True).record()
            task.path.mkdir(mode=0o700, exist_ok=True)
            task.write(task.exit, json.dumps(record))
        if record is not None:
            self._count(index, record)
            self._write()
        return False

    def _count(self, index: int, record: dict[str, object]) -> None:
        code = code_of(record)
        self._states["succeeded" if not code else "cancelled" if code == "cancelled" else "failed"] += 1
        if code:
            self._failed.append(index)

    def _write(self) -> None:
        left = self._order.array - self._states.total()
        running = min(self._lanes, left)
        counts = {**self._states, "running": running, "pending": left - running}
        self._folder.write(self._folder.counts, json.dumps({name: count for name, count in counts.items() if count}), lasting=False)

    def _failure(self) -> dict[str, str] | None:
        if not self._failed:
            return None
        named = ", ".join(str(index) for index in sorted(self._failed)[:NAMED_MAX]) + (", …" if len(self._failed) > NAMED_MAX else "")
        reason = f"{len(self._failed)} of {self._order.array} tasks did not succeed: {named}."
        return failure("job_failed", reason, f"Read a task's log, such as that of {self._order.job_id}.{min(self._failed)}.")


def watch_task(unit: Unit, cages: Cages, attempt: int) -> Ending | None:
    """Run a task once."""
    return watched(unit.at(free_port()), attempt, cages)


def prepare_task(folder: JobFolder, task: JobFolder, walls: WallOrder) -> None:
    """Make a task's folder with its own copies of what lies in the job's. Raises OSError."""
    task.path.mkdir(mode=0o700, exist_ok=True)
    made = [task.tmp, task.checkpoint]
    for path in made:
        path.mkdir(mode=0o700, exist_ok=True)
    for name in sorted({path.name for path in folder.path.iterdir()} - OWN_FILES):
        if not (task.path / name).exists() and not name.endswith(".new"):
            with suppress(OSError), open_plain(folder.path / name) as stream:  # a job may have left a folder or a link there
                task.write(task.path / name, stream.read().decode(errors="replace"), lasting=False)
                made.append(task.path / name)
    give(task.path, walls)
    for path in made:
        hand_over(path, walls)
