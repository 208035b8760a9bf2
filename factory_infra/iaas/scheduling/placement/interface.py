"""What every policy of placement does."""

from typing import Protocol

from factory_infra.iaas.scheduling.fleet import Bools, Fleet
from factory_infra.iaas.scheduling.models import Seat, Shape, Workload


class Placement(Protocol):
    """Chooses nodes and GPUs. It takes nothing: the fleet is as before, and who asks takes the seats.

    The same fleet, the same shapes observed before and the same question have the same answer.
    """

    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return a seat that is free, on a fit node (one of `among`, where given); None where there is none."""
        ...

    def place_gang(self, fleet: Fleet, workload: Workload, members: int) -> tuple[Seat, ...] | None:
        """Return seats for all of the members at once, by the workload's topology; None where they do not all fit."""
        ...

    def observe(self, shape: Shape) -> None:
        """Learn that a workload of this shape arrived. Policies that look at the mix of shapes learn it so; the others do nothing."""
        ...
