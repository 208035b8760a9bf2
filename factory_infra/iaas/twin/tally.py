"""Adds up a simulation: from who held what and when to the numbers that are compared."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory_infra.iaas.scheduling.policy import QuotaTree, ancestor_of
from factory_infra.iaas.twin.machines import Machines
from factory_infra.iaas.twin.results import Counts, Deadlines, Fairness, Floats, JobOutcome, QueueResult, Results, Series, Spread
from factory_infra.iaas.twin.scenario import Scenario
from factory_infra.iaas.twin.work import Live, Work

HOUR = 3600.0
WINDOWS_MAX = 400
WINDOW_SECONDS_MIN = 60.0
FAIR_SECONDS_MIN = 3600.0
"""Nobody can be served evenly in a moment: fairness is looked at over an hour at least."""
SLOWDOWN_SECONDS_MIN = 10.0
UNMET = 1e-3
"""A window counts as one in which something waited when so large a share of the demand did."""


@dataclass
class Clocked:
    """What the engine counted of itself."""

    passes: int = 0
    preemptions: int = 0
    backfilled: int = 0
    deciding_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Intervals:
    """Amounts that were so for a time."""

    begin: Floats
    end: Floats
    amount: Floats

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, float]]) -> "Intervals":
        """From rows of begin, end, amount."""
        table = np.array(rows, dtype=np.float64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2])

    def within(self, edges: Floats) -> Floats:
        """Amount times seconds in each window between two edges."""
        if not len(self.begin):
            return np.zeros(len(edges) - 1)
        times = np.concatenate([self.begin, self.end])
        steps = np.concatenate([self.amount, -self.amount])
        order = np.argsort(times, kind="stable")
        times, rate = times[order], np.cumsum(steps[order])
        filled = np.concatenate([[0.0], np.cumsum(rate[:-1] * np.diff(times))])
        return np.asarray(np.diff(np.interp(edges, times, filled)))


def tally(scenario: Scenario, seed: int, end: float, machines: Machines, work: Work, clocked: Clocked) -> Results:  # noqa: PLR0913
    """Add up one run."""
    lives = list(work.live.values())
    for one in lives:
        if one.running:
            work.leave(one, end)
            one.outcome = "running"
    last = max((one.arrival.workload.submitted_at for one in lives), default=end)
    until = end if scenario.seconds is not None or last <= scenario.start_at else min(end, last)
    edges = windows(scenario.start_at, max(until, scenario.start_at + 1.0))
    held, active, there = occupied(work, machines, edges)
    return Results(
        scenario=scenario.name,
        seed=seed,
        start_at=scenario.start_at,
        seconds=end - scenario.start_at,
        gpus=sum(spec.gpus for specs in scenario.pools.values() for spec in specs),
        nodes=sum(len(specs) for specs in scenario.pools.values()),
        occupancy=ratio(held.sum(), there.sum()),
        activity=ratio(active.sum(), there.sum()),
        fairness=fairness(lives, work, scenario.quotas, windows(edges[0], edges[-1], FAIR_SECONDS_MIN), end),
        deadlines=deadlines(lives, end),
        cost={name: round(value, 6) for name, value in sorted(machines.cost.items())},
        gpu_hours={name: round(value, 6) for name, value in sorted(machines.gpu_hours.items())},
        lost_gpu_hours={name: round(value / HOUR, 6) for name, value in sorted(work.lost_gpu_seconds.items())},
        counts=counts(lives, machines, clocked),
        queues=queues(lives, work),
        series=series(lives, edges, (held, active, there), end),
        jobs=tuple(outcome_of(one) for one in lives),
        wall_seconds=clocked.seconds,
        deciding_seconds=clocked.deciding_seconds,
        **spreads(lives),
    )


def windows(begin: float, end: float, seconds_min: float = WINDOW_SECONDS_MIN) -> Floats:
    """The edges of windows of one length."""
    count = int(max(1, min(WINDOWS_MAX, (end - begin) // seconds_min)))
    return np.linspace(begin, end, count + 1)


def occupied(work: Work, machines: Machines, edges: Floats) -> tuple[Floats, Floats, Floats]:
    """GPU-seconds in each window: held, computing, and there at all."""
    held = Intervals.of([(span.begin, span.end, span.milli / 1000) for span in work.spans]).within(edges)
    active = Intervals.of([(span.begin, span.end, span.milli / 1000 * span.activity) for span in work.spans]).within(edges)
    there = Intervals.of([(begin, end, float(gpus)) for begin, end, gpus in machines.up_spans]).within(edges)
    return held, active, there


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return float(part / whole) if whole > 0 else 0.0


def spreads(lives: Sequence[Live]) -> dict[str, Spread]:
    """Queue time, completion time and slowdown."""
    return {"queue_seconds": queued(lives), "completion_seconds": completed(lives), "slowdown": slowed(lives)}


def queued(lives: Sequence[Live]) -> Spread:
    """From submission to the first start."""
    return _spread(lives, lambda one: None if one.first_start_at is None else one.first_start_at - one.arrival.workload.submitted_at)


def completed(lives: Sequence[Live]) -> Spread:
    """From submission to the end."""
    return _spread(lives, completion)


def slowed(lives: Sequence[Live]) -> Spread:
    """Completion over run time."""

    def slowdown(one: Live) -> float | None:
        seconds = completion(one)
        return None if seconds is None else max(1.0, seconds / max(one.arrival.actual_seconds, SLOWDOWN_SECONDS_MIN))

    return _spread(lives, slowdown)


def completion(one: Live) -> float | None:
    """From submission to the end of one that finished."""
    return one.ended_at - one.arrival.workload.submitted_at if one.outcome == "finished" and one.ended_at is not None else None


def _spread(lives: Sequence[Live], read: Callable[[Live], float | None]) -> Spread:
    found = [value for value in map(read, lives) if value is not None]
    return Spread.of(np.array(found, dtype=np.float64))


def deadlines(lives: Sequence[Live], end: float) -> Deadlines:
    """Who was in time. One whose deadline lies after the end, and who is not done, is open."""
    asked = [one for one in lives if one.arrival.workload.deadline_at is not None]
    met = sum(one.outcome == "finished" and (one.ended_at or end) <= (one.arrival.workload.deadline_at or 0.0) for one in asked)
    still_open = sum(one.ended_at is None and (one.arrival.workload.deadline_at or 0.0) > end for one in asked)
    return Deadlines(asked=len(asked), met=met, missed=len(asked) - met - still_open)


def counts(lives: Sequence[Live], machines: Machines, clocked: Clocked) -> Counts:
    """How many came to which end."""
    found: defaultdict[str, int] = defaultdict(int)
    for one in lives:
        found[one.outcome] += 1
    return Counts(
        submitted=len(lives),
        started=sum(one.first_start_at is not None for one in lives),
        finished=found["finished"],
        out_of_time=found["out_of_time"],
        left=found["left"],
        running=found["running"],
        waiting=found["waiting"],
        restarts=sum(max(0, one.starts - 1) for one in lives),
        preemptions=clocked.preemptions,
        backfilled=clocked.backfilled,
        passes=clocked.passes,
        machines=dict(sorted(machines.counts.items())),
    )


def queues(lives: Sequence[Live], work: Work) -> tuple[QueueResult, ...]:
    """Each queue by itself."""
    by_queue: defaultdict[str, list[Live]] = defaultdict(list)
    for one in lives:
        by_queue[one.arrival.workload.queue].append(one)
    hours: defaultdict[str, float] = defaultdict(float)
    for span in work.spans:
        hours[span.queue] += span.milli / 1000 * (span.end - span.begin) / HOUR
    return tuple(
        QueueResult(
            name=name,
            workloads=len(mine),
            finished=sum(one.outcome == "finished" for one in mine),
            gpu_hours=round(hours[name], 6),
            queue_seconds=queued(mine),
            completion_seconds=completed(mine),
        )
        for name, mine in sorted(by_queue.items())
    )


def asked(one: Live, end: float) -> tuple[float, float, float]:
    """From when to when a workload wanted how many GPUs."""
    work = one.arrival.workload
    return max(work.submitted_at, work.not_before), max(one.ended_at or end, work.submitted_at, work.not_before), work.milli / 1000


def fairness(lives: Sequence[Live], work: Work, quotas: QuotaTree | None, edges: Floats, end: float) -> Fairness:
    """Compare what queues got with what they should have got; see Fairness."""
    names = sorted({one.arrival.workload.queue for one in lives})
    if len(names) < 2:
        return Fairness()
    wanted: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
    got: defaultdict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for one in lives:
        wanted[one.arrival.workload.queue].append(asked(one, end))
    for span in work.spans:
        got[span.queue].append((span.begin, span.end, span.milli / 1000))
    demand = np.array([Intervals.of(wanted[name]).within(edges) for name in names])
    used = np.array([Intervals.of(got[name]).within(edges) for name in names])
    demand = np.maximum(demand, used)
    weights = np.array([weight_of(name, quotas) for name in names])
    contended = np.flatnonzero(demand.sum(axis=0) > used.sum(axis=0) * (1 + UNMET))
    found = [even(used[:, window], demand[:, window], weights) for window in contended.tolist() if used[:, window].sum() > 0]
    if not found:
        return Fairness()
    jain, worst = np.array(found).mean(axis=0)
    return Fairness(jain=float(jain), max_min=float(worst), windows=len(found))


def even(used: Floats, demand: Floats, weights: Floats) -> tuple[float, float]:
    """Jain's index and the worst share of one window."""
    wants = demand > 0
    fair = max_min(float(used.sum()), demand[wants], weights[wants])
    share = used[wants] / np.maximum(fair, 1e-12)
    return float(share.sum() ** 2 / (len(share) * (share**2).sum())), float(min(1.0, share.min()))


def max_min(total: float, demand: Floats, weights: Floats) -> Floats:
    """Share an amount by weight; nobody gets more than its demand, and what is left goes to the others."""
    order = np.argsort(demand / weights, kind="stable")
    fair, left, weight_left = np.zeros(len(demand)), total, float(weights.sum())
    for index in order.tolist():
        fair[index] = min(float(demand[index]), left * float(weights[index]) / weight_left)
        left -= float(fair[index])
        weight_left = max(weight_left - float(weights[index]), 1e-12)
    return fair


def weight_of(name: str, quotas: QuotaTree | None) -> float:
    """A queue's weight in the tree, of itself or of its nearest ancestor there."""
    if quotas is None:
        return 1.0
    known = {spec.name: spec.weight for spec in quotas.queues}
    return known[name] if name in known else known.get(ancestor_of(name, set(known)) or "", 1.0)


def series(lives: Sequence[Live], edges: Floats, found: tuple[Floats, Floats, Floats], end: float) -> Series:
    """What was so over time."""
    held, active, there = found
    capacity = np.maximum(there, 1e-9)
    wanted = Intervals.of([asked(one, end) for one in lives]).within(edges)
    waiting = np.maximum(wanted - held, 0.0) / np.diff(edges)

    def rounded(values: Floats) -> tuple[float, ...]:
        return tuple(round(float(value), 6) for value in values)

    middle = (edges[:-1] + edges[1:]) / 2
    return Series(
        at=rounded(middle), occupancy=rounded(held / capacity), activity=rounded(active / capacity), waiting_gpus=rounded(waiting)
    )


def outcome_of(one: Live) -> JobOutcome:
    """One workload, told shortly."""
    work = one.arrival.workload
    when = (work.submitted_at, one.first_start_at, one.ended_at)
    return JobOutcome(work.id, work.queue, one.pool, work.milli / 1000, *when, one.starts, one.lost_seconds, one.outcome)
