"""What the policies share: the order of nodes that breaks ties, and which GPUs of a node a seat gets."""

from abc import ABC, abstractmethod
from typing import Final

import numpy as np

from factory_infra.iaas.scheduling.fleet import Bools, Fleet, Ints
from factory_infra.iaas.scheduling.models import GPU_MILLI, Seat, Shape, Workload
from factory_infra.iaas.scheduling.placement.gangs import place_gang
from factory_infra.iaas.scheduling.placement.mix import Mix

ORDERS_KEPT_MAX: Final = 64
"""Of so many sizes of fleets the order of nodes is kept."""


class Policy(ABC):
    """A policy that places one member; gangs follow from it. `seed` fixes the order of nodes in which ties are broken."""

    def __init__(self, seed: int = 0, typical: Mix | None = None) -> None:
        """Take the seed. The mix that is to be expected is for policies that look at it."""
        self.seed = seed
        self._orders: dict[int, Ints] = {}

    @abstractmethod
    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return a free seat on a fit node (one of `among`, where given); None where there is none."""

    def place_gang(self, fleet: Fleet, workload: Workload, members: int) -> tuple[Seat, ...] | None:
        """Return seats for all of the members at once, by the workload's topology; None where they do not all fit."""
        return place_gang(self.place, fleet, workload, members)

    def observe(self, shape: Shape) -> None:  # noqa: B027 - only some policies learn
        """Learn nothing: this policy looks at the fleet alone."""

    def order(self, fleet: Fleet) -> Ints:
        """All nodes in one random order, fixed by the seed: a node keeps its rank among those that were there when others are added."""
        kept = self._orders.get(len(fleet))
        if kept is None:
            if len(self._orders) >= ORDERS_KEPT_MAX:
                self._orders.clear()
            kept = np.argsort(np.random.default_rng(self.seed).random(len(fleet)), kind="stable")
            self._orders[len(fleet)] = kept
        return kept


def open_nodes(fleet: Fleet, shape: Shape, among: Bools | None) -> Bools:
    """The nodes that have a free seat."""
    free = fleet.room(shape).slots > 0
    return free if among is None else free & among


def lowest_gpus(fleet: Fleet, node: int, shape: Shape) -> tuple[int, ...]:
    """The first GPUs of a node that have enough left; whole ones of one NVLink domain where it has domains and one of them suffices."""
    need = int(fleet.room(shape).need_milli[node])
    open_gpus = [gpu for gpu, free in enumerate(fleet.gpu_free[node].tolist()) if free >= need] if shape.gpus else []
    size = int(fleet.nvlink[node])
    if 1 < shape.gpus <= size < int(fleet.gpus[node]):
        domains = [[gpu for gpu in open_gpus if gpu // size == domain] for domain in range(-(-int(fleet.gpus[node]) // size))]
        enough = [domain for domain in domains if len(domain) >= shape.gpus]
        open_gpus = min(enough, key=len, default=open_gpus)
    return tuple(open_gpus[: shape.gpus])


def fullest_gpu(fleet: Fleet, node: int, shape: Shape) -> tuple[int, ...]:
    """The GPU with the least left of those that have enough for a share; whole GPUs as `lowest_gpus`."""
    if shape.gpus != 1 or shape.gpu_milli == GPU_MILLI:
        return lowest_gpus(fleet, node, shape)
    need = int(fleet.room(shape).need_milli[node])
    return (min((free, gpu) for gpu, free in enumerate(fleet.gpu_free[node].tolist()) if free >= need)[1],)
