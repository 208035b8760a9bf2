"""What is simulated: machines, work, the rules, and everything that may go wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from factory_infra.foundation.twin.failures import FailureModel
from factory_infra.foundation.twin.market import Market
from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import Decision, NodeSpec, Running, Workload
from factory_infra.iaas.scheduling.policy import QuotaTree, SchedulingPolicy
from factory_infra.iaas.twin.arrivals import Arrival


class Core(Protocol):
    """A scheduler that the engine drives. It applies what it decides to its own state; the engine carries it out in its world."""

    def submit(self, workload: Workload) -> None:
        """Take a workload into the queue; also one that ran before and has so much left to do."""
        ...

    def remove(self, workload_id: str) -> None:
        """Forget a workload that waits, or free the seats of one that was cut off."""
        ...

    def finish(self, workload_id: str, at: float) -> None:
        """Free the seats of a workload that has come to its end."""
        ...

    def adopt(self, running: Running) -> None:
        """Take over what runs already."""
        ...

    def decide(self, now: float) -> Decision:
        """Decide what starts and what gives way."""
        ...


class Reserving(Protocol):
    """An extra ability of a core: it keeps capacity free for somebody from one pass to the next."""

    def reserve(self, workload_id: str, now: float) -> None:
        """Keep capacity free for a workload that waits."""
        ...


class Remembering(Protocol):
    """An extra ability of a core: what ran in the past counts."""

    def remember(self, workload: Workload, began: float, ended: float) -> None:
        """Count what ran in the past to its queue's history."""
        ...


@dataclass(frozen=True, slots=True)
class Elastic:
    """A pool whose machines are made when work waits for them, and given back when they are idle."""

    market: Market
    nodes_min: int = 0
    """So many are there from the start and stay."""
    idle_seconds: float = 600.0
    """A machine on which nothing ran for so long is given back."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What runs already when the simulation begins."""

    running: Running
    ends_at_really: float
    activity: float = 1.0


@dataclass(frozen=True, slots=True)
class Past:
    """What ran before the simulation begins, and has ended: it counts in shares that have a memory."""

    workload: Workload
    began: float
    ended: float


MakeCore = Callable[["Scenario", Mapping[str, Fleet], int], Core]
Arrivals = Sequence[Arrival] | Callable[[int], Sequence[Arrival]]


@dataclass(frozen=True)
class Scenario:
    """One simulation but for its seed. Times are virtual seconds."""

    name: str
    pools: Mapping[str, tuple[NodeSpec, ...]]
    """Of an elastic pool: the most machines that it may have."""
    arrivals: Arrivals
    """In order of submission, or drawn from a seed."""
    policy: SchedulingPolicy = field(default_factory=SchedulingPolicy)
    quotas: QuotaTree | None = None
    running: tuple[Standing, ...] = ()
    start_at: float = 0.0
    seconds: float | None = None
    """How long it lasts; None: until all work is done."""
    pass_seconds: float = 30.0
    """The scheduler passes at most once in so many seconds, as a real one does."""
    look_seconds: float = 600.0
    """It passes at least so often while something waits."""
    failures: FailureModel = field(default_factory=FailureModel)
    elastic: Mapping[str, Elastic] = field(default_factory=dict)
    unfit: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """By pool, machines that are out of order from start to end."""
    past: tuple[Past, ...] = ()
    reserved: tuple[str, ...] = ()
    """Workloads that wait and for which capacity is kept free when the simulation begins."""
    restart_seconds: float = 0.0
    """What each start after the first costs: loading a checkpoint."""
    core: MakeCore | None = None
    """Another scheduler than the product's own: the baselines of benchmarks."""

    def drawn(self, seed: int) -> Sequence[Arrival]:
        """The work of one seed."""
        return self.arrivals(seed) if callable(self.arrivals) else self.arrivals
