"""Runs a scenario in virtual time: what happens to machines and work, and what the scheduler makes of it."""

import math
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

from factory_infra.errors import Conflict, InvalidInput
from factory_infra.iaas.scheduling.models import Decision
from factory_infra.iaas.twin.arrivals import Arrival
from factory_infra.iaas.twin.cores import core_of
from factory_infra.iaas.twin.demand import grow
from factory_infra.iaas.twin.events import Agenda, Event, Kind
from factory_infra.iaas.twin.machines import Machines
from factory_infra.iaas.twin.results import Comparison, Results
from factory_infra.iaas.twin.scenario import Remembering, Reserving, Scenario
from factory_infra.iaas.twin.tally import Clocked, tally
from factory_infra.iaas.twin.work import Live, Work

Progress = Callable[[float], bool | None]
"""Told which share is done, about a hundred times; False ends the run."""

STUCK_SECONDS = 7 * 24 * 3600.0
"""Where nothing ran and nothing could be started for so long, what still waits never starts."""
PROGRESS_STEP = 0.01


def run(scenario: Scenario, seed: int = 0, progress: Progress | None = None) -> Results:
    """Simulate a scenario. The same scenario and seed give the same results.

    Raises InvalidInput `scenario_invalid` for work that is not in order or has impossible times, Conflict `twin_cancelled` where
    `progress` says so.
    """
    return Engine(scenario, seed, progress).run()


def compare(scenarios: Sequence[Scenario], seeds: Sequence[int], progress: Progress | None = None) -> Comparison:
    """Simulate each scenario with each seed, and lay the results side by side."""
    results: list[Results] = []
    parts = max(1, len(scenarios) * len(seeds))

    def told(share: float) -> bool | None:
        return progress((len(results) + share) / parts) if progress is not None else None

    for scenario in scenarios:
        for seed in seeds:
            results.append(run(scenario, seed, told))
    return Comparison(results=tuple(results))


class Engine:
    """One run of one scenario."""

    def __init__(self, scenario: Scenario, seed: int, progress: Progress | None) -> None:
        self._scenario, self._seed, self._progress = scenario, seed, progress
        self._arrivals = checked(scenario.drawn(seed), scenario)
        self._agenda, self._work = Agenda(), Work()
        self._machines = Machines(scenario, seed, self._agenda)
        self._core = core_of(scenario, self._machines.fleets, seed)
        self._next = 0
        self._now = scenario.start_at
        self._end = math.inf if scenario.seconds is None else scenario.start_at + scenario.seconds
        self._due, self._passed_at, self._moved_at = math.inf, -math.inf, scenario.start_at
        self._told = 0.0
        self._clocked = Clocked()

    def run(self) -> Results:
        """Run to the end."""
        began = time.perf_counter()
        self._adopt()
        while True:
            at = min(self._agenda.next_at(), self._arriving_at())
            if self._due < at:
                if self._due > self._end:
                    break
                self._pass(self._due)
            elif at > self._end or at == math.inf:
                break
            else:
                self._happen(at)
            if self._scenario.seconds is None and self._over():
                break
            self._tell()
        self._now = self._end if self._end < math.inf else self._now
        self._machines.close(self._now)
        self._clocked.seconds = time.perf_counter() - began
        return tally(self._scenario, self._seed, self._now, self._machines, self._work, self._clocked)

    def _adopt(self) -> None:
        """What runs already goes on, and what ran is remembered."""
        if hasattr(self._core, "remember"):
            for past in self._scenario.past:
                cast("Remembering", self._core).remember(past.workload, past.began, past.ended)
        for standing in self._scenario.running:
            running, since = standing.running, standing.running.started_at
            members = len(running.seats) or running.workload.members
            seconds = max(standing.ends_at_really, self._now) - since
            one = self._work.arrive(Arrival(running.workload, seconds * members / running.workload.members, standing.activity))
            del self._work.waiting[running.workload.id]
            one.starts, one.first_start_at, one.started_at, one.idle_until = 1, since, since, since
            self._core.adopt(running)
            self._work.place(one, running.pool, running.seats, members, since)
            self._machines.occupy(running.pool, running.seats, 1, self._now)
            self._ends(one, self._work.ends_at(one))

    def _arriving_at(self) -> float:
        return self._arrivals[self._next].at if self._next < len(self._arrivals) else math.inf

    def _happen(self, at: float) -> None:
        """Let the next thing happen; the scheduler passes soon after."""
        self._now = max(self._now, at)
        if self._agenda.next_at() <= self._arriving_at():
            changed = self._handle(self._agenda.take())
        else:
            self._arrive(self._arrivals[self._next])
            self._next += 1
            changed = True
        if changed and (self._work.waiting or self._work.short):
            self._due = min(self._due, max(self._now, self._passed_at + self._scenario.pass_seconds))

    def _arrive(self, arrival: Arrival) -> None:
        self._work.arrive(arrival)
        self._core.submit(arrival.workload)
        if arrival.leaves_at is not None:
            self._agenda.add(max(arrival.leaves_at, self._now), Kind.LEAVE, arrival.workload.id)

    def _handle(self, event: Event) -> bool:
        """Let one event happen. Returns whether anything changed for the scheduler."""
        now, room = event.at, event.name
        match event.kind:
            case Kind.END:
                return self._finish(event)
            case Kind.BACK:
                self._machines.back(room, event.number)
            case Kind.READY:
                self._machines.ready(room, event.number, event.detail, now)
            case Kind.FAIL:
                if self._machines.fail(room, event.number, event.detail):
                    self._cut_off(room, event.number, "failure")
            case Kind.STOCK:
                self._machines.stock(room, now, there=bool(event.number))
            case Kind.RECLAIM:
                if self._machines.reclaims(room, event.number, event.detail, now):
                    self._reclaim(room, event.number)
            case Kind.LEAVE:
                return self._leave(self._work.live[room])
        return True

    def _finish(self, event: Event) -> bool:
        one = self._work.live[event.name]
        if not one.running or one.version != event.number:
            return False
        self._machines.occupy(one.pool, one.seats, -1, self._now)
        self._work.finish(one, self._now)
        self._core.finish(event.name, self._now)
        self._moved_at = self._now
        return True

    def _leave(self, one: Live) -> bool:
        if one.first_start_at is not None or one.ended_at is not None:
            return False
        self._core.remove(one.arrival.workload.id)
        self._work.give_up(one, self._now)
        return True

    def _reclaim(self, pool: str, node: int) -> None:
        room = self._machines.rooms[pool]
        notice = room.elastic.market.notice_seconds if room.elastic is not None else 0.0
        self._cut_off(pool, node, "interruption", notice)
        self._machines.end(room, node, self._now)

    def _cut_off(self, pool: str, node: int, cause: str, notice_seconds: float = 0.0) -> None:
        """Everything on a node loses its place, and waits again."""
        for name in sorted(self._work.on_node[pool, node]):
            one = self._work.live[name]
            self._core.remove(name)
            self._machines.occupy(one.pool, one.seats, -1, self._now)
            self._core.submit(self._work.cut_off(one, self._now, cause, notice_seconds=notice_seconds))

    def _pass(self, at: float) -> None:
        """Let the scheduler decide, and carry it out."""
        self._now, self._passed_at, self._due = at, at, math.inf
        if not self._clocked.passes and hasattr(self._core, "reserve"):
            for name in self._scenario.reserved:
                cast("Reserving", self._core).reserve(name, at)
        began = time.perf_counter()
        decision = self._core.decide(at)
        self._clocked.deciding_seconds += time.perf_counter() - began
        self._clocked.passes += 1
        self._carry_out(decision)
        if self._scenario.elastic:
            grow(self._machines, (self._work.live[name].workload for name in self._work.waiting), at)
            self._machines.give_back_idle(at)
        if self._work.waiting or self._work.short or self._scenario.elastic:
            self._due = at + max(self._scenario.look_seconds, self._scenario.pass_seconds)

    def _carry_out(self, decision: Decision) -> None:
        for preemption in decision.preemptions:
            one = self._work.live[preemption.workload]
            self._machines.occupy(one.pool, one.seats, -1, self._now)
            self._work.cut_off(one, self._now, "preemption")
            self._clocked.preemptions += 1
        for name, members in decision.shrunk:
            one = self._work.live[name]
            self._machines.occupy(one.pool, one.seats[members:], -1, self._now)
            self._ends(one, self._work.resize(one, one.seats[:members], self._now))
        for start in decision.starts:
            one = self._work.live[start.workload]
            end = self._work.start(one, start, self._now, self._scenario.restart_seconds)
            self._machines.occupy(start.pool, start.seats, 1, self._now)
            self._ends(one, end)
            self._clocked.backfilled += start.backfilled
            self._moved_at = self._now
        for name, seats in decision.grown:
            one = self._work.live[name]
            self._machines.occupy(one.pool, seats[len(one.seats) :], 1, self._now)
            self._ends(one, self._work.resize(one, seats, self._now))

    def _ends(self, one: Live, at: float) -> None:
        self._agenda.add(at, Kind.END, one.arrival.workload.id, one.version)

    def _over(self) -> bool:
        """Whether nothing more will come of it."""
        if self._next < len(self._arrivals) or self._work.running:
            return False
        return not self._work.waiting or self._now - self._moved_at > STUCK_SECONDS

    def _tell(self) -> None:
        if self._progress is None:
            return
        if self._end < math.inf:
            share = (self._now - self._scenario.start_at) / max(self._end - self._scenario.start_at, 1e-9)
        else:
            waiting = len(self._work.waiting) + self._work.running
            share = (2 * self._next - waiting) / max(2 * len(self._arrivals), 1)
        if share - self._told >= PROGRESS_STEP:
            self._told = share
            if self._progress(min(share, 1.0)) is False:
                raise Conflict("The simulation was cancelled.", remedy="Start it again; nothing is left of it.", code="twin_cancelled")


def checked(arrivals: Sequence[Arrival], scenario: Scenario) -> Sequence[Arrival]:
    """Refuse work that cannot be. Raises InvalidInput `scenario_invalid`."""
    seen: set[str] = {standing.running.workload.id for standing in scenario.running}
    for arrival in arrivals:
        work = arrival.workload
        times = (work.submitted_at, arrival.actual_seconds, work.seconds, work.checkpoint_seconds, arrival.at)
        if not all(math.isfinite(each) and each >= 0 for each in times):
            raise refused(scenario, f"workload {work.id} has a time that is negative or not a number", "Correct its times.")
        if not 0 <= arrival.activity <= 1:
            raise refused(scenario, f"workload {work.id} has an activity of {arrival.activity:g}", "It is a share between 0 and 1.")
        if work.members < 1:
            raise refused(scenario, f"workload {work.id} has {work.members} members", "It has at least one.")
        if work.id in seen:
            raise refused(scenario, f"two workloads are named {work.id}", "Name each once.")
        seen.add(work.id)
    for before, after in pairwise(arrivals):
        if after.at < before.at:
            raise refused(scenario, f"workload {after.workload.id} comes before {before.workload.id}", "Sort them by time.")
    if arrivals and arrivals[0].at < scenario.start_at:
        raise refused(scenario, f"workload {arrivals[0].workload.id} comes before the start", "Let the simulation start earlier.")
    return arrivals


def refused(scenario: Scenario, what: str, remedy: str) -> InvalidInput:
    """What a scenario may not hold."""
    return InvalidInput(f"Scenario {scenario.name} cannot be simulated: {what}.", remedy=remedy, code="scenario_invalid")
