"""Whether a workload can start now, where, and with how many members: quota, then room, then what is kept free for others."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from factory_infra.iaas.scheduling.backfill import before, beside, harms
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Binding, Seat, Shape
from factory_infra.iaas.scheduling.ordering import Entry
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.pricing import Offer, expected, offers
from factory_infra.iaas.scheduling.quotas import Need
from factory_infra.iaas.scheduling.state import State


@dataclass(frozen=True, slots=True)
class Fit:
    """A workload can start so."""

    pool: str
    seats: tuple[Seat, ...]
    need: Need


@dataclass(frozen=True, slots=True)
class Block:
    """A workload cannot start, and what was met first that prevents it."""

    binding: Binding
    node: int = -1
    """The node of the quota tree whose cap it is, where it is one."""
    resource: int = -1


def fit(state: State, entry: Entry, *, guarded: bool = True) -> Fit | Block:
    """Find seats for a workload at the state's time. Nothing is taken. `guarded`: what is reserved for others stays untouched."""
    workload = entry.workload
    if workload.not_before > max(0.0, state.now):
        return Block(Binding.NOT_BEFORE)
    members, block = _members_allowed(state, entry)
    if block is not None:
        return block
    stamp = state.stamp(entry.kind)
    if state.full.get(entry.kind) == stamp:
        return Block(Binding.CAPACITY)
    shape, whole = _allowed_shape(state, entry)
    if shape is None:
        return _quota_block(state, entry)
    if guarded and _stopped(state, entry):
        return Block(Binding.RESERVATION)
    found = _first_fit(state, entry, (shape, members), guarded=guarded)
    if whole and isinstance(found, Block) and found.binding is Binding.CAPACITY:
        state.full[entry.kind] = stamp
    return found


def _stopped(state: State, entry: Entry) -> bool:
    """Whether one of its kind that runs no longer did not get past what is reserved, and nothing has changed since."""
    known = state.kept.get(entry.kind)
    if known is None or entry.seconds < known[1] or known[0] != (*state.stamp(entry.kind), state.reserved):
        return False
    return len(before(state, entry)) == len(state.reservations)


def _first_fit(state: State, entry: Entry, asked: tuple[Shape, int], *, guarded: bool) -> Fit | Block:
    """The first place that has room, leaves the quotas of GPU types whole, and delays nobody for whom something is reserved."""
    shape, members = asked
    block, by_seats = Block(Binding.CAPACITY), True
    for pool, wanted in places(state, entry, shape):
        for seats in _seats(state, entry, (pool, wanted), members):
            need = state.need_of(entry, pool, seats)
            if state.quotas.models and state.quotas.blocking(entry.node, need) is not None:
                continue  # the quota of a GPU type has room for the least members, not for so many
            harm = guarded and harms(state, entry, pool, seats)
            if harm is False:
                return Fit(pool, seats, need)
            block, by_seats = Block(Binding.RESERVATION), by_seats and harm is True
    if block.binding is Binding.RESERVATION and by_seats and len(before(state, entry)) == len(state.reservations):
        state.kept[entry.kind] = ((*state.stamp(entry.kind), state.reserved), entry.seconds)
    return block


def _members_allowed(state: State, entry: Entry) -> tuple[int, Block | None]:
    """With how many members the caps let it start: all, or fewer where it is elastic."""
    workload = entry.workload
    found = state.quotas.blocking(entry.node, entry.need)
    if found is None:
        return workload.members, None
    if workload.members_min and state.policy.elastic:
        members = min(workload.members, state.quotas.members_max(entry.node, workload.shape))
        if members >= workload.members_min:
            return members, None
    return 0, _at(entry, found)


def _at(entry: Entry, found: tuple[int, int]) -> Block:
    node, resource = found
    return Block(Binding.QUOTA if node == entry.node else Binding.QUOTA_OF_PARENT, node, resource)


def _allowed_shape(state: State, entry: Entry) -> tuple[Shape | None, bool]:
    """The shape with the GPU types whose own quotas have room for all members; and whether that leaves out none."""
    shape, quotas = entry.workload.shape, state.quotas
    if not quotas.models or not shape.gpus:
        return shape, True
    known = shape.models or frozenset(model for pool in state.pools_of(entry.workload) for model in state.fleets[pool].models)
    members = entry.members_least if state.policy.elastic else entry.workload.members
    room = frozenset(model for model in known if quotas.blocking(entry.node, quotas.need(shape, members, model)) is None)
    if room == known:
        return shape, True
    return (replace(shape, models=room) if room else None), False


def _quota_block(state: State, entry: Entry) -> Block:
    shape, quotas = entry.workload.shape, state.quotas
    for model in sorted(shape.models or quotas.models):
        found = quotas.blocking(entry.node, quotas.need(shape, entry.members_least, model))
        if found is not None:
            return _at(entry, found)
    return Block(Binding.QUOTA, entry.node, 0)


def places(state: State, entry: Entry, shape: Shape) -> Iterator[tuple[str, Shape]]:
    """The pools to try in turn, each with the shape to ask it for: in the workload's own order, or the cheapest in time first."""
    workload = entry.workload
    pools = state.pools_of(workload)
    if len(pools) == 1 and len(state.fleets[pools[0]].price_classes) <= 1:
        yield pools[0], shape
        return
    ranked = [ranked_offer(state, entry, offer, place) for place, pool in enumerate(pools) for offer in offers_of(state, pool, shape)]
    for _, offer in sorted(ranked, key=lambda each: each[0]):
        yield offer.pool, shape if offer.whole_pool else replace(shape, price_classes=frozenset({offer.price_class}))


def offers_of(state: State, pool: str, shape: Shape) -> tuple[Offer, ...]:
    """The offers of a pool for a shape, worked out once for as long as its nodes stay the same."""
    fleet = state.fleets[pool]
    key = (pool, fleet.generation, shape)
    found = state.offers.get(key)
    if found is None:
        if len(state.offers) > 4096:
            state.offers.clear()
        found = state.offers[key] = offers(pool, fleet, shape)
    return found


def ranked_offer(state: State, entry: Entry, offer: Offer, place: int) -> tuple[tuple[float, ...], Offer]:
    """Where an offer stands: those that miss the deadline last, then the workload's order of pools, then what it is expected to cost."""
    workload = entry.workload
    found = expected(workload, offer, seconds=entry.seconds, members=workload.members, restart_seconds=state.policy.restart_seconds)
    late = workload.deadline_at is not None and state.now + found.seconds > workload.deadline_at
    cost = found.cost * state.policy.price_weight if state.policy.price_weight else 0.0
    own = place if workload.pools else 0
    return (float(late), float(own), cost, float(place)), offer


def _seats(state: State, entry: Entry, asked: tuple[str, Shape], members: int) -> Iterator[tuple[Seat, ...]]:
    """Seats in one pool: for all members; for fewer where it is elastic; then such as lie outside what is reserved."""
    pool, shape = asked
    fleet, placement = state.fleets[pool], state.placements[pool]
    least = entry.members_least if state.policy.elastic else entry.workload.members
    total = fleet.room(shape).total
    if total < least:
        return
    most = min(members, total)
    for count in dict.fromkeys((most, (most + least) // 2, least)):
        seats = place(placement, fleet, (entry, shape), count)
        state.touched(pool)
        if seats is not None:
            yield seats
    yield from _elsewhere(state, entry, asked, most)


def _elsewhere(state: State, entry: Entry, asked: tuple[str, Shape], most: int) -> Iterator[tuple[Seat, ...]]:
    """Seats beside what is reserved, if the placement's own choice was not."""
    pool, shape = asked
    fleet = beside(state, pool, before(state, entry))
    if fleet is None:
        return
    least = entry.members_least if state.policy.elastic else entry.workload.members
    count = min(most, fleet.room(shape).total)
    seats = place(state.plain, fleet, (entry, shape), count) if count >= least else None
    if seats is not None:
        yield seats


def place(placement: Placement, fleet: Fleet, asked: tuple[Entry, Shape], members: int) -> tuple[Seat, ...] | None:
    """Ask a placement for seats for so many members."""
    entry, shape = asked
    workload = entry.workload
    if members == 1 and workload.topology == "any":
        seat = placement.place(fleet, shape)
        return None if seat is None else (seat,)
    return placement.place_gang(fleet, workload if shape is workload.shape else replace(workload, shape=shape), members)
