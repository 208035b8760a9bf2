"""Schedulers of the classical kind, driven by the twin's engine: what ours is compared with. None of them is part of the product."""

from bisect import bisect_right as bisect
from collections.abc import Callable, Mapping
from dataclasses import replace

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Decision, Preemption, Running, Seat, Shape, Start, Workload
from factory_infra.iaas.scheduling.placement.interface import Placement
from factory_infra.iaas.scheduling.placement.registry import DEFAULT_POLICY, build
from factory_infra.iaas.twin.scenario import Scenario

LEASE_SECONDS = 1200.0
"""Themis's own lease time: twenty minutes."""


class Ranked:
    """Starts what ranks first, in one pool. Subclasses say what the rank is; the lowest goes first.

    `blocks`: what does not fit keeps all behind it waiting. `preempts`: what ranks behind gives way, once it has run for `lease_seconds`.
    """

    blocks = False
    preempts = False
    lease_seconds = 0.0
    placement_name = DEFAULT_POLICY
    """The same as ours, so that what differs is the order alone."""

    def __init__(self, scenario: Scenario, fleets: Mapping[str, Fleet], seed: int) -> None:
        ((self.pool, self.fleet),) = fleets.items()
        self.placement: Placement = build(self.placement_name, None, seed)
        self.actual = {each.workload.id: each.actual_seconds for each in scenario.drawn(seed)}
        self.waiting: dict[str, Workload] = {}
        self.running: dict[str, Running] = {}
        self.done: dict[str, float] = {}

    def rank(self, workload: Workload, now: float) -> float:
        """Where it stands in the line."""
        raise NotImplementedError

    def submit(self, workload: Workload) -> None:
        """See Core."""
        self.placement.observe(workload.shape)
        self.waiting[workload.id] = workload

    def remove(self, workload_id: str) -> None:
        """See Core."""
        if self.waiting.pop(workload_id, None) is None:
            self.free(workload_id)

    def finish(self, workload_id: str, at: float) -> None:
        """See Core."""
        self.free(workload_id)

    def adopt(self, running: Running) -> None:
        """See Core."""
        self.fleet.take(running.seats, running.workload.shape)
        self.running[running.workload.id] = running

    def free(self, workload_id: str) -> Running:
        """Give the seats back."""
        running = self.running.pop(workload_id)
        self.fleet.give(running.seats, running.workload.shape)
        return running

    def decide(self, now: float) -> Decision:
        """Go through the line once."""
        starts: list[Start] = []
        preempted: list[Preemption] = []
        failed: set[tuple[Shape, int]] = set()
        for workload in sorted(self.waiting.values(), key=lambda each: (self.rank(each, now), each.submitted_at, each.id)):
            seats = None if (workload.shape, workload.members) in failed else self.seats(workload)
            if seats is None and self.preempts:
                seats = self.seats_by_preemption(workload, now, preempted, {each.workload for each in starts})
            if seats is not None:
                starts.append(self.start(workload, seats, now))
                continue
            failed.add((workload.shape, workload.members))
            if self.blocks:
                break
        return Decision(now, tuple(preempted), tuple(starts))

    def seats(self, workload: Workload) -> tuple[Seat, ...] | None:
        """Where it fits now."""
        if self.fleet.room(workload.shape).total < workload.members:
            return None
        return self.placement.place_gang(self.fleet, workload, workload.members)

    def start(self, workload: Workload, seats: tuple[Seat, ...], now: float) -> Start:
        """Take the seats."""
        self.fleet.take(seats, workload.shape)
        del self.waiting[workload.id]
        self.running[workload.id] = Running(workload, self.pool, seats, now, now + workload.seconds)
        return Start(workload.id, self.pool, seats, workload.members)

    def seats_by_preemption(self, workload: Workload, now: float, preempted: list[Preemption], fresh: set[str]) -> tuple[Seat, ...] | None:
        """Take from those that rank behind, the last first, until it fits; or take nothing."""
        mine = self.rank(workload, now)
        behind = [
            each
            for each in self.running.values()
            if each.workload.id not in fresh and now - each.started_at >= self.lease_seconds and self.rank(each.workload, now) > mine
        ]
        behind.sort(key=lambda each: self.rank(each.workload, now), reverse=True)
        if self.fleet.capacity_milli - self.fleet.used_milli + sum(each.workload.milli for each in behind) < workload.milli:
            return None
        taken: list[Running] = []
        seats = None
        for victim in behind:
            taken.append(self.free(victim.workload.id))
            seats = self.seats(workload)
            if seats is not None:
                break
        if seats is None:
            for victim in taken:
                self.adopt(victim)
            return None
        for victim in taken:
            self.send_back(victim, now)
            preempted.append(Preemption(victim.workload.id, workload.id, "priority", 0.0))
        return seats

    def send_back(self, victim: Running, now: float) -> None:
        """What ran waits again, with what its checkpoints kept."""
        step, ran = victim.workload.checkpoint_seconds, now - victim.started_at
        kept = ran // step * step if step else 0.0
        self.done[victim.workload.id] = self.done.get(victim.workload.id, 0.0) + kept
        self.waiting[victim.workload.id] = replace(victim.workload, seconds=max(victim.workload.seconds - kept, 1.0))

    def left(self, workload: Workload, now: float) -> float:
        """How long it really still runs: perfect knowledge."""
        running = self.running.get(workload.id)
        ran = now - running.started_at if running is not None else 0.0
        return self.actual[workload.id] - self.done.get(workload.id, 0.0) - ran


class Fifo(Ranked):
    """First come, first served: who does not fit keeps all behind it waiting."""

    blocks = True

    def rank(self, workload: Workload, now: float) -> float:
        """By the time of submission."""
        return workload.submitted_at


class FifoSkipping(Fifo):
    """The same, but who does not fit is passed by: large gangs may starve."""

    blocks = False


class ShortestKnown(Ranked):
    """Shortest remaining time first with perfect knowledge and preemption: no scheduler can know this."""

    preempts = True
    lease_seconds = 600.0
    """Nothing is taken from one that runs for less, lest checkpoints are lost."""

    def rank(self, workload: Workload, now: float) -> float:
        """By what really is left."""
        return self.left(workload, now)


class FinishTimeFair(Ranked):
    """Themis-like: every lease of twenty minutes, GPUs go to those whose finish is delayed most over that on a cluster of their own share.

    ρ = (time until it finishes, if it ran from now on) / (run time on a 1/n share of the cluster), n the number of jobs; with estimates,
    not with perfect knowledge. The auction of Themis (NSDI 2020) among the worst fifth is left out: the highest ρ goes first.
    """

    preempts = True
    lease_seconds = LEASE_SECONDS

    def rank(self, workload: Workload, now: float) -> float:
        """The highest ρ first."""
        running = self.running.get(workload.id)
        left = max(workload.seconds - (now - running.started_at if running is not None else 0.0), 60.0)
        whole = workload.seconds + self.done.get(workload.id, 0.0)
        jobs = len(self.waiting) + len(self.running)
        share = max(jobs * workload.milli / max(self.fleet.capacity_milli, 1), 1.0)
        return -(now - workload.submitted_at + left) / (whole * share)


class LeastAttained(Ranked):
    """Tiresias-like (NSDI 2019): who has had least so far goes first, by classes of GPU time, in order of arrival within one.

    What has had more gives way once it has run for its lease, and loses what it did since its last checkpoint. Nothing is known of run
    times: no estimates, no truth. Tiresias' promotion of those that wait for very long is left out.
    """

    preempts = True
    lease_seconds = LEASE_SECONDS
    classes_gpu_hours = (1.0, 10.0, 100.0)

    def rank(self, workload: Workload, now: float) -> float:
        """By the class of what it has had."""
        running = self.running.get(workload.id)
        seconds = self.done.get(workload.id, 0.0) + (now - running.started_at if running is not None else 0.0)
        return float(bisect(self.classes_gpu_hours, seconds / 3600 * workload.milli / 1000))


CORES: dict[str, Callable[[Scenario, Mapping[str, Fleet], int], Ranked]] = {
    "fifo": Fifo,
    "fifo, skipping": FifoSkipping,
    "srtf, perfect": ShortestKnown,
    "themis-like": FinishTimeFair,
    "least attained": LeastAttained,
}
