"""What if: a scenario that begins with what runs and waits now, and the changes to it that are tried."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Running, Seat, Workload
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.twin.arrivals import Arrival, in_order
from factory_infra.iaas.twin.scenario import Scenario, Standing

AS_IT_IS = "as it is"
RunSeconds = Callable[[Workload], float]


def expected(workload: Workload) -> float:
    """A workload's run time where nothing better is known: what is said of it."""
    return workload.seconds


def snapshot(
    scheduler: Scheduler, now: float, quotas: QuotaTree | None = None, *, name: str = AS_IT_IS, run_seconds: RunSeconds = expected
) -> Scenario:
    """Return the scenario that begins now with a scheduler's state, which is not changed. Nothing new comes in it.

    Args:
        scheduler: what runs, what waits, and the machines.
        now: the time, on the scheduler's clock.
        quotas: the tree that it was built with.
        name: what it is called in results.
        run_seconds: how long a workload will really run; what is said of it where this is left out.
    """
    layouts = {pool: laid_out(fleet) for pool, fleet in scheduler.fleets.items()}
    return Scenario(
        name=name,
        pools={pool: specs for pool, (specs, _) in layouts.items()},
        arrivals=in_order([arrival_of(each, now, run_seconds) for each in scheduler.pending.values()]),
        policy=scheduler.policy,
        quotas=quotas,
        running=tuple(standing_of(each, layouts[each.pool][1], now, run_seconds) for each in scheduler.running.values()),
        start_at=now,
        reserved=tuple(scheduler.reserved),
        unfit={pool: unfit_of(fleet, layouts[pool][1]) for pool, fleet in scheduler.fleets.items()},
    )


def laid_out(fleet: Fleet) -> tuple[tuple[NodeSpec, ...], dict[int, int]]:
    """The machines that are there, and by their index in the fleet that among them: places of removed ones are left out."""
    there = [(index, spec) for index, spec in enumerate(fleet.specs) if spec is not None]
    return tuple(spec for _, spec in there), {index: place for place, (index, _) in enumerate(there)}


def unfit_of(fleet: Fleet, places: Mapping[int, int]) -> frozenset[int]:
    """The machines that may not be used."""
    return frozenset(place for index, place in places.items() if not fleet.fit[index])


def arrival_of(workload: Workload, now: float, run_seconds: RunSeconds) -> Arrival:
    """One that waits: it is there from the start, and keeps the time since when it has waited."""
    return Arrival(workload, run_seconds(workload), came_at=now)


def standing_of(running: Running, places: Mapping[int, int], now: float, run_seconds: RunSeconds) -> Standing:
    """One that runs: it ends as expected, or any moment where it is late."""
    seats = tuple(Seat(places[seat.node], seat.gpus) for seat in running.seats)
    length = max(running.ends_at - running.started_at, 0.0) * run_seconds(running.workload) / max(running.workload.seconds, 1e-9)
    return Standing(replace(running, seats=seats), ends_at_really=max(now, running.started_at + length))


def with_policy(scenario: Scenario, name: str, policy: SchedulingPolicy) -> Scenario:
    """The same under another policy."""
    return replace(scenario, name=name, policy=policy)


def with_quotas(scenario: Scenario, name: str, quotas: QuotaTree) -> Scenario:
    """The same under other quotas."""
    return replace(scenario, name=name, quotas=quotas)


def with_work(scenario: Scenario, name: str, work: Sequence[Arrival]) -> Scenario:
    """The same with more work. Raises InvalidInput `scenario_invalid` where the scenario draws its work from a seed."""
    return replace(scenario, name=name, arrivals=in_order([*listed(scenario), *work]))


def without_work(scenario: Scenario, name: str, ids: Collection[str]) -> Scenario:
    """The same without some workloads, that wait or run. Raises NotFound `workload_unknown` for one that is not there."""
    there = {each.workload.id for each in listed(scenario)} | {each.running.workload.id for each in scenario.running}
    missing = sorted(set(ids) - there)
    if missing:
        raise NotFound(f"No workload {missing[0][:60]} waits or runs.", remedy="List the leases and jobs.", code="workload_unknown")
    return replace(
        scenario,
        name=name,
        arrivals=[each for each in listed(scenario) if each.workload.id not in ids],
        running=tuple(each for each in scenario.running if each.running.workload.id not in ids),
    )


def with_machines(scenario: Scenario, name: str, pool: str, more: int) -> Scenario:
    """The same with so many more machines in a pool, like its last one; with fewer where `more` is negative.

    Those that go are the last; what runs there begins again from its last checkpoint. Raises NotFound `pool_unknown`, InvalidInput for
    more than there are.
    """
    specs = specs_of(scenario, pool)
    if more >= 0:
        added = tuple(replace(specs[-1], name=f"simulated-{specs[-1].name}-more-{number}") for number in range(more))
        return replace(scenario, name=name, pools={**scenario.pools, pool: specs + added})
    if -more >= len(specs):
        reason = f"Pool '{pool}' has {len(specs)} machines; {-more} fewer leave none."
        raise InvalidInput(reason, remedy="Take away fewer.", code="scenario_invalid")
    left = len(specs) + more
    cut = replace(scenario, name=name, pools={**scenario.pools, pool: specs[:left]})
    cut = replace(cut, unfit={**scenario.unfit, pool: frozenset(node for node in scenario.unfit.get(pool, ()) if node < left)})
    return displaced(cut, lambda each: each.pool == pool and any(seat.node >= left for seat in each.seats))


def without_node(scenario: Scenario, name: str, pool: str, node: str) -> Scenario:
    """The same with one machine out of order from the start. Raises NotFound `pool_unknown`, `node_unknown`."""
    index = next((place for place, spec in enumerate(specs_of(scenario, pool)) if spec.name == node), None)
    if index is None:
        raise NotFound(f"Pool '{pool}' has no machine {node[:60]}.", remedy="List its nodes.", code="node_unknown")
    unfit = {**scenario.unfit, pool: scenario.unfit.get(pool, frozenset()) | {index}}
    changed = replace(scenario, name=name, unfit=unfit)
    return displaced(changed, lambda each: each.pool == pool and any(seat.node == index for seat in each.seats))


def displaced(scenario: Scenario, gone: Callable[[Running], bool]) -> Scenario:
    """The same with what runs on machines that are gone waiting again, as far as its last checkpoint is behind it."""
    out = [each for each in scenario.running if gone(each.running)]
    back = [again(each, scenario.start_at) for each in out]
    stay = tuple(each for each in scenario.running if not gone(each.running))
    return replace(scenario, running=stay, arrivals=in_order([*listed(scenario), *back]))


def again(standing: Standing, now: float) -> Arrival:
    """What is left of one that lost its place."""
    running, work = standing.running, standing.running.workload
    length, ran = standing.ends_at_really - running.started_at, now - running.started_at
    kept = ran // work.checkpoint_seconds * work.checkpoint_seconds if work.checkpoint_seconds > 0 else 0.0
    rate = (len(running.seats) or work.members) / work.members
    left = replace(work, seconds=max(1.0, work.seconds - kept * rate))
    return Arrival(left, max(1.0, (length - kept) * rate), standing.activity, came_at=now)


def listed(scenario: Scenario) -> Sequence[Arrival]:
    """The work that is known. Raises InvalidInput where it is drawn from a seed."""
    if callable(scenario.arrivals):
        reason = f"The work of scenario {scenario.name} is drawn from a seed."
        raise InvalidInput(reason, remedy="Change the file, or begin with a snapshot.", code="scenario_invalid")
    return scenario.arrivals


def specs_of(scenario: Scenario, pool: str) -> tuple[NodeSpec, ...]:
    """A pool's machines. Raises NotFound `pool_unknown`."""
    if pool not in scenario.pools:
        reason = f"The scenario has no pool '{pool[:40]}'."
        raise NotFound(reason, remedy=f"Pools: {', '.join(scenario.pools)}.", code="pool_unknown")
    return scenario.pools[pool]
