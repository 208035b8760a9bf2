"""Why a workload waits, when it should start, what would start it sooner, and all that before it is submitted."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from factory_infra.errors import NotFound
from factory_infra.iaas.scheduling.admission import offers_of, ranked_offer
from factory_infra.iaas.scheduling.fleet import words
from factory_infra.iaas.scheduling.models import Advice, Binding, Shape, Wait, Workload
from factory_infra.iaas.scheduling.predict import HORIZON_SECONDS, Begun, Forecast, forward, starts
from factory_infra.iaas.scheduling.pricing import expected
from factory_infra.iaas.scheduling.queueing import Scheduler, check_workload
from factory_infra.iaas.scheduling.reasons import diagnose, duration

ADVICE_MAX: Final = 5
SOONER_SECONDS: Final = 1.0
"""What does not start a workload sooner by more than this is no advice."""

Change = dict[str, object]


@dataclass(frozen=True, slots=True)
class Foresight:
    """What would become of a workload if it were submitted now."""

    forecast: Forecast | None
    """When it would start and end; None where nothing that is known would let it."""
    wait: Wait | None
    """Why it would wait; None where it would start at once."""
    cost: float
    """What it is expected to cost, in the price book's currency; 0 where the machines have no prices."""
    cost_by: tuple[float, float]
    """The cost lies between these with a probability of about 80 %."""
    advice: tuple[Advice, ...] = ()


def why(scheduler: Scheduler, name: str, now: float) -> Wait:
    """Why a workload waits at a time, and when it should start. The scheduler stays as it is.

    Raises:
        NotFound: none of this id waits.
    """
    seen = _at(scheduler, now)
    entry = seen.state.entries.get(name)
    if entry is None:
        if name in seen.state.held and name in scheduler.state.entries:
            return Wait(name, Binding.FAIR_SHARE, "its turn comes with the next pass", now, (now, now))
        raise NotFound(f"No workload '{name}' waits here.", remedy="It may run, or have ended.", code="workload_unknown")
    found = diagnose(seen.state, entry)
    forecast = starts(seen, [name], now).get(name)
    if forecast is None:
        return found
    detail = found.detail
    if forecast.after:
        ends = f"'{forecast.after}' ends in {duration(forecast.starts_at - now)}"
        detail = f"{detail}; {ends}"
    return replace(found, detail=detail, starts_at=forecast.starts_at, starts_by=forecast.starts_by)


def advise(scheduler: Scheduler, name: str, now: float, *, advice_max: int = ADVICE_MAX) -> list[Advice]:
    """The changes that would start a waiting workload sooner, the cheapest first; of two, the dearer must start it sooner.

    Each was tried: the workload was replaced in a copy, and started at the time that is said, on run times as they are expected.

    Raises:
        NotFound: none of this id waits.
    """
    entry = scheduler.state.entries.get(name)
    if entry is None:
        raise NotFound(f"No workload '{name}' waits here.", remedy="It may run, or have ended.", code="workload_unknown")
    workload = entry.workload
    base = forward(scheduler, [name], now).get(name)
    if base is not None and base.at <= now:
        return []
    horizon = HORIZON_SECONDS if base is None else base.at - now
    before = _cost(scheduler, workload, base)
    found: list[Advice] = []
    for change, told in _changes(scheduler, workload, now):
        changed = replace(workload, **change)  # type: ignore[arg-type]  # the fields are those of a workload
        begun = forward(applied(scheduler, changed), [name], now, horizon_seconds=horizon).get(name)
        if begun is None or (base is not None and begun.at > base.at - SOONER_SECONDS):
            continue
        cost = _cost(scheduler, changed, begun) - before
        found.append(Advice(change, f"{told}: {_when(begun, now)}", begun.at, round(cost, 6)))
    return _cheapest(found)[:advice_max]


def applied(scheduler: Scheduler, changed: Workload) -> Scheduler:
    """Return a copy in which a waiting workload asks for something else, with its place in time kept."""
    made = scheduler.copy()
    progress = made.state.entries[changed.id].progress_seconds
    made.remove(changed.id)
    made.submit(changed, progress)
    return made


def foresee(scheduler: Scheduler, workload: Workload, now: float, *, advice: bool = True) -> Foresight:
    """What would become of a workload if it were submitted now: will it run, when, for how much. The scheduler stays as it is.

    Raises:
        InvalidInput: it contradicts itself.
        Conflict: one of this id waits or runs.
    """
    check_workload(workload)
    trial = scheduler.copy()
    trial.submit(workload)
    forecast = starts(trial, [workload.id], now).get(workload.id)
    seen = _at(trial, now)
    entry = seen.state.entries.get(workload.id)
    found = diagnose(seen.state, entry) if entry is not None else None
    if found is not None and forecast is not None:
        found = replace(found, starts_at=forecast.starts_at, starts_by=forecast.starts_by)
    begun = forward(trial, [workload.id], now).get(workload.id) if forecast is not None else None
    cost = _cost(trial, workload, begun)
    low, high = scheduler.state.errors.interval()
    advised = tuple(advise(trial, workload.id, now)) if advice and found is not None else ()
    return Foresight(forecast, found, cost, (cost * min(1.0, low), cost * max(1.0, high)), advised)


def _at(scheduler: Scheduler, now: float) -> Scheduler:
    """A copy after a pass at this time."""
    made = scheduler.copy()
    made.decide(max(now, made.state.now))
    return made


def _when(begun: Begun, now: float) -> str:
    return "now" if begun.at <= now else f"in {duration(begun.at - now)}"


def _cost(scheduler: Scheduler, workload: Workload, begun: Begun | None) -> float:
    """What a run is expected to cost where it starts; on the first of the offers where that is not known."""
    state = scheduler.state
    pools = (begun.running.pool,) if begun is not None else state.pools_of(workload)
    entry = state.entry(workload, number=0)
    ranked = [
        ranked_offer(state, entry, offer, place) for place, pool in enumerate(pools) for offer in offers_of(state, pool, workload.shape)
    ]
    if not ranked:
        return 0.0
    _, offer = min(ranked, key=lambda each: each[0])
    members = len(begun.running.seats) if begun is not None else workload.members
    seconds = workload.seconds * workload.members / members
    return expected(workload, offer, seconds=seconds, members=members, restart_seconds=state.policy.restart_seconds).cost


def _changes(scheduler: Scheduler, workload: Workload, now: float) -> Iterator[tuple[Change, str]]:
    """What may be changed about a workload without another purpose: less at one time for longer, elsewhere, with fewer conditions."""
    yield from _smaller(workload)
    yield from _elsewhere(scheduler, workload)
    yield from _looser(workload)
    yield from _shorter(scheduler, workload, now)


def _smaller(workload: Workload) -> Iterator[tuple[Change, str]]:
    members = workload.members
    if workload.members > 1 and not workload.members_min:
        yield {"members_min": 1}, f"elastic, from 1 to {members} members"
    count = members // 2
    while count >= max(1, workload.members_min):
        yield {"members": count, "members_min": 0, "seconds": workload.seconds * members / count}, f"{count} instead of {members} members"
        count //= 2
    gpus = workload.shape.gpus
    count = gpus // 2
    while count >= 1 and workload.shape.gpu_milli == 1000:
        part = count / gpus
        cpu_milli, memory_mib = round(workload.shape.cpu_milli * part), round(workload.shape.memory_mib * part)
        shape = replace(workload.shape, gpus=count, cpu_milli=cpu_milli, memory_mib=memory_mib)
        yield {"shape": shape, "seconds": workload.seconds / part}, f"{count} instead of {gpus} GPUs"
        count //= 2


def _elsewhere(scheduler: Scheduler, workload: Workload) -> Iterator[tuple[Change, str]]:
    if workload.pools:
        for pool in scheduler.fleets:
            if pool not in workload.pools:
                yield {"pools": (pool,)}, f"pool {pool}"


def _looser(workload: Workload) -> Iterator[tuple[Change, str]]:
    shape = workload.shape
    if shape.models:
        yield {"shape": replace(shape, models=frozenset())}, "any type of GPU"
    if shape.price_classes:
        yield {"shape": replace(shape, price_classes=frozenset())}, "any price class"
    if shape.network:
        yield {"shape": replace(shape, network="")}, "without EFA"
    if workload.topology != "any":
        yield {"topology": "any"}, f"not within one {workload.topology}"
    if workload.not_before > 0:
        yield {"not_before": 0.0}, "no earliest time"
    less = _lean(shape)
    if less != shape:
        yield {"shape": less}, f"{words(less)} each"


def _lean(shape: Shape) -> Shape:
    """The same GPUs with half of the cores and memory."""
    return replace(shape, cpu_milli=shape.cpu_milli // 2, memory_mib=shape.memory_mib // 2) if shape.gpus else shape


def _shorter(scheduler: Scheduler, workload: Workload, now: float) -> Iterator[tuple[Change, str]]:
    """A run that ends before what is reserved for others is needed."""
    gaps = {kept.at - now for kept in scheduler.state.reservations if kept.workload != workload.id}
    for gap in sorted(gaps, reverse=True):
        if 60.0 <= gap < workload.seconds:
            yield {"seconds": gap, "seconds_max": gap}, f"a run of at most {duration(gap)}"


def _cheapest(found: list[Advice]) -> list[Advice]:
    """Those for which no other is as cheap and as soon, the cheapest first."""
    kept: list[Advice] = []
    for each in sorted(found, key=lambda one: (one.cost, one.starts_at)):
        if not kept or each.starts_at < kept[-1].starts_at - SOONER_SECONDS:
            kept.append(each)
    return kept
