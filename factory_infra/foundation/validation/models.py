"""What a node's software is, how fast it is, and what is thought of both."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ComponentName = Literal[
    "kernel",
    "driver",
    "cuda",
    "nccl",
    "cudnn",
    "efa",
    "libfabric",
    "neuron_driver",
    "neuron_runtime",
    "containerd",
    "docker",
    "nvidia_container_toolkit",
    "python",
    "pytorch",
]
Severity = Literal["error", "warning", "info"]
BenchmarkName = Literal["matmul", "memory", "copy", "all_reduce", "disk_write", "disk_read", "network", "latency"]
BENCHMARKS: tuple[BenchmarkName, ...] = ("matmul", "memory", "copy", "all_reduce", "disk_write", "disk_read", "network", "latency")
Fitness = Literal["fit", "unfit", "unknown"]


class Component(BaseModel):
    """One part of the software of a node. That it is absent is a value, and no error."""

    name: ComponentName
    version: str | None = Field(description="None where it is absent, or does not tell.")
    source: str = Field(default="", description="The command or file that told it.")
    note: str = Field(default="", description="Why there is no version, where something went wrong.")


class Stack(BaseModel):
    """The software of one node at one moment."""

    host: str
    at: datetime
    components: list[Component]

    def version(self, name: str) -> str | None:
        """The version of a component, None where it is absent."""
        return next((each.version for each in self.components if each.name == name), None)


class Drift(BaseModel):
    """One component that is not as the baseline wants it."""

    component: ComponentName
    severity: Severity
    wanted: str
    found: str | None
    reason: str
    remedy: str


class StackReport(BaseModel):
    """A node's software against the baseline of its pool."""

    pool: str
    node: str = ""
    stack: Stack
    drift: list[Drift]
    baseline: str = Field(description="The file that it was compared with; empty where the pool has none.")

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong that must be mended."""
        return not any(each.severity == "error" for each in self.drift)


class Measurement(BaseModel):
    """One figure."""

    benchmark: BenchmarkName
    variant: str = Field(default="", max_length=64, description="The data type, or another way of doing it.")
    device: str = Field(default="", max_length=32, description="gpu0, gpu1, …; empty for the host.")
    value: float
    unit: str = Field(max_length=16)
    higher_is_better: bool = True
    how: str = Field(default="", max_length=200, description="With what it was measured.")

    @property
    def figure(self) -> str:
        """What it is compared under: the benchmark with its variant."""
        return f"{self.benchmark}/{self.variant}" if self.variant else self.benchmark


class Skipped(BaseModel):
    """A benchmark that was not run, and why."""

    benchmark: BenchmarkName
    reason: str = Field(max_length=400)


class BurnInOrder(BaseModel):
    """What a burn-in is to do."""

    model_config = ConfigDict(extra="forbid")

    benchmarks: tuple[BenchmarkName, ...] = BENCHMARKS
    seconds: float = Field(default=5.0, gt=0, le=3600, description="For each benchmark.")
    disk_mib: int = Field(default=256, ge=1, le=100_000, description="At most so much is written.")
    memory_mib: int = Field(default=256, ge=1, le=1_000_000, description="At most so much is held at one time.")
    check: bool = Field(default=True, description="Also collect the versions of the software.")


class BurnIn(BaseModel):
    """What one node did in a burn-in. It comes from a job, and so from outside."""

    model_config = ConfigDict(extra="forbid")

    host: str = Field(max_length=255)
    machine_type: str = Field(max_length=255, description="Machines of one type should be equally fast.")
    at: datetime
    seconds: float
    measurements: list[Measurement] = Field(max_length=1000)
    skipped: list[Skipped] = Field(default=[], max_length=100)
    stack: Stack | None = None


class Comparison(BaseModel):
    """One figure of a node against its fleet."""

    figure: str
    value: float = Field(description="The worst of the node's devices.")
    unit: str
    median: float | None = Field(description="Of all nodes of the type, this one included; None where there are too few.")
    mad: float | None = Field(default=None, description="Median absolute deviation: how far nodes usually lie from the median.")
    nodes: int
    share: float | None = Field(description="Of the median, 1 being as fast as the fleet; turned round for times.")
    verdict: Literal["ok", "below", "too_few"]
    reason: str = ""


class NodeVerdict(BaseModel):
    """Whether a node may be handed out, and why."""

    pool: str
    node: str = Field(description="As the pool's slots call it; empty for this host.")
    host: str
    machine_type: str
    fitness: Fitness
    reasons: list[str]
    comparisons: list[Comparison]
    drift: list[Drift] = []
    measured_at: datetime
    judged_at: datetime
    job_id: str = ""
    tenant: str = ""
