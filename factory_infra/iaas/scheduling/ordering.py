"""Who comes first: what waits, in lines of workloads that ask for the same, in the order that the policy wants."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from factory_infra.iaas.scheduling.models import Workload
from factory_infra.iaas.scheduling.policy import Order
from factory_infra.iaas.scheduling.quotas import Need

Key = tuple[float, ...]
"""Where a workload stands in its queue: the smallest comes first; its last part is the number of its submission."""
Kind = int
"""A number for all workloads that ask for the same: shape, members, topology and pools. One that fits says it for all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A workload that the scheduler knows, with what was worked out for it once."""

    workload: Workload
    number: int
    """The how-manieth submission it was."""
    node: int
    """Its queue in the tree of quotas."""
    kind: Kind
    need: Need
    """What all of its members take."""
    key: Key
    progress_seconds: float = 0.0
    """Work of earlier attempts that its checkpoints kept, in seconds on all of its members."""

    @property
    def seconds(self) -> float:
        """How long it is still expected to run on all of its members."""
        return max(1.0, self.workload.seconds - self.progress_seconds)

    @property
    def members_least(self) -> int:
        """With how many members it would start at the least."""
        return self.workload.members_min or self.workload.members


def key_of(order: Order, workload: Workload, number: int, seconds: float) -> Key:
    """Where a workload stands in its queue. For all orders but the fair one, that is where it stands among all queues as well."""
    if order == "shortest":
        return (seconds, workload.submitted_at, number)
    if order == "fifo":
        return (workload.submitted_at, number)
    return (-workload.priority, workload.submitted_at, number)


@dataclass(slots=True)
class Queue:
    """What waits in one queue: a line of each kind, every line in order."""

    node: int
    lines: dict[Kind, list[tuple[Key, str]]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Put a workload in its place."""
        insort(self.lines.setdefault(entry.kind, []), (entry.key, entry.workload.id))

    def drop(self, entry: Entry) -> None:
        """Take a workload out."""
        line = self.lines[entry.kind]
        at = bisect_left(line, (entry.key, entry.workload.id))
        del line[at]
        if not line:
            del self.lines[entry.kind]

    def __iter__(self) -> Iterator[str]:
        """All that wait, in order."""
        return (name for _, name in sorted(each for line in self.lines.values() for each in line))

    def copy(self) -> "Queue":
        """Return one that goes its own way from here."""
        return Queue(self.node, {kind: list(line) for kind, line in self.lines.items()})
