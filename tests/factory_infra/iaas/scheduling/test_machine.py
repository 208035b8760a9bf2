"""The scheduler under random sequences of arrivals, ends, failures and passes, checked against a plain model of what must hold.

The nightly run of 10,000 sequences is `benchmarks/scheduling/machine.py`; `test_controls.py` switches each protection off.
"""

import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from factory_infra.iaas.scheduling import backfill, explain
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Decision, NodeSpec, Running, Shape, Workload
from factory_infra.iaas.scheduling.policy import QuotaSpec, QuotaTree, SchedulingPolicy
from factory_infra.iaas.scheduling.queueing import Scheduler
from factory_infra.iaas.scheduling.quotas import Quotas

ROOT = Path(__file__).parents[4]
SEEN: Counter[str] = Counter()
"""What the sequences went through, for who runs many of them."""
SEQUENCES = 300
STEPS = 7
COMPARED_EVERY = 4
ADVISED_MAX = 1
"""So often a sequence asks for advice: each costs as much as all of its other steps."""
QUEUES = ("org/a", "org/b", "org/b/x", "other", "guest")
NODES = {
    "one": [NodeSpec(f"n{at}", 16_000, 65_536, 4, "A100" if at < 2 else "H100", rack=f"r{at // 2}", nvlink_group=2) for at in range(4)],
    "two": [NodeSpec(f"m{at}", 8_000, 32_768, 2, "A100", mig_milli=(250, 500, 1000)) for at in range(2)],
}
GUARANTEES = QuotaTree(
    queues=(
        QuotaSpec(name="org", guaranteed={"gpus": 10}, limit={"gpus": 14}),
        QuotaSpec(name="org/a", guaranteed={"gpus": 6}),
        QuotaSpec(name="org/b", guaranteed={"gpus": 4}, borrowing_limit={"gpus": 3}, weight=2.0),
        QuotaSpec(name="other", guaranteed={"gpus": 8, "gpus:H100": 2}, limit={"gpus:H100": 6}),
    )
)
LIMITS = QuotaTree(
    queues=(QuotaSpec(name="org", limit={"gpus": 8, "cpus": 30}), QuotaSpec(name="other", guaranteed={"gpus": 4}, borrowing=False))
)
POLICIES = st.builds(
    SchedulingPolicy,
    placement=st.just("first_fit"),
    order=st.sampled_from(("fair", "fair", "fifo", "shortest", "priority")),
    backfill=st.sampled_from((True, True, True, False)),
    reservations=st.integers(1, 2),
    preemption=st.sampled_from(("off", "queue", "any")),
    borrowing=st.sampled_from((True, True, False)),
    reclaim=st.sampled_from((True, True, False)),
    guaranteed_seconds=st.sampled_from((0.0, 0.0, 30.0, 70.0)),
    starvation_seconds=st.sampled_from((50.0, 50.0, 300.0)),
    history_half_life_seconds=st.sampled_from((0.0, 500.0)),
    elastic=st.sampled_from((True, True, False)),
)
KIND = st.integers(0, 5_000)


def drawn(kind: int) -> Workload:
    """One of many workloads, by its number: most of them small, none of them nice."""
    draw = random.Random(kind)  # noqa: S311  (a number is drawn far quicker than every field)
    shape = Shape(500, 0, draw.choice((200, 500)), 1)
    if draw.random() < 0.75:
        models = draw.choice((frozenset[str](), frozenset[str](), frozenset({"H100"}), frozenset({"A100"})))
        shape = Shape(draw.choice((0, 1000, 4000)), draw.choice((0, 8192)), 1000, draw.choice((1, 1, 2, 4)), models)
    elif draw.random() < 0.3:
        shape = Shape(draw.choice((1000, 8000)))
    members = draw.choice((1, 1, 1, 2, 3, 6))
    return Workload(
        id="",
        queue=draw.choice(QUEUES),
        shape=shape,
        submitted_at=0.0,
        seconds=draw.choice((10.0, 40.0, 100.0, 200.0, 400.0)),
        members=members,
        members_min=draw.choice((0, 0, 1)),
        priority=draw.choice((0, 0, 1, 5)),
        topology=draw.choice(("any", "any", "any", "node", "rack", "nvlink")),
        preemptible=draw.random() < 0.8,
        checkpoint_seconds=draw.choice((0.0, 20.0)),
        deadline_at=draw.choice((None, None, 400.0)),
        not_before=draw.choice((0.0, 0.0, 0.0, 60.0)),
        pools=draw.choice(((), ("one",), ("two", "one"))),
    )


@dataclass
class Promise:
    """By when the one that starved first was bound to start, once nobody that starved before it and was displaced stands before it."""

    name: str
    by: float


@dataclass
class Plain:
    """What is true, kept by itself: who runs where since when."""

    running: dict[str, Running] = field(default_factory=dict)
    promise: Promise | None = None


class Machine(RuleBasedStateMachine):
    """Random calls in any order; after each, everything that must hold is worked out from scratch."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.number, self.advised = 0.0, 0, 0
        self.plain = Plain()
        self.log: list[Callable[[Scheduler], Decision | None]] = []
        self.decided: list[Decision] = []

    @initialize(
        policy=POLICIES, tree=st.sampled_from((GUARANTEES, GUARANTEES, LIMITS, None)), kinds=st.lists(KIND, min_size=8, max_size=12)
    )
    def build(self, policy: SchedulingPolicy, tree: QuotaTree | None, kinds: list[int]) -> None:
        """Open a scheduler to which much is submitted at once."""
        self.policy, self.tree = policy, tree
        self.scheduler = self.opened()
        self.paths = Quotas(tree, borrowing=policy.borrowing)
        self.submit(kinds)

    def opened(self) -> Scheduler:
        return Scheduler(self.policy, self.tree, {pool: Fleet(nodes) for pool, nodes in NODES.items()})

    def call(self, what: Callable[[Scheduler], Decision | None]) -> Decision | None:
        self.log.append(what)
        return what(self.scheduler)

    @rule(kinds=st.lists(KIND, min_size=2, max_size=8))
    def arrive(self, kinds: list[int]) -> None:
        self.submit(kinds)

    def submit(self, kinds: list[int]) -> None:
        for each in map(drawn, kinds):
            self.number += 1
            deadline = None if each.deadline_at is None else self.now + each.deadline_at
            later = self.now + each.not_before if each.not_before else 0.0
            made = _with(each, id=f"w{self.number}", submitted_at=self.now, deadline_at=deadline, not_before=later)
            self.call(lambda core, made=made: core.submit(made))  # type: ignore[misc]
        self.decide()

    @rule(seconds=st.sampled_from((10.0, 60.0, 120.0)))
    def wait(self, seconds: float) -> None:
        """Time passes; what reaches its end on the way ends, with a pass each time."""
        until = self.now + seconds
        while ends := sorted((running.ends_at, name) for name, running in self.plain.running.items() if running.ends_at <= until):
            self.now = max(self.now, ends[0][0])
            for _, name in [each for each in ends if each[0] <= self.now]:
                self.finish(name)
            self.decide()
        self.now = until
        self.decide()

    @precondition(lambda self: self.plain.running)
    @rule(data=st.data())
    def ends_early(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(sorted(self.plain.running))))
        self.decide()

    @precondition(lambda self: self.scheduler.pending)
    @rule(data=st.data())
    def given_up(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.scheduler.pending)))
        self.call(lambda core: core.remove(name))
        if self.plain.promise and self.plain.promise.name == name:
            self.plain.promise = None
        self.decide()

    @rule(pool=st.sampled_from(sorted(NODES)), node=st.integers(0, 1), fit=st.booleans())
    def breaks(self, pool: str, node: int, fit: bool) -> None:
        """A node breaks, with all that runs there, or comes back."""
        for name, running in list(self.plain.running.items()):
            if not fit and running.pool == pool and any(seat.node == node for seat in running.seats):
                self.finish(name, completed=False)
        self.call(lambda core: core.fleets[pool].set_fit(node, fit))
        self.plain.promise = None
        self.decide()

    @precondition(lambda self: self.scheduler.pending and self.advised < ADVISED_MAX)
    @rule(data=st.data())
    def advice_is_true(self, data: st.DataObject) -> None:
        self.advised += 1
        name = data.draw(st.sampled_from(sorted(self.scheduler.pending)))
        for advice in explain.advise(self.scheduler, name, self.now, advice_max=2):
            SEEN["advice tried"] += 1
            changed = _with(self.scheduler.pending[name], **advice.change)
            copy = explain.applied(self.scheduler, changed)
            assert _starts(copy, name, self.now, advice.starts_at) == advice.starts_at, (name, advice)

    def finish(self, name: str, *, completed: bool = True) -> None:
        at = self.now
        self.call(lambda core: core.finish(name, at, completed=completed))
        del self.plain.running[name]

    def decide(self) -> None:
        now = self.now
        before = self.scheduler.copy() if len(self.decided) % COMPARED_EVERY == 0 else None
        decision = self.call(lambda core: core.decide(now))
        assert decision is not None
        self.decided.append(decision)
        assert before is None or before.decide(now) == decision, "the same state and time gave another decision"
        self.follow(decision)
        self.promised()
        SEEN["passes"] += 1
        SEEN["starts"] += len(decision.starts)
        SEEN["starts past a reservation"] += sum(start.backfilled for start in decision.starts)
        SEEN["starts on borrowed quota"] += sum(start.borrowed for start in decision.starts)
        SEEN["displaced"] += len(decision.preemptions)
        SEEN["shrunk"] += len(decision.shrunk)
        SEEN["grown"] += len(decision.grown)

    def follow(self, decision: Decision) -> None:
        """Carry out a decision in the plain model, and check what it may not do."""
        for gone in decision.preemptions:
            running = self.plain.running.pop(gone.workload)
            assert running.workload.preemptible
            assert self.now - running.started_at >= self.policy.guaranteed_seconds, "displaced before its guaranteed time"
        for name, members in decision.shrunk:
            running = self.plain.running[name]
            assert running.workload.members_min <= members < len(running.seats)
            assert running.workload.members_min
            self.plain.running[name] = self.scheduler.running[name]
        for start in decision.starts:
            assert start.workload not in self.plain.running
            running = self.scheduler.running[start.workload]
            assert running.seats == start.seats
            self.plain.running[start.workload] = running
            assert not self.policy.elastic or running.workload.not_before <= self.now
            fleet = self.scheduler.fleets[start.pool]
            assert all(fleet.fit[seat.node] for seat in start.seats), "started on a node that is not fit"
        for name, seats in decision.grown:
            running, grown = self.plain.running[name], self.scheduler.running[name]
            assert self.policy.elastic
            assert running.workload.members_min
            assert seats == grown.seats
            assert seats[: len(running.seats)] == running.seats, "one that grew was moved"
            assert len(running.seats) < len(seats) <= running.workload.members
            assert grown.ends_at < running.ends_at, "with more members it takes longer"
            self.plain.running[name] = grown

    def promised(self) -> None:
        """The one that starved first starts when all that ran then has ended, at the latest."""
        promise = self.plain.promise
        if promise is not None and promise.name not in self.scheduler.pending:
            promise = None
        if promise is not None:
            assert self.now <= promise.by, f"{promise.name} was bound to start by {promise.by}, and waits at {self.now}"
        if promise is None:
            state = self.scheduler.state
            bound = self.policy.starvation_seconds
            waiting = [
                (max(entry.workload.submitted_at, entry.workload.not_before), entry.number, name)
                for name, entry in state.entries.items()
                if not state.hopeless(entry) and all(fleet.fit.all() for fleet in state.fleets.values())
            ]
            others = [kept.workload for kept in state.reservations if kept.firm and kept.workload != min(waiting)[2]] if waiting else []
            if waiting and not others and min(waiting)[0] + bound <= self.now:
                ends = [running.ends_at for running in self.plain.running.values()]
                promise = Promise(min(waiting)[2], max(ends, default=self.now))
        if promise is not None:
            promise.by = min([promise.by, *self.kept_for(promise.name)])
        self.plain.promise = promise

    def kept_for(self, name: str) -> list[float]:
        """From when on seats are kept for it, where it is the first that they are kept for: that is never moved.

        One that stood after another is worked out anew when that one has started, so it is asked in a copy where all are worked out.
        """
        if self.scheduler.reserved[:1] != (name,):
            return []
        state = self.scheduler.state.copy()
        backfill.refresh(state)
        return [each.at for each in state.reservations[:1]]

    @invariant()
    def nothing_is_given_twice(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        used: dict[tuple[str, int, int], int] = defaultdict(int)
        rest: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for running in self.plain.running.values():
            shape = running.workload.shape
            for seat in running.seats:
                spec = NODES[running.pool][seat.node]
                assert len(set(seat.gpus)) == shape.gpus
                assert not shape.models or spec.model in shape.models
                rest[running.pool, seat.node][0] += shape.cpu_milli
                rest[running.pool, seat.node][1] += shape.memory_mib
                for gpu in seat.gpus:
                    assert gpu < spec.gpus
                    used[running.pool, seat.node, gpu] += shape.gpu_milli
        assert all(milli <= 1000 for milli in used.values()), "a GPU was given twice"
        for (pool, node), (cpu_milli, memory_mib) in rest.items():
            assert cpu_milli <= NODES[pool][node].cpu_milli, "cores were given twice"
            assert memory_mib <= NODES[pool][node].memory_mib, "memory was given twice"

    @invariant()
    def caps_hold(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        used: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for running in self.plain.running.values():
            shape, members = running.workload.shape, len(running.seats)
            for node in self.paths.paths[self.paths.node(running.workload.queue)]:
                used[node]["gpus"] += shape.milli * members
                used[node]["cpus"] += shape.cpu_milli * members
                used[node]["memory_gib"] += shape.memory_mib * members
                for seat in running.seats:
                    used[node][f"gpus:{NODES[running.pool][seat.node].model}"] += shape.milli
        for node, amounts in used.items():
            for at, resource in enumerate(self.paths.resources):
                assert amounts[resource] <= self.paths.caps[node][at], f"{self.paths.names[node]} exceeds its cap of {resource}"

    @invariant()
    def gangs_are_whole(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for running in self.plain.running.values():
            workload, seats = running.workload, running.seats
            least = workload.members_min if workload.members_min and self.policy.elastic else workload.members
            assert least <= len(seats) <= workload.members, "a gang runs in part"
            nodes = {seat.node for seat in seats}
            if workload.topology in ("node", "nvlink"):
                assert len(nodes) == 1, "members that belong on one node lie on several"
            if workload.topology == "rack":
                assert len({NODES[running.pool][node].rack or node for node in nodes}) == 1, "members lie in several racks"

    def teardown(self) -> None:
        """The same calls in the same order on a new scheduler give the same decisions."""
        if not hasattr(self, "scheduler"):
            return
        again = self.opened()
        repeated = [made for call in self.log if (made := call(again)) is not None]
        assert repeated == self.decided, "the same calls gave other decisions"


def _with(workload: Workload, **change: object) -> Workload:
    values = {name: getattr(workload, name) for name in Workload.__dataclass_fields__}
    return Workload(**{**values, **change})


def _starts(core: Scheduler, name: str, now: float, until: float) -> float | None:
    """When a workload starts, if everything ends as expected: a second, plainer way than the one that advice is made by."""
    while now <= until:
        core.decide(now)
        if name in core.running:
            return now
        times = [
            running.ends_at if running.ends_at > now else now + 1.0 + 0.1 * (now - running.started_at) for running in core.running.values()
        ]
        alarms = [at for at, _ in core.waking.alarms if at > now]
        if not times and not alarms:
            return None
        now = min((*times, *alarms))
        for each in [each for each, running in core.running.items() if running.ends_at <= now]:
            core.finish(each, now)
    return None


def run(sequences: int, *, shrink: bool = True, number: int | None = None) -> None:
    """Run so many sequences, the same every time; others for every `number`. Without `shrink` the first that fails is told as it is."""
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        Machine if number is None else seed(number)(type("Machine", (Machine,), {})),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=STEPS,
            derandomize=number is None,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


class TestMachine:
    def test_everything_holds(self) -> None:
        # in a process of its own: Hypothesis draws by what modules are loaded, so that beside other tests it would play others each time.
        # To shrink one that fails, `run(SEQUENCES)`: it takes minutes.
        played = f"from tests.factory_infra.iaas.scheduling.test_machine import run; run({SEQUENCES}, shrink=False)"
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        told = subprocess.run([sys.executable, "-c", played], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr[-4000:]
