"""Seats for several members at once: all or nothing, near each other where the workload asks for it."""

from collections.abc import Callable, Iterator

import numpy as np

from factory_infra.iaas.scheduling.fleet import Bools, Fleet, Ints
from factory_infra.iaas.scheduling.models import GPU_MILLI, Seat, Shape, Topology, Workload

Place = Callable[[Fleet, Shape, Bools | None], Seat | None]


def place_gang(place: Place, fleet: Fleet, workload: Workload, members: int) -> tuple[Seat, ...] | None:
    """Place members one after the other by a policy, within the tightest part of the fleet that has room for all of them.

    Members of one shape never stand in each other's way: where a part has room for all, they are all placed. Gangs of whole GPUs that
    need several nodes are placed on nodes with EFA where these suffice.
    """
    shape = workload.shape
    room = fleet.room(shape)
    if members < 1 or room.total < members:
        return None
    if members == 1 and workload.topology != "nvlink":
        seat = place(fleet, shape, None)
        return None if seat is None else (seat,)
    if workload.topology in ("node", "nvlink"):
        return _on_one_node(place, fleet, shape, members, workload.topology)
    for part in _parts(fleet, shape, members, workload.topology):
        return _one_by_one(place, fleet, shape, members, part)
    return None


def _parts(fleet: Fleet, shape: Shape, members: int, topology: Topology) -> Iterator[Bools | None]:
    """Parts of the fleet with room for all members, the best first: the rack with the least room to spare; nodes with EFA, then all."""
    slots = fleet.room(shape).slots
    if topology == "rack":
        by_rack = np.bincount(fleet.rack, weights=slots, minlength=len(fleet.racks))
        enough = np.flatnonzero(by_rack >= members)
        for rack in enough[np.argsort(by_rack[enough], kind="stable")]:
            yield fleet.rack == rack
        return
    if members > 1 and shape.gpu_milli == GPU_MILLI and fleet.efa.any() and slots.max() < members:
        linked = int(slots[fleet.efa].sum())
        if linked >= members:
            yield fleet.efa
    yield None


def _one_by_one(place: Place, fleet: Fleet, shape: Shape, members: int, among: Bools | None) -> tuple[Seat, ...] | None:
    """Seats for all members, each seen by those after it. The fleet is as before when it returns."""
    seats: list[Seat] = []
    try:
        for _ in range(members):
            seat = place(fleet, shape, among)
            if seat is None:
                return None
            fleet.take((seat,), shape)
            seats.append(seat)
    finally:
        fleet.give(seats, shape)
    return tuple(seats)


def _on_one_node(place: Place, fleet: Fleet, shape: Shape, members: int, topology: Topology) -> tuple[Seat, ...] | None:
    """All members on the node that the policy would choose for the first of them, of those with room for all."""
    slots = fleet.room(shape).slots
    enough = slots >= members
    if topology == "nvlink" and shape.gpus:
        enough = enough & (in_one_domain(fleet, shape).max(axis=1) >= members)
    first = place(fleet, shape, enough) if enough.any() else None
    if first is None:
        return None
    if topology == "nvlink" and shape.gpus:
        return _in_one_domain(fleet, shape, members, first.node)
    only = np.zeros(len(fleet), np.bool_)
    only[first.node] = True
    return _one_by_one(place, fleet, shape, members, only)


def in_one_domain(fleet: Fleet, shape: Shape) -> Ints:
    """How often the shape's GPUs fit into each NVLink domain of every node, by node and domain; cores and memory are not asked."""
    fits = fleet.gpu_free // fleet.room(shape).need_milli[:, None]
    found = np.zeros_like(fits)
    for size in np.unique(fleet.nvlink[fleet.nvlink > 0]):
        nodes = np.flatnonzero(fleet.nvlink == size)
        for domain, first in enumerate(range(0, fits.shape[1], int(size))):
            within = fits[nodes, first : first + int(size)]
            found[nodes, domain] = within.sum(axis=1) if shape.gpus == 1 else (within > 0).sum(axis=1) // shape.gpus
    return found


def _in_one_domain(fleet: Fleet, shape: Shape, members: int, node: int) -> tuple[Seat, ...]:
    """Seats in the domain of a node that has the least room to spare of those with enough."""
    by_domain = in_one_domain(fleet, shape)[node]
    enough = np.flatnonzero(by_domain >= members)
    domain = int(enough[np.argmin(by_domain[enough])])
    size, need = int(fleet.nvlink[node]), int(fleet.room(shape).need_milli[node])
    free = {gpu: int(fleet.gpu_free[node, gpu]) for gpu in range(domain * size, min((domain + 1) * size, int(fleet.gpus[node])))}
    seats: list[Seat] = []
    for _ in range(members):
        gpus = tuple(gpu for gpu in free if free[gpu] >= need)[: shape.gpus]
        for gpu in gpus:
            free[gpu] -= need
        seats.append(Seat(node, gpus))
    return tuple(seats)
