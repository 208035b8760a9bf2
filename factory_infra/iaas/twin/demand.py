"""How many machines an elastic pool should have: for the work that waits and may run there, the cheapest pools first."""

import math
from collections.abc import Iterable

import numpy as np

from factory_infra.iaas.scheduling.models import Workload
from factory_infra.iaas.twin.machines import STARTING, UP, Machines, Room

LOOKED_AT_MAX = 2000


def grow(machines: Machines, waiting: Iterable[Workload], now: float) -> int:
    """Ask the markets for what the waiting work needs beyond what is free or on its way. Returns how many machines come."""
    rooms = sorted(
        (room for room in machines.rooms.values() if room.elastic is not None and room.tape is not None and len(room.specs)),
        key=lambda room: (price_of(room, now), room.name),
    )
    if not rooms:
        return 0
    open_work = [work for work, _ in zip(waiting, range(LOOKED_AT_MAX), strict=False) if work.not_before <= now]
    came = 0
    for room in rooms:
        mine = [work for work in open_work if suits(work, room)]
        wanted = nodes_for(mine, room) - coming(room)
        got = machines.ask(room, wanted, now)
        came += got
        if got >= wanted:
            taken = {work.id for work in mine}
            open_work = [work for work in open_work if work.id not in taken]
    return came


def price_of(room: Room, now: float) -> float:
    """What a machine of a pool costs for an hour."""
    return room.tape.price(now) if room.tape is not None else 0.0


def suits(work: Workload, room: Room) -> bool:
    """Whether a workload may run in a pool, by its machines' kind."""
    spec, shape = room.specs[0], work.shape
    if work.pools and room.name not in work.pools:
        return False
    if shape.gpus > spec.gpus or (shape.models and spec.model not in shape.models) or (shape.network == "efa" and not spec.efa):
        return False
    return not shape.price_classes or spec.price_class in shape.price_classes


def nodes_for(works: list[Workload], room: Room) -> int:
    """How many machines hold so much work."""
    spec = room.specs[0]
    need = 0.0
    for work in works:
        share = max(
            work.shape.milli / (1000 * spec.gpus) if spec.gpus else 0.0,
            work.shape.cpu_milli / spec.cpu_milli if spec.cpu_milli else 0.0,
            work.shape.memory_mib / spec.memory_mib if spec.memory_mib else 0.0,
        )
        a_node = max(1, math.floor(1 / share + 1e-9)) if share else 1
        need += work.members / a_node
    return math.ceil(need - 1e-9)


def coming(room: Room) -> int:
    """Machines that are on their way, or there and empty."""
    empty = (room.state == UP) & (room.busy == 0) & ~room.failed & ~room.noticed
    return int(np.count_nonzero(room.state == STARTING) + np.count_nonzero(empty))
