"""The constraint that keeps a workload from starting now, in words with its numbers: found anew from the state whenever it is asked for."""

from dataclasses import replace

from factory_infra.iaas.scheduling.admission import Fit, fit
from factory_infra.iaas.scheduling.backfill import harmed
from factory_infra.iaas.scheduling.fleet import Fleet, words
from factory_infra.iaas.scheduling.models import Binding, Shape, Wait
from factory_infra.iaas.scheduling.ordering import Entry
from factory_infra.iaas.scheduling.preemption import least_need
from factory_infra.iaas.scheduling.quotas import told
from factory_infra.iaas.scheduling.state import State


def diagnose(state: State, entry: Entry) -> Wait:
    """Why a workload waits. The first that holds of: its own time, what can never be, what is broken, quota, room, the order."""
    for reason in (_own_time, _never, _unfit, _quota, _room):
        found = reason(state, entry)
        if found is not None:
            return Wait(entry.workload.id, *found)
    return Wait(entry.workload.id, *_order(state, entry))


Reason = tuple[Binding, str]


def _own_time(state: State, entry: Entry) -> Reason | None:
    at = entry.workload.not_before
    return (Binding.NOT_BEFORE, f"it is not to start for another {duration(at - state.now)}") if at > max(0.0, state.now) else None


def _never(state: State, entry: Entry) -> Reason | None:
    """What no waiting will change."""
    workload, pools = entry.workload, state.pools_of(entry.workload)
    if not pools:
        return Binding.NEVER_FITS, f"there is no pool {' or '.join(workload.pools)}"
    fleets = [state.fleets[pool] for pool in pools]
    where, asked = _pools(pools), _asked(entry)
    if not _ever(fleets, workload.shape):
        return _never_one(fleets, workload.shape, where)
    if not any(state.ever_holds(pool, entry) for pool in pools):
        within = "" if workload.topology == "any" else f" within one {_part(workload.topology)}"
        return Binding.NEVER_FITS, f"{where} could not hold {asked}{within}, even empty"
    need = least_need(state, entry)
    for node in state.quotas.paths[entry.node]:
        for at, amount in enumerate(need):
            cap = state.quotas.caps[node][at]
            if amount > cap:
                resource = state.quotas.resources[at]
                binding = Binding.QUOTA if node == entry.node else Binding.QUOTA_OF_PARENT
                return (
                    binding,
                    f"it takes {told(resource, amount)}, and {_queue(state, node)} may never use more than {told(resource, cap)}",
                )
    return None


def _never_one(fleets: list[Fleet], shape: Shape, where: str) -> Reason:
    if shape.models and _ever(fleets, replace(shape, models=frozenset())):
        return Binding.NO_SUCH_TYPE, f"{where} has no {' or '.join(sorted(shape.models))} that would hold {words(shape)}"
    if shape.price_classes and _ever(fleets, replace(shape, price_classes=frozenset())):
        return Binding.PRICE_CLASS, f"{where} has nothing of {' or '.join(sorted(shape.price_classes))} that would hold {words(shape)}"
    if shape.network and _ever(fleets, replace(shape, network="")):
        return Binding.TOPOLOGY, f"{where} has no machine with EFA that would hold {words(replace(shape, network=''))}"
    return Binding.NEVER_FITS, f"no machine of {where} would hold {words(shape)}, even empty"


def _ever(fleets: list[Fleet], shape: Shape) -> bool:
    return any(fleet.slots_when_empty(shape).any() for fleet in fleets)


def _unfit(state: State, entry: Entry) -> Reason | None:
    shape, pools = entry.workload.shape, state.pools_of(entry.workload)
    fit_slots = max(int(state.fleets[pool].slots_when_empty(shape, fit_only=True).sum()) for pool in pools)
    if fit_slots >= entry.members_least:
        return None
    broken = sum(int((~state.fleets[pool].fit & (state.fleets[pool].slots_when_empty(shape) > 0)).sum()) for pool in pools)
    return Binding.UNFIT_NODES, f"{broken} machine{'s' * (broken != 1)} of {_pools(pools)} that it needs cannot be used now"


def _quota(state: State, entry: Entry) -> Reason | None:
    quotas = state.quotas
    found = quotas.blocking(entry.node, least_need(state, entry))
    if found is None:
        return None
    node, at = found
    resource, used, cap = quotas.resources[at], quotas.usage[node][at], quotas.caps[node][at]
    held = told(resource, used).partition(" ")[0]
    detail = (
        f"{_queue(state, node)} holds {held} of its {told(resource, cap)}, and this takes {told(resource, least_need(state, entry)[at])}"
    )
    return (Binding.QUOTA if node == entry.node else Binding.QUOTA_OF_PARENT), detail


def _room(state: State, entry: Entry) -> Reason | None:
    """What there is no room for, as if nothing were reserved."""
    found = fit(state, entry, guarded=False)
    if isinstance(found, Fit):
        return None
    if found.node >= 0:
        resource = state.quotas.resources[found.resource]
        used, cap = state.quotas.usage[found.node][found.resource], state.quotas.caps[found.node][found.resource]
        return found.binding, f"{_queue(state, found.node)} holds {told(resource, used).partition(' ')[0]} of its {told(resource, cap)}"
    workload, pools = entry.workload, state.pools_of(entry.workload)
    totals = [state.fleets[pool].room(workload.shape).total for pool in pools]
    best = max(totals)
    if best >= entry.members_least:
        return Binding.TOPOLOGY, f"{_asked(entry)} would fit in {_pools(pools)}, but not within one {_part(workload.topology)}"
    free = max(_free_milli(state.fleets[pool], workload.shape) for pool in pools)
    if best > 0:
        return Binding.GANG, f"room for {best} of {entry.members_least} members, and they start together"
    if workload.shape.network and _free_without(state, entry, replace(workload.shape, network="")):
        return Binding.TOPOLOGY, f"no machine with EFA is free that would hold {_asked(entry)}; others are"
    if workload.shape.price_classes and _free_without(state, entry, replace(workload.shape, price_classes=frozenset())):
        return Binding.PRICE_CLASS, f"nothing of {' or '.join(sorted(workload.shape.price_classes))} is free; machines of other classes are"
    if workload.shape.milli and free >= workload.shape.milli:
        return Binding.FRAGMENTATION, f"{told('gpus', free)} are free, but no machine has {words(workload.shape)} free together"
    return Binding.CAPACITY, f"{_pools(pools)} has {told('gpus', free)} free of those that will do, and this needs {_asked(entry)}"


def _free_milli(fleet: Fleet, shape: Shape) -> int:
    usable = fleet.fit & (fleet.slots_when_empty(shape) > 0)
    return int(fleet.gpu_free[usable].sum())


def _free_without(state: State, entry: Entry, other: Shape) -> bool:
    return any(state.fleets[pool].room(other).total >= entry.members_least for pool in state.pools_of(entry.workload))


def _order(state: State, entry: Entry) -> Reason:
    """It could start if it were alone: for whom it waits."""
    found = fit(state, entry)
    if not isinstance(found, Fit):
        free = fit(state, entry, guarded=False)
        others = [each for each in state.reservations if each.workload != entry.workload.id]
        kept = next((each for each in others if isinstance(free, Fit) and harmed(state, each, entry, (free.pool, free.seats))), None)
        if kept is not None:
            when = duration(kept.at - state.now)
            return Binding.RESERVATION, f"it runs {duration(entry.seconds)}, and would delay '{kept.workload}', which can start in {when}"
    if not state.policy.backfill:
        return Binding.PRIORITY, "others stand before it, and the policy lets nobody pass"
    return Binding.FAIR_SHARE, "its turn comes with the next pass"


def _queue(state: State, node: int) -> str:
    return state.quotas.names[node] or "the whole tree"


def _pools(pools: tuple[str, ...]) -> str:
    return f"pool {pools[0]}" if len(pools) == 1 else f"pools {', '.join(pools)}"


def _asked(entry: Entry) -> str:
    members = entry.members_least
    return words(entry.workload.shape) if members == 1 else f"{members} times {words(entry.workload.shape)}"


def _part(topology: str) -> str:
    return {"node": "machine", "nvlink": "NVLink domain", "rack": "rack"}.get(topology, "pool")


def duration(seconds: float) -> str:
    """Seconds in words, such as `12 min`, `3.5 h` or `2 days`."""
    for size, unit in ((172_800.0, "days"), (7_200.0, "h"), (120.0, "min")):
        if seconds >= size:
            value = seconds / {"days": 86_400.0, "h": 3600.0, "min": 60.0}[unit]
            return f"{value:.3g} {unit}"
    return f"{max(0.0, seconds):.0f} s"
