"""What is kept free for the head of the line: since when it can start, and whether another one that starts now would delay it."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from factory_infra.errors import CapacityExceeded
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Seat, Shape
from factory_infra.iaas.scheduling.ordering import Entry
from factory_infra.iaas.scheduling.quotas import UNLIMITED, Need
from factory_infra.iaas.scheduling.state import Held, Reservation, State


def harms(state: State, entry: Entry, pool: str, seats: tuple[Seat, ...]) -> bool | None:
    """Whether a workload that starts now on these seats would delay one that capacity is reserved for (EASY backfilling, Lifka 1995).

    It does no harm if it ends in time, or if at that time its seats and its part of the caps are not needed. None where it would only
    take what the caps of its own queue leave to another: that says nothing about other queues.
    """
    if not before(state, entry):
        return False
    refresh(state)
    kept = before(state, entry)
    if any(_needs_seats(state, each, entry, (pool, seats)) for each in kept):
        return True
    return None if any(_needs_caps(state, each, entry, (pool, seats)) for each in kept) else False


def before(state: State, entry: Entry) -> list[Reservation]:
    """The reservations that a workload must not delay: all, or those that were made before its own."""
    found: list[Reservation] = []
    for each in state.reservations:
        if each.workload == entry.workload.id:
            break
        found.append(each)
    return found


def harmed(state: State, kept: Reservation, entry: Entry, where: tuple[str, tuple[Seat, ...]]) -> bool:
    """Whether one reservation would be delayed."""
    return _needs_seats(state, kept, entry, where) or _needs_caps(state, kept, entry, where)


def _needs_seats(state: State, kept: Reservation, entry: Entry, where: tuple[str, tuple[Seat, ...]]) -> bool:
    pool, seats = where
    if pool != kept.pool or state.now + seconds_on(entry, len(seats)) <= kept.at:
        return False
    return not has_free(kept.fleet, entry, seats)


def _needs_caps(state: State, kept: Reservation, entry: Entry, where: tuple[str, tuple[Seat, ...]]) -> bool:
    pool, seats = where
    if not kept.left or state.now + seconds_on(entry, len(seats)) <= kept.at:
        return False
    need = state.need_of(entry, pool, seats)
    return any(
        amount > kept.left[node][at] for node in state.quotas.paths[entry.node] if node in kept.left for at, amount in enumerate(need)
    )


def seconds_on(entry: Entry, members: int) -> float:
    """How long a workload is expected to run on so many members."""
    return entry.seconds * entry.workload.members / members


def has_free(fleet: Fleet, entry: Entry, seats: Sequence[Seat]) -> bool:
    """Whether seats are free in a fleet."""
    try:
        fleet.take(seats, entry.workload.shape)
    except CapacityExceeded:
        return False
    fleet.give(seats, entry.workload.shape)
    return True


def beside(state: State, pool: str, kept: Sequence[Reservation]) -> Fleet | None:
    """A pool in which only that is free which is free now and not reserved for later; None where nothing is reserved there."""
    here = [each for each in kept if each.pool == pool]
    if not here:
        return None
    stamp = (state.fleets[pool].changes, tuple((each.workload, each.fleet.changes) for each in here), state.reserved)
    known = state.unreserved.get(pool)
    if known is None or known[0] != stamp:
        fleet = state.fleets[pool].copy()
        for each in here:
            narrow(fleet, each.fleet)
        known = state.unreserved[pool] = (stamp, fleet)
    return known[1]


def narrow(fleet: Fleet, other: Fleet) -> None:
    """Leave free only what is free in another fleet of the same nodes too. Before anybody asked the fleet for its room."""
    for name in ("gpu_free", "cpu_free", "memory_free"):
        setattr(fleet, name, np.minimum(getattr(fleet, name), getattr(other, name)))


def started(state: State, held: Held) -> None:
    """Keep the reservations true after a start: what runs beyond their time is not free then."""
    for kept in state.reservations:
        if held.running.ends_at <= kept.at:
            if held.running.pool == kept.pool:
                kept.given.add(held.running.workload.id)
            continue
        if held.running.pool == kept.pool:
            if not has_free(kept.fleet, held.entry, held.running.seats):
                kept.stale = True
                continue
            kept.fleet.take(held.running.seats, held.entry.workload.shape)
        _book(state, kept.left, held.entry.node, held.need, -1)


def refresh(state: State) -> None:
    """Work out anew the reservations that may have become possible sooner, or that time has passed."""
    if not any(each.stale or each.at <= state.now for each in state.reservations):
        return
    old, state.reservations = state.reservations, []
    state.reserved += 1
    for kept in sorted(old, key=lambda each: not each.firm):
        made = reserve(state, state.entries[kept.workload], firm=kept.firm)
        if made is not None:
            state.reservations.append(made)


def keep(state: State, entry: Entry, *, firm: bool) -> bool:
    """Reserve capacity for a workload; returns whether there will ever be any."""
    refresh(state)
    made = reserve(state, entry, firm=firm)
    if made is not None:
        state.reservations.append(made)
        state.reserved += 1
    return made is not None


def reserve(state: State, entry: Entry, *, firm: bool) -> Reservation | None:
    """Find the earliest time at which a workload can start, and keep its seats; None where no end of what runs would let it.

    Reservations in one pool follow each other in time, and each leaves the caps to those before it.
    """
    best: Reservation | None = None
    for asked, need in _ways(state, entry):
        caps = _caps(state, entry, need)
        for pool in state.pools_of(entry.workload):
            found = _both(state, asked, pool, caps)
            if found is not None and (best is None or found[0] < best.at):
                at, seats, fleet, given = found
                ends_at = at + seconds_on(entry, len(seats))
                best = Reservation(entry.workload.id, pool, at, seats, ends_at, firm, fleet, {}, given)
    if best is not None:
        best.fleet.take(best.seats, entry.workload.shape)
        best.left = _left(state, entry, best)
    return best


def _ways(state: State, entry: Entry) -> list[tuple[Entry, Need]]:
    """How it may be asked for, and what it takes then: as it is, or, where types have quotas of their own, on each of them, then on any.

    A gang on several types counts against each of them as a whole: how its members will lie is not known before.
    """
    quotas, least, shape = state.quotas, _least(state, entry), state.shape_possible(entry)
    if not quotas.models or not shape.gpus:
        return [(entry, quotas.need(shape, least))]
    models = shape.models or {model for pool in state.pools_of(entry.workload) for model in state.fleets[pool].models}
    needs = {model: quotas.need(shape, least, model) for model in sorted(models)}
    found = [(_of_types(entry, shape, frozenset({model})), need) for model, need in needs.items()]
    if least > 1 and len(needs) > 1:
        found.append((_of_types(entry, shape, frozenset(needs)), tuple(max(column) for column in zip(*needs.values(), strict=True))))
    return found


def _of_types(entry: Entry, shape: Shape, models: frozenset[str]) -> Entry:
    return replace(entry, workload=replace(entry.workload, shape=replace(shape, models=models)))


def _least(state: State, entry: Entry) -> int:
    return entry.members_least if state.policy.elastic else entry.workload.members


Caps = list[tuple[float, bool]]
"""From when on the caps have room for a workload, or have none, in order; before the first nothing is known, after the last it stays."""


def _caps(state: State, entry: Entry, need: Need) -> Caps:
    """When the caps have room for it, as what runs now ends, and as those start and end for whom something is reserved before it."""
    quotas, wanted = state.quotas, [at for at, amount in enumerate(need) if amount]
    capped = [node for node in quotas.paths[entry.node] if any(quotas.caps[node][at] < UNLIMITED for at in wanted)]
    others = [kept for kept in before(state, entry) if any(node in kept.left for node in capped)]
    if not others and quotas.blocking(entry.node, need) is None:
        return [(state.now, True)]
    room = {node: [quotas.caps[node][at] - quotas.usage[node][at] - need[at] for at in wanted] for node in capped}
    moves: list[tuple[float, int, Sequence[int], Need]] = []
    for held in state.held.values():
        if room.keys() & set(quotas.paths[held.entry.node]):
            moves.append((held.ends_after(state.now), 1, quotas.paths[held.entry.node], held.need))
    for kept in others:
        other = state.entries[kept.workload]
        takes = state.need_of(other, kept.pool, kept.seats)
        moves += [(kept.at, -1, quotas.paths[other.node], takes), (kept.ends_at, 1, quotas.paths[other.node], takes)]
    times: dict[float, bool] = {state.now: _none_below(room)}
    for when, sign, nodes, amounts in sorted(moves, key=lambda move: move[0]):
        for node in nodes:
            if node in room:
                room[node] = [left + sign * amounts[at] for left, at in zip(room[node], wanted, strict=True)]
        times[max(when, state.now)] = _none_below(room)
    return list(times.items())


def _none_below(room: dict[int, list[int]]) -> bool:
    return all(min(left, default=0) >= 0 for left in room.values())


def _room_from(caps: Caps, since: float, seconds: float) -> float | None:
    """The first time from `since` on at which the caps have room for so long."""
    found: float | None = None
    for at, (when, has_room) in enumerate(caps):
        until = caps[at + 1][0] if at + 1 < len(caps) else float("inf")
        if found is not None and when >= found + seconds:
            return found
        if not has_room:
            found = None
        elif found is None and until > since:
            found = max(when, since)
    return found


def _both(state: State, entry: Entry, pool: str, caps: Caps) -> tuple[float, tuple[Seat, ...], Fleet, set[str]] | None:
    """The earliest time at which a pool and the caps have room: see `_in_pool`."""
    seconds = seconds_on(entry, _least(state, entry))
    since = _room_from(caps, state.now, seconds)
    while since is not None:
        found = _in_pool(state, entry, pool, since)
        if found is None:
            return None
        again = _room_from(caps, found[0], seconds)
        if again is None or again <= found[0]:
            return found if again is not None else None
        since = again
    return None


Gone = list[tuple[float, str]]
"""Ends to come, in order: when, and of what. What is reserved for others ends too, under its own name."""


def _in_pool(state: State, entry: Entry, pool: str, since: float) -> tuple[float, tuple[Seat, ...], Fleet, set[str]] | None:
    """The earliest time, seats, the pool at that time before the seats are taken, and what will have ended there."""
    earlier = [each for each in state.reservations if each.pool == pool]
    base, begin, given = state.fleets[pool], state.now, set[str]()
    if earlier:
        last = earlier[-1]  # each was worked out after those before it in this list
        base, begin, given = last.fleet, last.at, last.given
    gone = _ends(state, pool, given)
    if earlier:
        gone = sorted([*gone, *((each.ends_at, each.workload) for each in earlier if each.ends_at > begin)])
    begin = max(begin, since)
    first = bisect_right(gone, begin, key=lambda each: each[0])
    found = _search(state, entry, base, (gone, first))
    if found is None:
        return None
    count, seats, fleet = found
    at = begin if count <= first else gone[count - 1][0]
    return at, seats, fleet, given | {name for _, name in gone[:count]}


def _ends(state: State, pool: str, given: set[str]) -> Gone:
    """When what runs in a pool should end, in order, without what has ended by then already."""
    ends = state.ends[pool]
    late = bisect_right(ends, state.now, key=lambda each: each[0])
    if late:
        over = [(state.held[name].ends_after(state.now), name) for _, name in ends[:late]]
        ends = sorted([*over, *ends[late:]])
    return [each for each in ends if each[1] not in given] if given else ends


def _search(state: State, entry: Entry, base: Fleet, ends: tuple[Gone, int]) -> tuple[int, tuple[Seat, ...], Fleet] | None:
    """After how many ends there is room: doubling steps until there is, then halves, since more ends never leave less room."""
    gone, low = ends
    high = _enough_by(state, entry, base, ends)
    if high is None:
        return None
    asked, least = entry.workload, _least(state, entry)
    above, step = base.copy(), 1
    _give(state, above, gone[:low])
    fleet = above.copy() if high > low else above
    _give(state, above, gone[low:high])
    while above.room(asked.shape).total < least or (seats := state.plain.place_gang(above, asked, least)) is None:
        if high == len(gone):
            return None
        low, fleet = high, above
        high = min(len(gone), high + step)
        above, step = fleet.copy(), step * 2
        _give(state, above, gone[low:high])
    while high - low > 1:
        middle = (low + high) // 2
        between = fleet.copy()
        _give(state, between, gone[low:middle])
        found = state.plain.place_gang(between, asked, least) if between.room(asked.shape).total >= least else None
        if found is None:
            low, fleet = middle, between
        else:
            high, above, seats = middle, between, found
    return high, seats, above


def _enough_by(state: State, entry: Entry, base: Fleet, ends: tuple[Gone, int]) -> int | None:
    """After how many ends enough GPUs are free, wherever they lie: before that it need not be tried. None where that never comes."""
    gone, count = ends
    free = base.capacity_milli - base.used_milli + sum(_milli(state, name) for _, name in gone[:count])
    wanted = entry.workload.shape.milli * _least(state, entry)
    while free < wanted:
        if count == len(gone):
            return None
        free += _milli(state, gone[count][1])
        count += 1
    return count


def _milli(state: State, name: str) -> int:
    held = state.held.get(name)
    if held is not None:
        return held.need[0]
    other = state.entries[name]
    return other.need[0]


def _give(state: State, fleet: Fleet, gone: Gone) -> None:
    for _, name in gone:
        held = state.held.get(name)
        if held is not None:
            fleet.give(held.running.seats, held.entry.workload.shape)
        else:
            kept = next(each for each in state.reservations if each.workload == name)
            fleet.give(kept.seats, state.entries[name].workload.shape)


def _left(state: State, entry: Entry, kept: Reservation) -> dict[int, list[int]]:
    """What the caps on its path leave at the time of its start, when it has started."""
    quotas, need, at = state.quotas, state.need_of(entry, kept.pool, kept.seats), kept.at
    capped = [node for node in quotas.paths[entry.node] if min(quotas.caps[node]) < UNLIMITED]
    left = {
        node: [cap - used - amount for cap, used, amount in zip(quotas.caps[node], quotas.usage[node], need, strict=True)]
        for node in capped
    }
    if not left:
        return left
    for other in before(state, entry):
        if other.at <= at < other.ends_at:
            _book(
                state, left, state.entries[other.workload].node, state.need_of(state.entries[other.workload], other.pool, other.seats), -1
            )
    for pool in state.fleets:
        for ends_at, name in _ends(state, pool, set()):
            if ends_at > at:
                break
            _book(state, left, state.held[name].entry.node, state.held[name].need, 1)
    return left


def _book(state: State, left: dict[int, list[int]], node: int, need: Need, sign: int) -> None:
    """Give an amount back to what the caps on a queue's path leave, or take it off with `sign` -1."""
    for each in state.quotas.paths[node]:
        if each in left:
            left[each] = [amount + sign * part for amount, part in zip(left[each], need, strict=True)]
