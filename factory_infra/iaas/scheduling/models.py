"""What the scheduler decides over: what a workload asks for, what a fleet is made of, what was decided. Plain values, no input or output.

Times are seconds on one clock that the caller chooses (Unix time where the installation is live, virtual time in the twin). GPUs are
counted in thousandths (`milli`), cores in thousandths, memory in MiB, money in the price book's currency an hour.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

PriceClass = Literal["on_demand", "spot", "reserved", "capacity_block"]
Topology = Literal["any", "node", "nvlink", "rack"]
Network = Literal["", "efa"]

GPU_MILLI = 1000
GPUS_A_NODE_MAX = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """What one member of a workload asks of one node.

    Whole GPUs have `gpu_milli` 1000 and any `gpus`; a share of one GPU has `gpu_milli` below 1000 and `gpus` 1; without GPUs both are 0.
    """

    cpu_milli: int = 0
    memory_mib: int = 0
    gpu_milli: int = 0
    gpus: int = 0
    models: frozenset[str] = frozenset()
    """The GPU types that will do; empty for any."""
    price_classes: frozenset[PriceClass] = frozenset()
    """The price classes that will do; empty for any."""
    network: Network = ""
    """`efa`: only nodes with EFA will do; empty for any."""

    @property
    def milli(self) -> int:
        """All of its GPU thousandths."""
        return self.gpu_milli * self.gpus


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """One machine of a fleet, when it is empty."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int = 0
    model: str = ""
    rack: str = ""
    nvlink_group: int = 0
    """How many of its GPUs, from index 0 on, share one NVLink domain before the next begins; 0 for all of them."""
    efa: bool = False
    price_class: PriceClass = "on_demand"
    hourly_price: float = 0.0
    interruptions_hourly: float = 0.0
    """How many times an hour such a machine is taken back, on average."""
    mig_milli: tuple[int, ...] = ()
    """The shares into which one of its GPUs may be cut, such as (142, 285, 428, 1000); empty where any share will do."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What waits or runs: `members` of one shape that start together or not at all (a gang), on as many nodes as the shape needs."""

    id: str
    queue: str
    """The leaf of the quota tree that it is charged to, such as `org/vision/labelling`; a team alone is a queue of that name."""
    shape: Shape
    submitted_at: float
    seconds: float
    """How long it is expected to run on `members` members: an estimate, used for reservations and predictions."""
    seconds_max: float = 0.0
    """When it is ended at the latest, from its start; 0 for never."""
    members: int = 1
    members_min: int = 0
    """An elastic workload runs with at least so many members, and that much longer; 0 where it is not elastic."""
    priority: int = 0
    topology: Topology = "any"
    preemptible: bool = True
    checkpoint_seconds: float = 0.0
    """How much work is lost at most when it is preempted; 0 where all of it since its start is lost."""
    deadline_at: float | None = None
    not_before: float = 0.0
    pools: tuple[str, ...] = ()
    """The pools that will do, the preferred first; empty for any."""

    @property
    def milli(self) -> int:
        """All of its GPU thousandths."""
        return self.shape.milli * self.members


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one member lies: a node by its index in the fleet, and the GPUs by their index in the node."""

    node: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """A workload that has its place."""

    workload: Workload
    pool: str
    seats: tuple[Seat, ...]
    started_at: float
    ends_at: float
    """When it is expected to end."""
    borrowed: bool = False
    """It runs beyond its queue's own quota, on what others do not use: it is reclaimed when they ask."""
    progress_seconds: float = 0.0
    """Work of earlier attempts that its checkpoints kept."""


class Binding(StrEnum):
    """What keeps a workload from starting now: the constraint that binds."""

    NEVER_FITS = "never_fits"
    NO_SUCH_TYPE = "no_such_type"
    QUOTA = "quota"
    QUOTA_OF_PARENT = "quota_of_parent"
    FAIR_SHARE = "fair_share"
    PRIORITY = "priority"
    CAPACITY = "capacity"
    FRAGMENTATION = "fragmentation"
    TOPOLOGY = "topology"
    GANG = "gang"
    RESERVATION = "reservation"
    PRICE_CLASS = "price_class"
    NOT_BEFORE = "not_before"
    UNFIT_NODES = "unfit_nodes"
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Start:
    """A workload starts now."""

    workload: str
    pool: str
    seats: tuple[Seat, ...]
    members: int
    borrowed: bool = False
    backfilled: bool = False


@dataclass(frozen=True, slots=True)
class Preemption:
    """A workload that runs gives its place to another."""

    workload: str
    for_workload: str
    reason: Literal["priority", "reclaim", "deadline"]
    lost_seconds: float
    """Work that is lost by it: since the last checkpoint."""


@dataclass(frozen=True, slots=True)
class Wait:
    """A workload waits, and why."""

    workload: str
    binding: Binding
    detail: str
    """The constraint in words, with its numbers and names, such as `vision holds 8 of its 8 GPUs`."""
    starts_at: float | None = None
    """When it should start; None where nothing that is known would let it."""
    starts_by: tuple[float, float] | None = None
    """The interval in which it should start with a probability of about 80 %."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one pass of the scheduler decides: to be carried out in the order preemptions, shrunk, starts, grown."""

    at: float
    preemptions: tuple[Preemption, ...] = ()
    starts: tuple[Start, ...] = ()
    waits: tuple[Wait, ...] = ()
    shrunk: tuple[tuple[str, int], ...] = ()
    """Elastic workloads that go on with fewer members: id, members."""
    grown: tuple[tuple[str, tuple[Seat, ...]], ...] = ()
    """Elastic workloads that go on with more members: id, all of its seats, those that it had first."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A change to a waiting workload that would start it sooner."""

    change: dict[str, object] = field(hash=False)
    """Fields of the workload by their new values, such as {"members": 4} or {"pools": ("b",)}."""
    words: str
    starts_at: float
    cost: float
    """What the changed workload costs more (or less, when negative) than the one asked for."""
