"""One pass over what waits: those that starve first, then the queues in the policy's order, each from its own head on."""

from bisect import bisect_left
from heapq import heapify, heappop, heappush
from typing import Final

from factory_infra.iaas.scheduling import backfill, growing, preemption
from factory_infra.iaas.scheduling.admission import Block, Fit, fit
from factory_infra.iaas.scheduling.models import Binding, Preemption, Running, Seat, Start
from factory_infra.iaas.scheduling.ordering import Entry, Key, Kind, Queue
from factory_infra.iaas.scheduling.state import Held, State
from factory_infra.iaas.scheduling.waking import SHORT_MAX, Line, Waking

FIRM_MAX: Final = 1
"""For so many of those that have waited too long, capacity is reserved at one time: more would leave too little to pass them with."""
PLANS_MAX: Final = 16
"""So often in one pass it is worked out who would have to give way."""
ROUNDS_MAX: Final = 4
"""So often in one pass what was freed by those who gave way is offered to the others."""

Rank = tuple[tuple[float, ...], Key]
"""The shares of a queue, then its head's own place: among equals, who asked first."""


class Cursor:
    """Goes through those lines of one queue that are awake, in order, and leaves out what cannot start any more in this pass."""

    def __init__(self, queue: Queue, kinds: dict[Kind, bool]) -> None:
        """Begin at the head of the lines of these kinds."""
        self.queue = queue
        self.blocks: dict[Kind, Block] = {}
        self._heads: list[tuple[Key, Kind, int]] = [(line[0][0], kind, 0) for kind in kinds if (line := queue.lines.get(kind))]
        heapify(self._heads)
        self._shortest: dict[Kind, float] = {}
        self._tried: dict[Kind, int] = {}
        self._skipped: list[Kind] = []

    def head(self) -> tuple[Key, Kind, str] | None:
        """The next one to look at."""
        while self._heads:
            key, kind, at = self._heads[0]
            line = self.queue.lines.get(kind, [])
            if at < len(line) and line[at][0] == key:
                return key, kind, line[at][1]
            heappop(self._heads)
            if at < len(line):
                heappush(self._heads, (line[at][0], kind, at))
        return None

    def blocked(self, entry: Entry, block: Block, depth: int) -> None:
        """The head cannot start. Where that is for a reservation, or for its own time, others of its kind may; else none of them can."""
        _, kind, at = heappop(self._heads)
        known = self.blocks.get(kind)
        if known is None or known.binding is Binding.NOT_BEFORE:
            self.blocks[kind] = block
        if block.binding not in (Binding.RESERVATION, Binding.NOT_BEFORE):
            return
        line, tried = self.queue.lines[kind], self._tried.get(kind, 0)
        if block.binding is Binding.RESERVATION:
            self._shortest[kind] = min(entry.seconds, self._shortest.get(kind, entry.seconds))
            tried += 1
        self._tried[kind] = tried
        if tried < depth and at + 1 < len(line):
            heappush(self._heads, (line[at + 1][0], kind, at + 1))

    def hopeless(self, entry: Entry) -> bool:
        """Whether one of its kind that is no longer did not get past a reservation already."""
        return entry.seconds >= self._shortest.get(entry.kind, float("inf"))

    def close(self) -> None:
        """Look no further in this queue."""
        self._heads.clear()

    def skip(self) -> None:
        """Leave out the line that is next: nothing of it can start."""
        self._skipped.append(heappop(self._heads)[1])

    def rest(self) -> list[Kind]:
        """The kinds that were not looked at to the end."""
        return [kind for kind in (*self._skipped, *(kind for _, kind, _ in self._heads)) if kind in self.queue.lines]


class Pass:
    """What one call of `decide` does to a state. `run` may be called once."""

    def __init__(self, state: State, waking: Waking) -> None:
        self._state, self._waking = state, waking
        self.preemptions: list[Preemption] = []
        self.starts: dict[str, Start] = {}
        self.shrunk: dict[str, int] = {}
        self.grown: dict[str, tuple[Seat, ...]] = {}
        self.examined: dict[str, None] = {}
        self._plans = 0
        self._closed: set[str] = set()
        self._open: dict[Kind, set[int] | None] = {}
        """The kinds of which one may still start: in these queues, or in all where it is None."""
        self._full: set[Line] = set()
        """Lines that are still to be looked at in full."""
        self._shut: dict[Kind, Block] = {}
        self._shares: dict[int, tuple[int, tuple[float, ...]]] = {}

    def run(self) -> None:
        """Start what can start."""
        if not self._state.policy.backfill:  # who is passed by nobody is asked each time
            self._waking.anew(self._state)
            self._waking.changed = False
        for _ in range(ROUNDS_MAX):
            self._starving()
            self._queues()
            if not self._waking.changed:
                break
            self._waking.due(self._state)
        self._grow()

    def _grow(self) -> None:
        """Give those that run with fewer members more of them, when all who wait were looked at; the highest priority first, the oldest."""
        state, policy = self._state, self._state.policy
        if not (state.short and policy.elastic and policy.regrow):
            return
        for held in sorted((state.held[name] for name in state.short), key=lambda each: (-each.entry.workload.priority, each.entry.number)):
            name = held.running.workload.id
            if (at := growing.ready_at(state, held)) > state.now:
                self._waking.alarm(at, held.entry.node)
                continue
            seats = growing.grown(state, held)
            if len(seats) > held.members:
                state.resize(name, seats)
                self.grown[name] = seats

    def _starving(self) -> None:
        """Give those that have waited too long, then those for whom capacity is reserved, the first chance."""
        state, firm = self._state, 0
        for name in self._waking.starving(state):
            entry = state.entries.get(name)
            if firm == FIRM_MAX:
                break
            if entry is None or state.hopeless(entry):
                continue
            if any(not each.firm for each in state.reservations) and not any(
                each.firm and each.workload == name for each in state.reservations
            ):
                state.keep_only([each for each in state.reservations if each.firm])  # nothing that is younger stands in its way
            if self._first(entry) is not None and self._hold_back(entry, firm=True):
                firm += 1
        for name in [each.workload for each in state.reservations]:
            if name in state.entries:
                self._first(state.entries[name])

    def _first(self, entry: Entry) -> Block | None:
        """Try one before all queues; with others giving way only where its line is looked at in full anyway."""
        return self._try(entry, displace=self._waking.awake.get(entry.node, {}).get(entry.kind, False))

    def _hold_back(self, entry: Entry, *, firm: bool) -> bool:
        """Reserve capacity for one that waits, if its turn has come and the fleet could ever hold it."""
        state = self._state
        known = next((each for each in state.reservations if each.workload == entry.workload.id), None)
        if known is not None:
            known.firm = known.firm or firm
            return True
        return backfill.keep(state, entry, firm=firm)

    def _queues(self) -> None:
        """Look at what is awake, the queue with the smallest share first."""
        state = self._state
        awake, self._waking.awake = self._waking.awake, {}
        cursors = {node: Cursor(state.queues[node], awake[node]) for node in sorted(awake) if node in state.queues}
        self._open = {kind: None for kinds in awake.values() for kind in kinds}
        self._full = {(node, kind) for node, kinds in awake.items() for kind in kinds if kinds[kind]}
        self._shares.clear()
        line = [(rank, node) for node, cursor in cursors.items() if (rank := self._rank(node, cursor)) is not None]
        heapify(line)
        while line and (self._open or self._full):
            rank, node = heappop(line)
            now = self._rank(node, cursors[node])
            if now == rank:
                self._step(node, cursors[node])
                now = self._rank(node, cursors[node])
            if now is not None:
                heappush(line, (now, node))
        for node, cursor in cursors.items():
            for kind, block in cursor.blocks.items():
                self._waking.sleep(node, kind, block)
            for kind in cursor.rest():
                self._waking.sleep(node, kind, self._shut.get(kind, Block(Binding.CAPACITY)))

    def _rank(self, node: int, cursor: Cursor) -> Rank | None:
        """Where a queue stands, by the first of its lines of which one may still start; None where there is no such."""
        while (head := cursor.head()) is not None:
            kind = head[1]
            if (node, kind) in self._full or (kind in self._open and ((nodes := self._open[kind]) is None or node in nodes)):
                break
            cursor.skip()
        if head is None:
            return None
        if self._state.policy.order != "fair":
            return (), head[0]
        quotas = self._state.quotas
        known = self._shares.get(node)
        if known is None or quotas.changed_since(node, known[0]):
            known = self._shares[node] = (quotas.changes, self._state.shares.rank(node, self._state.now))
        return known[1], head[0]

    def _step(self, node: int, cursor: Cursor) -> None:
        """Look at the head of one queue."""
        head = cursor.head()
        if head is None:
            return
        state, policy = self._state, self._state.policy
        _, kind, name = head
        entry = state.entries[name]
        full = (node, kind) in self._full
        self._full.discard((node, kind))
        if cursor.hopeless(entry):
            cursor.blocked(entry, Block(Binding.RESERVATION), policy.backfill_depth)
            return
        block = self._try(entry, displace=full)
        if block is None:
            if full and kind in cursor.queue.lines:
                self._full.add((node, kind))
            return
        cursor.blocked(entry, block, policy.backfill_depth)
        self._close_kind(entry, block)
        if block.binding is Binding.CAPACITY:
            self._reserve_for_head(entry)
        if not policy.backfill and block.binding is not Binding.NOT_BEFORE:
            cursor.close()
            if block.binding is Binding.CAPACITY:
                self._closed |= set(state.pools_of(entry.workload))

    def _close_kind(self, entry: Entry, block: Block) -> None:
        """Remember that nothing of a kind will start any more in this pass, in whatever queue; or only such as are short."""
        state, kind = self._state, entry.kind
        nodes = self._open.get(kind)
        if nodes is not None:
            nodes.discard(entry.node)
        elif block.binding is Binding.CAPACITY and state.full.get(kind) == state.stamp(kind):
            nodes = self._open[kind] = set()
        elif block.binding is Binding.RESERVATION and kind in state.kept:
            lengths = self._waking.lengths[kind]
            short = lengths[: min(SHORT_MAX, bisect_left(lengths, (state.kept[kind][1],)))]
            nodes = self._open[kind] = {node for _, _, node in short}
        if nodes is not None and not nodes:
            self._open.pop(kind, None)
        if block.node < 0 and block.binding is not Binding.NOT_BEFORE:
            self._shut[kind] = block

    def _reserve_for_head(self, entry: Entry) -> None:
        """The first that found no room keep what becomes free; a higher priority takes over from a lower one."""
        state, policy = self._state, self._state.policy
        if not policy.backfill or state.hopeless(entry):
            return
        loose = [each for each in state.reservations if not each.firm]
        if len(loose) >= policy.reservations and policy.order in ("fair", "priority"):
            last = min(loose, key=lambda each: state.entries[each.workload].workload.priority)
            if state.entries[last.workload].workload.priority < entry.workload.priority:
                state.keep_only([each for each in state.reservations if each is not last])
                loose.remove(last)
        if len(loose) < policy.reservations:
            self._hold_back(entry, firm=False)

    def _try(self, entry: Entry, *, displace: bool = True) -> Block | None:
        """Start a workload if that is possible, with others giving way if need be; returns what prevents it."""
        state = self._state
        self.examined[entry.workload.id] = None
        if self._closed and self._closed & set(state.pools_of(entry.workload)):
            return Block(Binding.CAPACITY)
        found = fit(state, entry)
        if isinstance(found, Fit):
            self._start(entry, found)
            return None
        if found.binding is Binding.NOT_BEFORE or not displace or self._plans >= PLANS_MAX:
            return found
        return self._displace(entry, found)

    def _displace(self, entry: Entry, block: Block) -> Block | None:
        state = self._state
        if not preemption.may_displace(state, entry):
            return block
        if state.policy.reclaim and state.quotas.owed(entry.node, preemption.least_need(state, entry)):
            self._waking.owed.add((entry.node, entry.kind))
        self._plans += 1
        made, again = preemption.plan(state, entry)
        if again > state.now and again != float("inf"):
            self._waking.alarm(again, entry.node)
        if made is None:
            return block
        gone = {piece.held.running.workload.id: piece for piece in sorted(made.pieces, key=lambda piece: -piece.keep)}
        for name, piece in gone.items():
            if piece.keep:
                state.resize(name, piece.held.running.seats[: piece.keep])
                self.shrunk[name] = piece.keep
                self._waking.freed(state, piece.held.entry.node)
            else:
                self._give_way(piece, entry)
        self._start(entry, made.fit)
        return None

    def _give_way(self, piece: preemption.Piece, entry: Entry) -> None:
        """End one that runs; it waits again, with what its checkpoints kept."""
        state, name = self._state, piece.held.running.workload.id
        held = state.release(name)
        self.preemptions.append(Preemption(name, entry.workload.id, piece.reason, piece.lost_seconds))
        self.shrunk.pop(name, None)
        kept = max(0.0, held.work(state.now) - held.lost(state.now))
        again = state.entry(held.running.workload, kept, held.entry.number)
        state.wait(again)
        self._waking.freed(state, again.node)
        self._waking.submitted(state, again)

    def _start(self, entry: Entry, found: Fit) -> None:
        state, name = self._state, entry.workload.id
        borrowed = state.quotas.borrows(entry.node, found.need)
        backfilled = any(each.workload != name for each in state.reservations)
        reserved = state.reserved
        state.forget(name)
        self._waking.left(state, entry)
        self._waking.changed |= state.reserved != reserved
        ends_at = state.now + backfill.seconds_on(entry, len(found.seats))
        running = Running(entry.workload, found.pool, found.seats, state.now, ends_at, borrowed, entry.progress_seconds)
        told = state.foretold.pop(name, None)
        if told is not None and not state.hypothetical:
            state.waits.add(state.now - told[0], told[1] - told[0])
        held = Held(running, entry, found.need, state.now, entry.progress_seconds)
        state.hold(held)
        backfill.started(state, held)
        self.starts[name] = Start(name, found.pool, found.seats, len(found.seats), borrowed, backfilled)
        if borrowed:
            self._waking.lent(state)
