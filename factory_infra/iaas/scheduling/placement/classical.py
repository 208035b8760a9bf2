"""The classical policies: at random, first fit, best fit, worst fit."""

import numpy as np
from numpy.typing import NDArray

from factory_infra.iaas.scheduling.fleet import Bools, Fleet
from factory_infra.iaas.scheduling.models import GPU_MILLI, Seat, Shape
from factory_infra.iaas.scheduling.placement.base import Policy, fullest_gpu, lowest_gpus, open_nodes


class FirstFit(Policy):
    """The first node, in one random order fixed by the seed, that has a free seat; its first GPUs."""

    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return the first free seat."""
        order = self.order(fleet)
        free = open_nodes(fleet, shape, among)[order]
        first = int(free.argmax()) if len(free) else 0
        if not len(free) or not free[first]:
            return None
        node = int(order[first])
        return Seat(node, lowest_gpus(fleet, node, shape))


class Random(Policy):
    """Any node that has a free seat, and any of its GPUs that do; drawn by the seed and by how often the fleet changed."""

    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return a free seat at random."""
        nodes = np.flatnonzero(open_nodes(fleet, shape, among))
        if not len(nodes):
            return None
        draw = np.random.default_rng((self.seed, fleet.changes))
        node = int(nodes[draw.integers(len(nodes))])
        if shape.gpus != 1 or shape.gpu_milli == GPU_MILLI:
            return Seat(node, lowest_gpus(fleet, node, shape))
        enough = np.flatnonzero(fleet.gpu_free[node] >= fleet.room(shape).need_milli[node])
        return Seat(node, (int(draw.choice(enough)),))


class BestFit(Policy):
    """The node with the least left: cores and GPUs, each over those of the fleet's largest node, in steps of a hundredth; the fullest GPU.

    As published beside fragmentation gradient descent; of equals the first in one random order fixed by the seed.
    """

    prefers_full = True

    def place(self, fleet: Fleet, shape: Shape, among: Bools | None = None) -> Seat | None:
        """Return the free seat on the node with the least left (or, for worst fit, the most)."""
        order = self.order(fleet)
        nodes = order[open_nodes(fleet, shape, among)[order]]
        if not len(nodes):
            return None
        left = left_over(fleet, nodes, shape)
        node = int(nodes[np.floor(100 * (1 - left) if self.prefers_full else 100 * left).argmax()])
        return Seat(node, fullest_gpu(fleet, node, shape) if self.prefers_full else emptiest_gpu(fleet, node, shape))


class WorstFit(BestFit):
    """The node with the most left, and its emptiest GPU: spreads the load."""

    prefers_full = False


def left_over(fleet: Fleet, nodes: NDArray[np.int64], shape: Shape) -> NDArray[np.float64]:
    """What some nodes would have left, from 0 to 1: half for cores and half for GPUs, each over those of the fleet's largest node."""
    cpu = (fleet.cpu_free[nodes] - shape.cpu_milli) / max(1, int(fleet.cpu_capacity.max()))
    gpu = (fleet.gpu_free[nodes].sum(axis=1) - shape.milli) / max(1, GPU_MILLI * int(fleet.gpus.max()))
    return np.asarray(0.5 * cpu + 0.5 * gpu)


def emptiest_gpu(fleet: Fleet, node: int, shape: Shape) -> tuple[int, ...]:
    """The GPU with the most left for a share, the first of equals; whole GPUs as `lowest_gpus`."""
    if shape.gpus != 1 or shape.gpu_milli == GPU_MILLI:
        return lowest_gpus(fleet, node, shape)
    return (int(fleet.gpu_free[node].argmax()),)
