"""The seam to a cluster's queue: what is asked of Slurm, whether through its command line or its REST interface."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

Ending = Literal["withdraw", "ask", "kill"]
"""`withdraw` what has not begun, `ask` all its processes by SIGTERM, `kill` them and take the job out of the queue."""

STATES_WAITING = frozenset({"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"})
STATES_RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "RESIZING", "SIGNALING", "STAGE_OUT"})
NODES_MAX = 10_000


@dataclass(frozen=True)
class Order:
    """A job as it is handed to Slurm."""

    name: str
    script: str
    folder: str
    log: str
    partition: str
    account: str
    comment: str
    qos: str = ""
    user: str = ""
    nodes: int = 1
    cpus: int = 1
    gres: str = ""
    memory_mib: int = 1024
    minutes: int | None = None
    array: int = 0
    lanes: int = 0
    after: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True)
class Row:
    """What Slurm says of one job, or of one task of an array."""

    id: str
    name: str
    user: str
    state: str
    reason: str = ""
    nodes: str = ""
    starts_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    signal: int = 0

    @property
    def job(self) -> str:
        """The number without a task's index."""
        return self.id.partition("_")[0]

    @property
    def index(self) -> int | None:
        """The index of a task."""
        task = self.id.partition("_")[2]
        return int(task) if task.isdigit() else None

    @property
    def final(self) -> bool:
        """Whether the engine is done with it."""
        return self.state not in STATES_WAITING | STATES_RUNNING


class Engine(Protocol):
    """What a transport does. Each raises Unavailable (retryable) when Slurm does not answer; nobody knows then whether it was done."""

    def submit(self, order: Order, keep: tuple[int, ...] = ()) -> str:
        """Queue a job and return its number. Locks behind the descriptors last until the request is over, also when we are killed."""
        ...

    def queued(self, ids: Sequence[str]) -> list[Row]:
        """Return what slurmctld still knows of these jobs, a row for each task. Those that it does not know are left out."""
        ...

    def named(self, name: str, since: datetime) -> list[Row]:
        """Return every job of this name, also ended ones that the accounts remember, the oldest first."""
        ...

    def ended(self, ids: Sequence[str], since: datetime) -> list[Row]:
        """Return what the accounts remember of these jobs; nothing where the cluster keeps none."""
        ...

    def end(self, job_id: str, how: Ending) -> None:
        """Take a job back, ask for its end, or kill it and all its processes. Not an error for one that ended."""
        ...


@runtime_checkable
class Releasing(Protocol):
    """An extra ability: a job that Slurm holds by itself is let go."""

    def release(self, job_id: str) -> None:
        """Let a held job wait for its turn again. Not an error for one that is not held any more."""
        ...


def expanded(nodes: str) -> list[str]:
    """Return the names in a node list such as `n[1-3,7],gpu01`."""
    names: list[str] = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*", nodes):
        names += _expanded(part.strip())
        if len(names) > NODES_MAX:
            break
    return [name for name in names if name not in {"", "(null)", "None", "None assigned"}][:NODES_MAX]


def _expanded(part: str) -> list[str]:
    before, bracket, rest = part.partition("[")
    if not bracket:
        return [part]
    inside, _, after = rest.partition("]")
    numbers = [number for piece in inside.split(",") for number in _numbers(piece)]
    return [f"{before}{number}{tail}" for number in numbers for tail in _expanded(after)]


def _numbers(piece: str) -> list[str]:
    first, dash, last = piece.partition("-")
    if not dash or not (first.isdigit() and last.isdigit()):
        return [piece]
    return [str(number).zfill(len(first)) for number in range(int(first), min(int(last), int(first) + NODES_MAX) + 1)]
