"""The machines of a pool as arrays: what is free on every node, kept exactly, and asked for thousands of times a second."""

from collections import OrderedDict
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from factory_infra.errors import CapacityExceeded, Conflict, InvalidInput, NotFound
from factory_infra.iaas.scheduling.models import GPU_MILLI, NodeSpec, Seat, Shape

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHAPES_KEPT_MAX: Final = 1024
"""For how many shapes the number of free slots is kept up to date; the one asked for longest ago is forgotten first."""
SLOTS_MAX: Final = 1 << 30
"""How often a shape that asks for nothing fits on a node."""
COLUMNS: Final = (
    *("gpus", "cpu_free", "memory_free", "cpu_capacity", "memory_capacity", "hosted", "version"),
    *("model", "rack", "price_class", "share", "nvlink", "fit", "efa", "hourly_price"),
)
"""The arrays of a fleet that have one entry a node."""


@dataclass(slots=True)
class Room:
    """How often one shape fits on every node, as it was after `seen` changes of the fleet."""

    seen: int
    suits: Bools
    """The nodes of a type and price class that will do."""
    need_milli: Ints
    """What one GPU of each node gives for it: more than asked for where it is cut into fixed shares."""
    slots: Ints
    total: int


class Fleet:
    """What is free on each node of one pool. Seats are taken and given back exactly; nothing is ever given twice.

    Nodes keep their index for as long as they are in the fleet. A fleet belongs to one thread. `changes` counts what happened to it: two
    equal counts mean an unchanged fleet, and `changed_since` names the nodes in between.
    """

    def __init__(self, nodes: Sequence[NodeSpec]) -> None:
        """Build an empty fleet.

        Raises:
            InvalidInput: a name stands twice, or a node has negative numbers.
        """
        self.specs: list[NodeSpec | None] = []
        self.index: dict[str, int] = {}
        self.models: dict[str, int] = {}
        self.racks: dict[str, int] = {}
        self.price_classes: dict[str, int] = {}
        self.shares: dict[tuple[int, ...], int] = {}
        self.capacity_milli, self.used_milli, self.changes, self.generation = 0, 0, 0, 0
        self.copied_at = 0
        """How many changes it had in common with the fleet that it is a copy of."""
        self._origin: ref[Fleet] | None = None
        self._vacant: list[int] = []
        self._rooms: OrderedDict[Shape, Room] = OrderedDict()
        self._clear()
        self.add(nodes)

    def __len__(self) -> int:
        """How many nodes it has room for in its arrays: those that are there, and the places of those that were removed."""
        return len(self.specs)

    def _clear(self) -> None:
        self.gpu_free: Ints = np.zeros((0, 1), np.int64)
        """Thousandths that are free, by node and GPU; 0 where the node has no such GPU."""
        self.gpus, self.cpu_free, self.memory_free = _zeros(3)
        self.cpu_capacity, self.memory_capacity, self.hosted, self.version = _zeros(4)
        self.model, self.rack, self.price_class, self.share, self.nvlink = _zeros(5)
        self.fit: Bools = np.zeros(0, np.bool_)
        """Whether anything may be placed there: false for a node that is broken, being repaired, or gone."""
        self.efa: Bools = np.zeros(0, np.bool_)
        self.hourly_price: NDArray[np.float64] = np.zeros(0)
        self._log: Ints = np.zeros(64, np.int64)

    def add(self, nodes: Sequence[NodeSpec]) -> tuple[int, ...]:
        """Add empty nodes, and return their indexes. Places of removed nodes are used again.

        Raises:
            InvalidInput: a name is there already, or a node is impossible.
        """
        names = set(self.index)
        for node in nodes:
            check_node(node, names)
            names.add(node.name)
        vacant, self._vacant = self._vacant[: len(nodes)], self._vacant[len(nodes) :]
        fresh = range(len(self.specs), len(self.specs) + len(nodes) - len(vacant))
        self._widen(len(fresh), max([node.gpus for node in nodes], default=0))
        places = (*vacant, *fresh)
        for place, node in zip(places, nodes, strict=True):
            self._write(place, node)
        self._reset()
        return places

    def _widen(self, count: int, width: int) -> None:
        """Make room for more nodes, and for more GPUs a node."""
        self.specs.extend([None] * count)
        self.gpu_free = np.pad(self.gpu_free, ((0, count), (0, max(0, width - self.gpu_free.shape[1]))))
        for name in COLUMNS:
            kept = getattr(self, name)
            setattr(self, name, np.concatenate((kept, np.zeros(count, kept.dtype))))
        self._log = np.zeros(max(64, 2 * len(self.specs)), np.int64)

    def _write(self, place: int, node: NodeSpec) -> None:
        self.specs[place], self.index[node.name] = node, place
        self.gpu_free[place] = 0
        self.gpu_free[place, : node.gpus] = GPU_MILLI
        self.gpus[place], self.nvlink[place] = node.gpus, node.nvlink_group or max(1, node.gpus)
        self.cpu_free[place] = self.cpu_capacity[place] = node.cpu_milli
        self.memory_free[place] = self.memory_capacity[place] = node.memory_mib
        self.model[place] = self.models.setdefault(node.model, len(self.models))
        self.rack[place] = self.racks.setdefault(node.rack or f"node {node.name}", len(self.racks))
        self.price_class[place] = self.price_classes.setdefault(node.price_class, len(self.price_classes))
        self.share[place] = self.shares.setdefault(tuple(sorted(node.mig_milli)), len(self.shares))
        self.fit[place], self.efa[place], self.hourly_price[place] = True, node.efa, node.hourly_price
        self.hosted[place] = 0
        self.capacity_milli += GPU_MILLI * node.gpus

    def _reset(self) -> None:
        """Forget what was worked out by index: nodes came or went."""
        self.generation += 1
        self.changes += 1
        self._rooms.clear()

    def remove(self, node: int) -> None:
        """Take an empty node out of the fleet; its index may be used by a node that is added later.

        Raises:
            NotFound: there is no such node.
            Conflict: something lies on it.
        """
        spec = self.spec(node)
        if self.hosted[node]:
            raise Conflict(f"Node {spec.name} still holds {self.hosted[node]} seats.", remedy="Give them back, or mark it unfit.")
        self.specs[node] = None
        del self.index[spec.name]
        self.capacity_milli -= GPU_MILLI * spec.gpus
        for array in (self.gpu_free, self.gpus, self.cpu_free, self.memory_free, self.cpu_capacity, self.memory_capacity):
            array[node] = 0
        self.fit[node] = False
        self._vacant.append(node)
        self._reset()

    def spec(self, node: int) -> NodeSpec:
        """Return a node as it is when empty.

        Raises:
            NotFound: there is no node of this index.
        """
        found = self.specs[node] if 0 <= node < len(self.specs) else None
        if found is None:
            raise NotFound(f"The fleet has no node {node}.", remedy="Use an index that the fleet gave.")
        return found

    def set_fit(self, node: int, fit: bool) -> None:
        """Say whether anything may be placed on a node. What lies there stays, and can be given back at any time."""
        self.spec(node)
        if bool(self.fit[node]) != fit:
            self.fit[node] = fit
            self._changed(node)

    def take(self, seats: Sequence[Seat], shape: Shape) -> None:
        """Give seats away, all or none. Whether a node is fit is not asked: what runs is entered again after a restart.

        Raises:
            CapacityExceeded: something of it is not free.
            InvalidInput: a seat does not name the GPUs that the shape asks for.
            NotFound: a seat names a node that is not there.
        """
        for count, seat in enumerate(seats):
            try:
                self._take(seat, shape)
            except (CapacityExceeded, InvalidInput, NotFound):
                self.give(seats[:count], shape)
                raise

    def _take(self, seat: Seat, shape: Shape) -> None:
        node, spec, need = seat.node, self.spec(seat.node), self._need(seat, shape)
        free = self.gpu_free[node]
        if self.cpu_free[node] < shape.cpu_milli or self.memory_free[node] < shape.memory_mib or any(free[gpu] < need for gpu in seat.gpus):
            raise CapacityExceeded(f"Node {spec.name} has not free what a seat of {words(shape)} takes.", remedy="Place it elsewhere.")
        for gpu in seat.gpus:
            free[gpu] -= need
        self._account(node, shape, 1, need * len(seat.gpus))

    def give(self, seats: Sequence[Seat], shape: Shape) -> None:
        """Take seats back.

        Raises:
            Conflict: more would be free than the node has: they were not taken so.
            InvalidInput: a seat does not name the GPUs that the shape asks for.
            NotFound: a seat names a node that is not there.
        """
        for seat in seats:
            node, spec, need = seat.node, self.spec(seat.node), self._need(seat, shape)
            free = self.gpu_free[node]
            over = self.cpu_free[node] + shape.cpu_milli > spec.cpu_milli or self.memory_free[node] + shape.memory_mib > spec.memory_mib
            if over or not self.hosted[node] or any(free[gpu] + need > GPU_MILLI for gpu in seat.gpus):
                raise Conflict(f"A seat of {words(shape)} on node {spec.name} was not taken.", remedy="Give back what was taken, once.")
            for gpu in seat.gpus:
                free[gpu] += need
            self._account(node, shape, -1, -need * len(seat.gpus))

    def _need(self, seat: Seat, shape: Shape) -> int:
        """Thousandths that each GPU of a seat gives."""
        spec = self.spec(seat.node)
        if len(set(seat.gpus)) != shape.gpus or any(not 0 <= gpu < spec.gpus for gpu in seat.gpus):
            raise InvalidInput(f"Seat {seat.gpus} on node {spec.name} is none for {words(shape)}.", remedy="Name its GPUs, each once.")
        return share_of(shape.gpu_milli, spec.mig_milli) if shape.gpus else 0

    def _account(self, node: int, shape: Shape, sign: int, milli: int) -> None:
        self.cpu_free[node] -= sign * shape.cpu_milli
        self.memory_free[node] -= sign * shape.memory_mib
        self.hosted[node] += sign
        self.used_milli += milli
        self._changed(node)

    def _changed(self, node: int) -> None:
        self._log[self.changes % len(self._log)] = node
        self.changes += 1
        self.version[node] = self.changes

    def changed_since(self, seen: int) -> Ints | None:
        """The nodes that changed after the first `seen` changes, some more than once; None where too many did to say."""
        length = len(self._log)
        if self.changes - seen >= length // 2:
            return None
        first, last = seen % length, self.changes % length
        return self._log[first:last] if first <= last else np.concatenate((self._log[first:], self._log[:last]))

    def room(self, shape: Shape) -> Room:
        """How often a shape fits on every node now: `slots` by node, and `total`. Do not write to its arrays, and do not keep it.

        Only nodes that changed since it was asked for last are looked at again.

        Raises:
            InvalidInput: the shape is impossible: negative, or GPUs of nothing.
        """
        kept = self._rooms.get(shape)
        if kept is None:
            return self._first_room(shape)
        self._rooms.move_to_end(shape)
        if kept.seen != self.changes:
            nodes = self.changed_since(kept.seen)
            if nodes is None:
                kept.slots = self._slots(shape, kept, slice(None))
            else:
                kept.slots[nodes] = self._slots(shape, kept, nodes)
            kept.seen, kept.total = self.changes, int(kept.slots.sum())
        return kept

    def _first_room(self, shape: Shape) -> Room:
        check_shape(shape)
        by_share = np.array([share_of(shape.gpu_milli, shares) for shares in self.shares] or [0], np.int64)
        made = Room(self.changes, self._suits(shape), by_share[self.share], np.zeros(0, np.int64), 0)
        made.slots = self._slots(shape, made, slice(None))
        made.total = int(made.slots.sum())
        self._rooms[shape] = made
        if len(self._rooms) > SHAPES_KEPT_MAX:
            self._rooms.popitem(last=False)
        return made

    def _suits(self, shape: Shape) -> Bools:
        suits = np.ones(len(self.specs), np.bool_)
        if shape.models:
            suits &= np.isin(self.model, [code for model, code in self.models.items() if model in shape.models])
        if shape.price_classes:
            suits &= np.isin(self.price_class, [code for each, code in self.price_classes.items() if each in shape.price_classes])
        return suits & self.efa if shape.network == "efa" else suits

    def _slots(self, shape: Shape, room: Room, nodes: Ints | slice) -> Ints:
        """How often a shape fits on some of the nodes now."""
        slots = np.where(room.suits[nodes] & self.fit[nodes], SLOTS_MAX, 0)
        if shape.cpu_milli:
            slots = np.minimum(slots, self.cpu_free[nodes] // shape.cpu_milli)
        if shape.memory_mib:
            slots = np.minimum(slots, self.memory_free[nodes] // shape.memory_mib)
        if shape.gpus:
            fits = self.gpu_free[nodes] // room.need_milli[nodes][:, None]
            slots = np.minimum(slots, fits.sum(axis=1) if shape.gpus == 1 else (fits > 0).sum(axis=1) // shape.gpus)
        return slots

    def slots_when_empty(self, shape: Shape, *, fit_only: bool = False) -> Ints:
        """How often a shape would fit on every node if nothing lay there; on the fit ones alone, or on all that are in the fleet."""
        check_shape(shape)
        there = self.fit if fit_only else np.array([spec is not None for spec in self.specs], np.bool_)
        need = np.array([share_of(shape.gpu_milli, shares) for shares in self.shares] or [0], np.int64)[self.share]
        slots = np.where(self._suits(shape) & there, SLOTS_MAX, 0)
        if shape.cpu_milli:
            slots = np.minimum(slots, self.cpu_capacity // shape.cpu_milli)
        if shape.memory_mib:
            slots = np.minimum(slots, self.memory_capacity // shape.memory_mib)
        if shape.gpus:
            slots = np.minimum(slots, self.gpus * (GPU_MILLI // np.maximum(need, 1) if shape.gpus == 1 else 1) // shape.gpus)
        return slots

    def copy(self) -> "Fleet":
        """Return a fleet of the same nodes and the same seats that goes its own way from here."""
        made = Fleet.__new__(Fleet)
        for name, value in self.__dict__.items():
            made.__dict__[name] = value.copy() if isinstance(value, np.ndarray | list | dict) else value
        made._rooms = OrderedDict()
        made._origin, made.copied_at = ref(self), self.changes
        return made

    @property
    def origin(self) -> "Fleet | None":
        """The fleet that it is a copy of, while that one lives: what was worked out for it by `copied_at` changes holds here too."""
        return self._origin() if self._origin else None


def _zeros(count: int) -> tuple[Ints, ...]:
    """So many arrays of no nodes yet, each its own."""
    return tuple(np.zeros(0, np.int64) for _ in range(count))


def share_of(milli: int, shares: Sequence[int]) -> int:
    """Thousandths of a GPU that are given for `milli`: the smallest of its fixed shares that will do, or just so many where it has none."""
    if not shares:
        return milli
    return min((share for share in shares if share >= milli), default=GPU_MILLI + 1)


def check_node(node: NodeSpec, names: Set[str]) -> None:
    """Refuse a node that cannot be, or whose name is among `names`.

    Raises:
        InvalidInput: naming the node.
    """
    if node.name in names:
        raise InvalidInput(f"Node {node.name} is in the fleet already.", remedy="Give every node a name of its own.")
    if min(node.cpu_milli, node.memory_mib, node.gpus, node.nvlink_group) < 0:
        raise InvalidInput(f"Node {node.name} has a negative number.", remedy="Correct its cores, memory or GPUs.")


def check_shape(shape: Shape) -> None:
    """Refuse a shape that nothing could ever satisfy.

    Raises:
        InvalidInput: negative numbers, GPUs without thousandths or the other way round, or a share of several GPUs.
    """
    whole = shape.gpu_milli == GPU_MILLI and shape.gpus >= 0
    share = 0 < shape.gpu_milli < GPU_MILLI and shape.gpus == 1
    without = shape.gpu_milli == 0 and shape.gpus == 0
    if min(shape.cpu_milli, shape.memory_mib) < 0 or not (whole or share or without):
        raise InvalidInput(
            f"{words(shape)} cannot be asked for.",
            remedy="Ask for whole GPUs (1000 thousandths each), for a share of one GPU (1 to 999), or for none; nothing below zero.",
        )


def words(shape: Shape) -> str:
    """A shape in words, such as `2 GPUs, 12 cores, 64.0 GiB`."""
    if shape.gpus == 1 and shape.gpu_milli < GPU_MILLI:
        gpus = f"{shape.gpu_milli / GPU_MILLI:g} of a GPU, "
    else:
        gpus = f"{shape.gpus} GPU{'s' * (shape.gpus != 1)}, " if shape.gpus else ""
    network = ", EFA" if shape.network == "efa" else ""
    return f"{gpus}{shape.cpu_milli / 1000:g} cores, {shape.memory_mib / 1024:.1f} GiB{network}"
