"""Which lines a pass has to look at: those for which something changed since they were found to wait."""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final

from factory_infra.iaas.scheduling.admission import Block
from factory_infra.iaas.scheduling.backfill import beside
from factory_infra.iaas.scheduling.models import Binding
from factory_infra.iaas.scheduling.ordering import Entry, Kind
from factory_infra.iaas.scheduling.preemption import urgent_at
from factory_infra.iaas.scheduling.state import KindSpec, State

AGED_MAX: Final = 256
"""So many of those that have waited longest are looked at for one that starves."""
SHORT_MAX: Final = 64
"""So many of the shortest of a kind are looked at when there is room only until something that is reserved."""
OWED: Final = -1
"""In place of a queue: all that others owe."""

Line = tuple[int, Kind]
"""The workloads of one kind in one queue."""


@dataclass(slots=True)
class Waking:
    """Lines sleep on what they were found to wait for: a cap, room for their kind, or room beside what is reserved.

    A line is awake in full, to be looked at with all that may be done for it, or only for the room that there may be.
    """

    awake: dict[int, dict[Kind, bool]] = field(default_factory=dict)
    """By queue and kind; true for in full."""
    on_cap: dict[int, set[Line]] = field(default_factory=lambda: defaultdict(set))
    on_room: dict[Kind, set[int]] = field(default_factory=lambda: defaultdict(set))
    on_kept: dict[Kind, set[int]] = field(default_factory=lambda: defaultdict(set))
    owed: set[Line] = field(default_factory=set)
    """Lines that found nobody to take back their own quota from."""
    alarms: list[tuple[float, int]] = field(default_factory=list)
    alarmed: dict[int, float] = field(default_factory=dict)
    """The next alarm of every queue."""
    aged: list[tuple[float, int, str]] = field(default_factory=list)
    """All that wait by when they will have waited too long."""
    lengths: dict[Kind, list[tuple[float, int, int]]] = field(default_factory=lambda: defaultdict(list))
    """All that wait of each kind by how long they run, with their number and queue."""
    changed: bool = False
    """Something ended, or something that was reserved for is gone."""

    def submitted(self, state: State, entry: Entry) -> None:
        """A workload waits: its line is looked at, and again when it has waited too long or its deadline is near."""
        self.wake(((entry.node, entry.kind),), full=True)
        at = self._starves_at(state, entry)
        insort(self.aged, (at, entry.number, entry.workload.id))
        insort(self.lengths[entry.kind], (entry.seconds, entry.number, entry.node))
        for alarm in (at, entry.workload.not_before, urgent_at(state, entry)):
            if state.now < alarm < float("inf"):
                heappush(self.alarms, (alarm, entry.node))

    def _starves_at(self, state: State, entry: Entry) -> float:
        return max(entry.workload.submitted_at, entry.workload.not_before) + state.policy.starvation_seconds

    def left(self, state: State, entry: Entry) -> None:
        """A workload waits no more."""
        del self.aged[bisect_left(self.aged, (self._starves_at(state, entry), entry.number, entry.workload.id))]
        lengths = self.lengths[entry.kind]
        del lengths[bisect_left(lengths, (entry.seconds, entry.number, entry.node))]

    def removed(self, state: State, entry: Entry) -> None:
        """A workload waits no more, and did not start: what was reserved for it may serve others."""
        self.left(state, entry)
        self.changed = True

    def freed(self, state: State, node: int) -> None:
        """Something of a queue ended: the caps on its path have more room."""
        self.changed = True
        for each in state.quotas.paths[node]:
            if each in self.on_cap:
                self.wake(self.on_cap.pop(each), full=True)

    def lent(self, state: State) -> None:
        """Something started on borrowed quota: it may be taken back when its guaranteed time is over."""
        if self.owed:
            self.alarm(state.now + state.policy.undisturbed_seconds, OWED)

    def alarm(self, at: float, node: int) -> None:
        """Look at a queue again at a time, if it would not be before that."""
        if not at >= self.alarmed.get(node, float("inf")):
            self.alarmed[node] = at
            heappush(self.alarms, (at, node))

    def wake(self, lines: Iterable[Line], *, full: bool) -> None:
        """Look at lines in the next pass."""
        for node, kind in lines:
            kinds = self.awake.setdefault(node, {})
            kinds[kind] = full or kinds.get(kind, False)

    def anew(self, state: State) -> None:
        """Look at everything."""
        self.wake(((node, kind) for node, queue in state.queues.items() for kind in queue.lines), full=True)
        for asleep in (self.on_cap, self.on_room, self.on_kept):
            asleep.clear()
        self.changed = True

    def due(self, state: State) -> None:
        """Wake what has reason to be looked at now."""
        while self.alarms and self.alarms[0][0] <= state.now:
            at, node = heappop(self.alarms)
            if self.alarmed.get(node) == at:
                del self.alarmed[node]
            if node == OWED:
                owed, self.owed = self.owed, set()
                self.wake(owed, full=True)
            elif node in state.queues:
                self.wake(((node, kind) for kind in state.queues[node].lines), full=True)
        if state.notice():
            self.anew(state)
        if self.changed:
            self.changed = False
            for kind in [kind for kind in self.on_room if self._has_room(state, kind)]:
                self.wake(((node, kind) for node in self.on_room.pop(kind)), full=False)
            for kind in list(self.on_kept):
                self._wake_kept(state, kind)

    def _has_room(self, state: State, kind: Kind) -> bool:
        stamp = state.stamp(kind)
        if state.full.get(kind) == stamp:
            return False
        spec, least = state.kind_specs[kind], _least(state, kind)
        if any(state.fleets[pool].room(spec.shape).total >= least for pool in _pools(state, spec)):
            return True
        state.full[kind] = stamp
        return False

    def _wake_kept(self, state: State, kind: Kind) -> None:
        """Wake those that would end before what is reserved is needed; all, where there is room beside that."""
        if not self._has_room(state, kind):
            self.on_room[kind] |= self.on_kept.pop(kind)
            return
        spec, least = state.kind_specs[kind], _least(state, kind)
        gap = 0.0
        for pool in _pools(state, spec):
            times = [each.at for each in state.reservations if each.pool == pool]
            fleet = beside(state, pool, state.reservations) if times else state.fleets[pool]
            if (fleet or state.fleets[pool]).room(spec.shape).total >= least:
                self.wake(((node, kind) for node in self.on_kept.pop(kind)), full=False)
                return
            gap = max(gap, min(times, default=float("inf")) - state.now)
        lengths = self.lengths[kind]
        short = lengths[: min(SHORT_MAX, bisect_right(lengths, (gap, float("inf"), 0)))]
        self.wake({(node, kind) for _, _, node in short}, full=False)

    def sleep(self, node: int, kind: Kind, block: Block) -> None:
        """A line was looked at and waits for something."""
        if block.node >= 0:
            self.on_cap[block.node].add((node, kind))
        elif block.binding is Binding.RESERVATION:
            self.on_kept[kind].add(node)
        elif block.binding is not Binding.NOT_BEFORE:
            self.on_room[kind].add(node)

    def starving(self, state: State) -> list[str]:
        """Those that have waited too long, the oldest first, as far as it is looked."""
        end = bisect_left(self.aged, (state.now, float("inf"), ""))
        return [name for _, _, name in self.aged[: min(end, AGED_MAX)]]

    def copy(self) -> "Waking":
        """Return one that goes its own way from here."""
        return Waking(
            {node: dict(kinds) for node, kinds in self.awake.items()},
            defaultdict(set, {node: set(lines) for node, lines in self.on_cap.items()}),
            defaultdict(set, {kind: set(nodes) for kind, nodes in self.on_room.items()}),
            defaultdict(set, {kind: set(nodes) for kind, nodes in self.on_kept.items()}),
            set(self.owed),
            list(self.alarms),
            dict(self.alarmed),
            list(self.aged),
            defaultdict(list, {kind: list(lengths) for kind, lengths in self.lengths.items()}),
            self.changed,
        )


def _pools(state: State, spec: KindSpec) -> list[str]:
    return [pool for pool in spec.pools or state.fleets if pool in state.fleets]


def _least(state: State, kind: Kind) -> int:
    spec = state.kind_specs[kind]
    return spec.members_min if spec.members_min and state.policy.elastic else spec.members
