"""Work as it comes: what was asked for, and what only the simulation knows of it."""

from dataclasses import dataclass

from factory_infra.iaas.scheduling.models import Workload


@dataclass(frozen=True, slots=True)
class Arrival:
    """A workload that is submitted at its `submitted_at`. The scheduler sees the workload only."""

    workload: Workload
    actual_seconds: float
    """How long it really runs on all of its `members`, undisturbed."""
    activity: float = 1.0
    """The share of its GPUs' time in which they compute."""
    leaves_at: float | None = None
    """When its owner gives up, where it has not started by then."""
    came_at: float | None = None
    """When the simulation learns of it, where that is later than its `submitted_at`: it waited before."""

    @property
    def at(self) -> float:
        """When it comes."""
        return self.workload.submitted_at if self.came_at is None else self.came_at


def in_order(arrivals: "list[Arrival]") -> "list[Arrival]":
    """By the time at which they come; those of one time stay in their order."""
    return sorted(arrivals, key=lambda each: (each.at, each.workload.submitted_at))
