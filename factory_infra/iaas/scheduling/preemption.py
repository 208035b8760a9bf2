"""Who gives way to whom: a queue's own quota back from those that borrow it, a higher priority, a deadline; with the least work lost."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from factory_infra.iaas.scheduling.admission import Fit, place, places
from factory_infra.iaas.scheduling.backfill import before, harmed, has_free, narrow
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Seat, Shape
from factory_infra.iaas.scheduling.ordering import Entry
from factory_infra.iaas.scheduling.quotas import Need
from factory_infra.iaas.scheduling.state import Held, Reservation, State

Reason = Literal["priority", "reclaim", "deadline"]


@dataclass(frozen=True, slots=True)
class Piece:
    """What one that runs would give up."""

    held: Held
    keep: int
    """With how many members it goes on; 0 where it ends."""
    reason: Reason
    lost_seconds: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Who gives way first: the lowest priority, then the least work lost, then who started last."""
        lost = self.lost_seconds * self.held.running.workload.milli
        return (float(not self.keep), self.held.running.workload.priority, lost, -self.held.running.started_at, self.held.entry.number)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gives way so that a workload can start, and where it then does."""

    pieces: tuple[Piece, ...]
    fit: Fit


def urgent(state: State, entry: Entry) -> bool:
    """Whether a workload's deadline is near: its time left is less than its run, with the policy's margin."""
    deadline = entry.workload.deadline_at
    return deadline is not None and state.now >= urgent_at(state, entry) and state.now + entry.seconds <= deadline


def urgent_at(state: State, entry: Entry) -> float:
    """From when on a deadline is near; never for one that has none."""
    deadline = entry.workload.deadline_at
    return float("inf") if deadline is None else deadline - entry.seconds * state.policy.deadline_margin


def plan(state: State, entry: Entry) -> tuple[Plan | None, float]:
    """Find who must give way so that a workload starts now; None where that is not to be had. Nothing is changed.

    Also returns from when on others may have run for their guaranteed time, and it is worth asking again.
    """
    pieces, again = _eligible(state, entry)
    if not pieces:
        return None, again
    trial = _Trial(state, entry)
    try:
        return trial.search(sorted(pieces, key=lambda piece: piece.rank)), again
    finally:
        trial.undo()


def may_displace(state: State, entry: Entry) -> bool:
    """Whether it is worth looking for somebody who would have to give way: a quick answer, before anything is worked out."""
    policy = state.policy
    if policy.reclaim and state.quotas.owed(entry.node, least_need(state, entry)):
        return True
    if policy.preemption == "off":
        return False
    if policy.preemption == "any" and entry.workload.priority > 0:
        return True
    return urgent(state, entry) or state.lowest_priority(entry.node) < entry.workload.priority


def _eligible(state: State, entry: Entry) -> tuple[list[Piece], float]:
    pools, found, again = set(state.pools_of(entry.workload)), list[Piece](), float("inf")
    for node, reason in _holders(state, entry):
        for name in state.held_by_queue[node]:
            held = state.held[name]
            if held.running.pool not in pools or not held.running.workload.preemptible:
                continue
            why = reason or _reason(state, entry, held)
            if why is None:
                continue
            if held.running.started_at >= state.now or not guarantee_over(state, held):  # what this pass started, it does not end
                again = min(again, held.running.started_at + state.policy.undisturbed_seconds)
                continue
            found += _pieces(state, held, why)
    return found, again


def guarantee_over(state: State, held: Held) -> bool:
    """Whether one that runs has had the time that it is guaranteed."""
    return state.now - held.running.started_at >= state.policy.guaranteed_seconds


def _holders(state: State, entry: Entry) -> Iterator[tuple[int, Reason | None]]:
    """The queues whose workloads may have to give way; with the reason where it holds for all of a queue."""
    policy, quotas = state.policy, state.quotas
    if policy.preemption != "off" and state.held_by_queue.get(entry.node):
        yield entry.node, None
    need = least_need(state, entry)
    debtors = quotas.debtors(entry.node, need) if policy.reclaim and quotas.owed(entry.node, need) else []
    for node in debtors:
        if state.held_by_queue.get(node):
            yield node, "reclaim"
    if policy.preemption == "any" and entry.workload.priority > 0:
        known = {entry.node, *debtors}
        for node, names in state.held_by_queue.items():
            if names and node not in known and _beyond_guarantee(state, entry, node):
                yield node, None


def _beyond_guarantee(state: State, entry: Entry, node: int) -> bool:
    """Whether a queue uses more than it is guaranteed, seen from another: only then may a priority of another queue displace it."""
    _, theirs = state.quotas.fork(entry.node, node)
    return theirs is not None and state.quotas.exceeds(theirs, [at for at, amount in enumerate(entry.need) if amount])


def _reason(state: State, entry: Entry, held: Held) -> Reason | None:
    """Why one that runs must give way to a workload by priority or deadline; None where it need not."""
    mine, other = entry.workload, held.running.workload
    if mine.priority > other.priority:
        return "priority"
    near = held.entry.node == entry.node and other.deadline_at is None and mine.priority == other.priority
    return "deadline" if near and urgent(state, entry) else None


def _pieces(state: State, held: Held, reason: Reason) -> Iterator[Piece]:
    least = held.running.workload.members_min
    if state.policy.elastic and 0 < least < held.members:
        yield Piece(held, least, reason, 0.0)
    yield Piece(held, 0, reason, held.lost(state.now))


def least_need(state: State, entry: Entry) -> Need:
    """What a workload takes with as few members as it would start with."""
    return state.quotas.need(entry.workload.shape, entry.members_least if state.policy.elastic else entry.workload.members)


class _Trial:
    """Takes pieces away one after the other, on copies of the fleets and on the quotas themselves, which `undo` puts right again."""

    def __init__(self, state: State, entry: Entry) -> None:
        self._state, self._entry = state, entry
        self._need = least_need(state, entry)
        self._fleets: dict[str, Fleet] = {}
        self._kept: dict[str, int] = {}
        self._done: list[tuple[Piece, int, Need]] = []

    def undo(self) -> None:
        """Put the quotas right again."""
        while self._done:
            self._put_back(self._done.pop())

    def _put_back(self, step: tuple[Piece, int, Need]) -> None:
        piece, before, need = step
        self._state.quotas.charge(piece.held.entry.node, need)
        self._kept[piece.held.running.workload.id] = before

    def search(self, pieces: list[Piece]) -> Plan | None:
        """Take pieces away until the workload fits, then put back those that were not needed."""
        if not self._fit_quota(pieces):
            return None
        for pool, shape in places(self._state, self._entry, self._entry.workload.shape):
            mark = len(self._done)
            fleet = self._fleet(pool)
            seats = place(self._state.plain, fleet, (self._entry, shape), self._members)
            here = [piece for piece in pieces if piece.held.running.pool == pool]
            for group in _by_node(fleet, here, self._entry):
                if seats is not None:
                    break
                if sum(self._take(piece) for piece in group) and fleet.room(shape).total >= self._members:
                    seats = self._seats(pool, fleet, shape)
            need = self._need if seats is None else self._state.need_of(self._entry, pool, seats)
            if seats is not None and self._state.quotas.blocking(self._entry.node, need) is None:
                fleet.take(seats, self._entry.workload.shape)
                self._spare(need)
                found = Plan(tuple(piece for piece, _, _ in self._done), Fit(pool, seats, need))
                return found if found.pieces and self._harmless(found) else None
            while len(self._done) > mark:
                self._put_back(self._done.pop())
            self._fleets.clear()
        return None

    def _seats(self, pool: str, fleet: Fleet, shape: Shape) -> tuple[Seat, ...] | None:
        """Seats by the pool's placement, or such as are not reserved for others where its choice is."""
        seats = place(self._state.placements[pool], fleet, (self._entry, shape), self._members)
        kept = before(self._state, self._entry)
        if seats is None or not any(harmed(self._state, each, self._entry, (pool, seats)) for each in kept):
            return seats
        narrowed = fleet.copy()
        for each in kept:
            if each.pool == pool:
                narrow(narrowed, each.fleet)
        return place(self._state.plain, narrowed, (self._entry, shape), self._members) or seats

    @property
    def _members(self) -> int:
        return self._entry.members_least if self._state.policy.elastic else self._entry.workload.members

    def _fleet(self, pool: str) -> Fleet:
        """The pool without what was taken away so far."""
        if pool not in self._fleets:
            fleet = self._fleets[pool] = self._state.fleets[pool].copy()
            for piece, before, _ in self._done:
                if piece.held.running.pool == pool:
                    fleet.give(piece.held.running.seats[piece.keep : before], piece.held.entry.workload.shape)
        return self._fleets[pool]

    def _fit_quota(self, pieces: list[Piece]) -> bool:
        """Take away the first pieces that lie below a cap that binds, until none does."""
        quotas = self._state.quotas
        while (found := quotas.blocking(self._entry.node, self._need)) is not None:
            below = (piece for piece in pieces if found[0] in quotas.paths[piece.held.entry.node] and piece.held.need[found[1]])
            if not any(self._take(piece) for piece in below):
                return False
        return True

    def _take(self, piece: Piece) -> bool:
        """Take one away, if its queue still has to give; returns whether that was so."""
        state, held = self._state, piece.held
        name, node = held.running.workload.id, held.entry.node
        before = self._kept.get(name, held.members)
        if before <= piece.keep or (piece.reason == "reclaim" and not state.quotas.may_reclaim(self._entry.node, self._need, node)):
            return False
        seats = held.running.seats[piece.keep : before]
        need = state.need_of(held.entry, held.running.pool, seats)
        state.quotas.charge(node, need, -1)
        if held.running.pool in self._fleets:
            self._fleets[held.running.pool].give(seats, held.entry.workload.shape)
        self._kept[name] = piece.keep
        self._done.append((piece, before, need))
        return True

    def _spare(self, wanted: Need) -> None:
        """Put back what turned out not to be needed, the dearest first. The workload's own seats are taken; `wanted` is its need."""
        quotas = self._state.quotas
        for step in sorted(self._done, key=lambda each: each[0].rank, reverse=True):
            piece, before, need = step
            held = piece.held
            if self._kept[held.running.workload.id] != piece.keep:
                continue
            self._put_back(step)
            fleet = self._fleet(held.running.pool)
            seats = held.running.seats[piece.keep : before]
            if quotas.blocking(self._entry.node, wanted) is None and has_free(fleet, held.entry, seats):
                fleet.take(seats, held.entry.workload.shape)
                self._done.remove(step)
            else:
                quotas.charge(held.entry.node, need, -1)
                self._kept[held.running.workload.id] = piece.keep

    def _harmless(self, found: Plan) -> bool:
        """Whether nothing that is reserved is delayed, save what this workload goes before."""
        reclaimed = all(piece.reason == "reclaim" for piece in found.pieces)
        others = [each for each in self._state.reservations if each.workload != self._entry.workload.id]
        kept = [each for each in others if each.firm or not (reclaimed or self._before(each))]
        if any(harmed(self._state, each, self._entry, (found.fit.pool, found.fit.seats)) for each in kept):
            return False
        return not any(self._outlasts(piece, each) for piece in found.pieces for each in kept)

    def _outlasts(self, piece: Piece, kept: Reservation) -> bool:
        """Whether one that goes on with fewer members would run beyond the time at which its seats are needed."""
        if not piece.keep or piece.held.running.ends_at > kept.at:
            return False
        workload = piece.held.entry.workload
        left = max(1.0, workload.seconds - piece.held.work(self._state.now))
        return self._state.now + left * workload.members / piece.keep > kept.at

    def _before(self, kept: Reservation) -> bool:
        other = self._state.entries[kept.workload]
        return other.node == self._entry.node and other.workload.priority < self._entry.workload.priority


def _by_node(fleet: Fleet, pieces: list[Piece], entry: Entry) -> Iterator[list[Piece]]:
    """The pieces of each node that would free one member's GPUs there, the cheapest node first; then all the others."""
    shape = entry.workload.shape
    on_node: dict[int, list[tuple[Piece, int]]] = defaultdict(list)
    for piece in pieces:
        for seat in piece.held.running.seats[piece.keep :]:
            on_node[seat.node].append((piece, piece.held.entry.workload.shape.milli))
    groups: list[tuple[tuple[float, ...], int, list[Piece]]] = []
    for node, found in on_node.items():
        free, needed = int(fleet.gpu_free[node].sum()), list[Piece]()
        for piece, milli in found:
            if free >= max(1, shape.milli) and needed:
                break
            needed.append(piece)
            free += milli
        worst = max(piece.held.running.workload.priority for piece in needed)
        lost = sum(piece.lost_seconds * piece.held.running.workload.milli for piece in dict.fromkeys(needed))
        groups.append(((float(free < shape.milli), worst, lost), node, needed))
    for _, _, group in sorted(groups, key=lambda each: (each[0], each[1])):
        yield group
    yield pieces
