"""Elastic workloads that run with fewer members get more of them, on what nobody who waits could use and nothing is reserved on."""

from factory_infra.iaas.scheduling.backfill import beside, refresh
from factory_infra.iaas.scheduling.fleet import Bools, Fleet
from factory_infra.iaas.scheduling.models import Seat
from factory_infra.iaas.scheduling.state import Held, State


def ready_at(state: State, held: Held) -> float:
    """From when on one may grow: what has started, shrunk or grown stays as it is for its guaranteed time."""
    return held.since + state.policy.undisturbed_seconds


def grown(state: State, held: Held) -> tuple[Seat, ...]:
    """All the seats that one may have now, its own first; nothing is taken. Those that it has, where there are no more for it.

    To be asked when all who wait have been looked at. Members that belong in one NVLink domain stay as many as they are.
    """
    running, workload = held.running, held.running.workload
    if workload.topology == "nvlink" or state.now < ready_at(state, held):
        return running.seats
    refresh(state)
    known = beside(state, running.pool, state.reservations)
    room = (state.fleets[running.pool] if known is None else known).copy()
    among, seats = _near(room, held), list(running.seats)
    while len(seats) < workload.members and room.room(workload.shape).total:
        seat = state.plain.place(room, workload.shape, among)
        if seat is None or not _within_caps(state, held, (*seats[len(running.seats) :], seat)):
            break
        room.take((seat,), workload.shape)
        seats.append(seat)
    return tuple(seats)


def _near(fleet: Fleet, held: Held) -> Bools | None:
    """The nodes on which its topology lets it grow; None for all."""
    first = held.running.seats[0].node
    match held.running.workload.topology:
        case "node":
            only = fleet.fit.copy()
            only[:] = False
            only[first] = True
            return only
        case "rack":
            near: Bools = fleet.rack == fleet.rack[first]
            return near
        case _:
            return None


def _within_caps(state: State, held: Held, more: tuple[Seat, ...]) -> bool:
    """Whether the caps on its path have room for so many more seats, now and beside what is reserved."""
    node, need = held.entry.node, state.need_of(held.entry, held.running.pool, more)
    if state.quotas.blocking(node, need) is not None:
        return False
    return not any(
        amount > kept.left[each][at]
        for kept in state.reservations
        for each in state.quotas.paths[node]
        if each in kept.left
        for at, amount in enumerate(need)
    )
