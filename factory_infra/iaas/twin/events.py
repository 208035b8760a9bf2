"""What happens at which virtual second, in an order that is the same in every run."""

import heapq
from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """What happens. Of one second, what frees places comes first."""

    END = 0
    BACK = 1
    READY = 2
    FAIL = 3
    STOCK = 4
    RECLAIM = 5
    LEAVE = 6


class Event(NamedTuple):
    """One thing that happens."""

    at: float
    kind: Kind
    order: int
    name: str
    """The workload or the pool that it is about."""
    number: int = 0
    """The node, or which start of the workload is meant."""
    detail: str = ""


class Agenda:
    """Events to come."""

    def __init__(self) -> None:
        self._heap: list[Event] = []
        self._order = 0

    def add(self, at: float, kind: Kind, name: str, number: int = 0, detail: str = "") -> None:
        """Note what will happen."""
        self._order += 1
        heapq.heappush(self._heap, Event(at, kind, self._order, name, number, detail))

    def next_at(self) -> float:
        """When the next one is; infinity where there is none."""
        return self._heap[0].at if self._heap else float("inf")

    def take(self) -> Event:
        """Take the next one."""
        return heapq.heappop(self._heap)
