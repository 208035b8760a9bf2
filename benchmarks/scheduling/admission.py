"""Sends 15,000 workloads through admission: two cohorts of queues with quotas, every workload waits, starts, ends; in virtual time.

The mix is that of Kueue's published scalability run: 15,000 workloads of three sizes in cohorts of queues, 351 s there with an API server
and a controller around it. Here it is the decisions alone: the figures are of different things, and stand beside each other for scale.
"""

import sys
import time
from heapq import heappop, heappush

from rich.console import Console

from cli.checks import Check, print_checks
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import NodeSpec, Shape, Workload
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler

COHORTS, QUEUES = 5, 6
CLASSES = (("small", 1, 350, 200.0, 50), ("medium", 5, 100, 500.0, 100), ("large", 20, 50, 1000.0, 200))
"""Name, cores, how many a queue, seconds, priority: 30 queues of 500 workloads."""
GOAL_SECONDS = 15.0
KUEUE_SECONDS = 351.0


def tree() -> QuotaTree:
    """Cohorts of queues that borrow from each other: 20 cores guaranteed to each, 100 more at most."""
    queues = [QuotaSpec(name=f"cohort{cohort}", guaranteed={"cpus": 20 * QUEUES}, limit={"cpus": 20 * QUEUES}) for cohort in range(COHORTS)]
    queues += [
        QuotaSpec(name=f"cohort{cohort}/queue{queue}", guaranteed={"cpus": 20}, borrowing_limit={"cpus": 100})
        for cohort in range(COHORTS)
        for queue in range(QUEUES)
    ]
    return QuotaTree(queues=tuple(queues))


def workloads() -> list[Workload]:
    """All of them, in the order of their arrival: a new one every 100, 500 and 1,200 ms of each class in each queue."""
    found: list[Workload] = []
    for cohort in range(COHORTS):
        for queue in range(QUEUES):
            for name, cores, count, seconds, priority in CLASSES:
                gap = {"small": 0.1, "medium": 0.5, "large": 1.2}[name]
                for number in range(count):
                    path = f"cohort{cohort}/queue{queue}"
                    shape = Shape(cpu_milli=1000 * cores)
                    found.append(Workload(f"{path}/{name}{number}", path, shape, number * gap, seconds / 1000, priority=priority))
    return sorted(found, key=lambda each: (each.submitted_at, each.id))


def run() -> tuple[int, int, float]:
    """Run all of them to their end; returns how many ended, how many passes it took, and the seconds."""
    fleet = Fleet([NodeSpec(f"node{at}", 64_000, 262_144) for at in range(COHORTS * QUEUES)])
    policy = SchedulingPolicy(order="priority", placement="first_fit", preemption="queue", guaranteed_seconds=0.0)
    scheduler = Scheduler(policy, tree(), {"pool": fleet})
    arrivals, ends = workloads(), list[tuple[float, str, float]]()
    began, at, passes, ended = time.perf_counter(), 0, 0, 0
    while at < len(arrivals) or ends:
        now = min(arrivals[at].submitted_at if at < len(arrivals) else float("inf"), ends[0][0] if ends else float("inf"))
        while at < len(arrivals) and arrivals[at].submitted_at <= now:
            scheduler.submit(arrivals[at])
            at += 1
        while ends and ends[0][0] <= now:
            _, name, started_at = heappop(ends)
            held = scheduler.state.held.get(name)
            if held is not None and held.running.started_at == started_at:
                scheduler.finish(name, now)
                ended += 1
        for start in scheduler.decide(now).starts:
            running = scheduler.state.held[start.workload].running
            heappush(ends, (running.ends_at, start.workload, running.started_at))
        passes += 1
    return ended, passes, time.perf_counter() - began


def checks() -> list[Check]:
    """The rows of `make prove-scheduling`."""
    ended, passes, seconds = run()
    figure = f"{ended:,} in {seconds:.1f} s, {passes:,} passes (Kueue, with an API server in it: {KUEUE_SECONDS:.0f} s)"
    goal = f"15,000 within {GOAL_SECONDS:.0f} s"
    return [Check("workloads through admission", figure, goal, ended == 15_000 and seconds <= GOAL_SECONDS)]


if __name__ == "__main__":
    found = checks()
    print_checks(Console(width=150), found)
    sys.exit(0 if all(check.held for check in found) else 1)
