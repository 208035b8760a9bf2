"""What a simulation came to, and several side by side. All of it is simulated, and says so."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from factory_infra.errors import NotFound

Floats = NDArray[np.float64]


class Spread(BaseModel):
    """How a number is spread over workloads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, values: Floats) -> "Spread":
        """Of so many values; all 0 of none."""
        if not len(values):
            return cls()
        p50, p90, p95, p99 = (float(each) for each in np.percentile(values, (50, 90, 95, 99)))
        return cls(count=len(values), mean=float(values.mean()), p50=p50, p90=p90, p95=p95, p99=p99, max=float(values.max()))


class Fairness(BaseModel):
    """How evenly queues were served while something waited. 1 is even.

    In each window of time in which not all that was asked for ran, each queue's share is what it got over what it should have got: the
    max-min share of what ran, by the queues' weights and their demands.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    jain: float = Field(default=1.0, description="Jain's index of the shares, (Σx)²/(n·Σx²), mean over the windows by their length.")
    max_min: float = Field(default=1.0, description="The share of the queue that was served worst, mean over the windows.")
    windows: int = Field(default=0, description="How many windows had something waiting.")


class Deadlines(BaseModel):
    """What became of the workloads that had a deadline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: int = 0
    met: int = 0
    missed: int = 0
    """The rest is open still at the end of the simulation."""


class Counts(BaseModel):
    """How many workloads came to which end, and what happened to machines."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    submitted: int = 0
    started: int = 0
    finished: int = 0
    out_of_time: int = 0
    left: int = Field(default=0, description="Their owners gave up before they started.")
    running: int = Field(default=0, description="At the end of the simulation.")
    waiting: int = Field(default=0, description="At the end of the simulation.")
    restarts: int = 0
    preemptions: int = 0
    backfilled: int = 0
    passes: int = 0
    machines: dict[str, int] = {}
    """Failures by kind, interruptions, stock-outs, refused starts."""


class QueueResult(BaseModel):
    """One queue of the tree."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    workloads: int
    finished: int
    gpu_hours: float
    queue_seconds: Spread
    completion_seconds: Spread


class Series(BaseModel):
    """What was so over time: one number a window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: tuple[float, ...] = Field(default=(), description="The middle of each window, in virtual seconds.")
    occupancy: tuple[float, ...] = ()
    activity: tuple[float, ...] = ()
    waiting_gpus: tuple[float, ...] = ()


class JobOutcome(NamedTuple):
    """What became of one workload."""

    id: str
    queue: str
    pool: str
    gpus: float
    submitted_at: float
    started_at: float | None
    finished_at: float | None
    starts: int
    lost_seconds: float
    outcome: str


class Results(BaseModel):
    """One run of one scenario with one seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    simulated: Literal[True] = True
    scenario: str
    seed: int
    start_at: float
    seconds: float = Field(description="How long it lasted in virtual time.")
    gpus: int
    nodes: int
    occupancy: float = Field(
        description="GPU time that was held, over that which was there, from the start to the last arrival or the end."
    )
    activity: float = Field(description="The same for the time in which GPUs computed.")
    queue_seconds: Spread = Field(description="From submission to the first start, of those that started.")
    completion_seconds: Spread = Field(description="From submission to the end, of those that finished.")
    slowdown: Spread = Field(description="Completion over run time, run times below 10 s counted as 10 s.")
    fairness: Fairness
    deadlines: Deadlines
    cost: dict[str, float] = Field(description="By price class: machines by the hour for as long as they were there.")
    gpu_hours: dict[str, float] = Field(description="By price class, of the same machines.")
    lost_gpu_hours: dict[str, float] = Field(description="Work that was done and lost, by what took it.")
    counts: Counts
    queues: tuple[QueueResult, ...]
    series: Series
    jobs: tuple[JobOutcome, ...] = Field(default=(), exclude=True)
    wall_seconds: float = Field(default=0.0, exclude=True, description="How long the simulation took here.")
    deciding_seconds: float = Field(default=0.0, exclude=True, description="The scheduler's part of it.")

    @property
    def cost_total(self) -> float:
        """Of all price classes."""
        return sum(self.cost.values())

    @property
    def lost_total(self) -> float:
        """GPU-hours, whatever took them."""
        return sum(self.lost_gpu_hours.values())


METRICS: dict[str, tuple[Callable[[Results], float], Literal["more", "less"], str]] = {
    "occupancy": (lambda each: 100 * each.occupancy, "more", "occupied %"),
    "activity": (lambda each: 100 * each.activity, "more", "active %"),
    "queue_mean": (lambda each: each.queue_seconds.mean, "less", "queue mean s"),
    "queue_p50": (lambda each: each.queue_seconds.p50, "less", "queue p50 s"),
    "queue_p95": (lambda each: each.queue_seconds.p95, "less", "queue p95 s"),
    "completion_mean": (lambda each: each.completion_seconds.mean, "less", "completion mean s"),
    "completion_p95": (lambda each: each.completion_seconds.p95, "less", "completion p95 s"),
    "jain": (lambda each: each.fairness.jain, "more", "Jain"),
    "max_min": (lambda each: each.fairness.max_min, "more", "max-min"),
    "cost": (lambda each: each.cost_total, "less", "cost"),
    "missed": (lambda each: float(each.deadlines.missed), "less", "missed"),
    "lost": (lambda each: each.lost_total, "less", "lost GPU h"),
    "finished": (lambda each: float(each.counts.finished), "more", "finished"),
}
"""By name: how it is read, whether more or less of it is better, and what its column is called."""


class Comparison(BaseModel):
    """Several runs side by side."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    simulated: Literal[True] = True
    results: tuple[Results, ...]

    @property
    def scenarios(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(each.scenario for each in self.results))

    def values(self, metric: str, scenario: str) -> list[float]:
        """A metric of a scenario, one value a seed. Raises NotFound `metric_unknown`."""
        if metric not in METRICS:
            raise NotFound(f"There is no metric '{metric[:40]}'.", remedy=f"Metrics: {', '.join(METRICS)}.", code="metric_unknown")
        read = METRICS[metric][0]
        return [read(each) for each in self.results if each.scenario == scenario]

    def mean(self, metric: str, scenario: str) -> float:
        """The mean over the seeds. Raises NotFound `metric_unknown`."""
        return float(np.mean(self.values(metric, scenario) or [0.0]))

    def best(self, metric: str) -> str:
        """The scenario that is best by a metric; the first of several. Raises NotFound `metric_unknown`."""
        self.values(metric, "")
        better = max if METRICS[metric][1] == "more" else min
        return better(self.scenarios, key=lambda name: self.mean(metric, name))

    def rows(self, metrics: Sequence[str] = tuple(METRICS)) -> list[dict[str, str | float]]:
        """A row a scenario: its name, and each metric's mean over the seeds."""
        return [{"scenario": name, **{metric: self.mean(metric, name) for metric in metrics}} for name in self.scenarios]

    def table(self, metrics: Sequence[str] = tuple(METRICS)) -> str:
        """The rows as text, headed by what they are."""
        seeds = len({each.seed for each in self.results})
        head = ["scenario", *(METRICS[metric][2] for metric in metrics)]
        body = [[name, *(told(self.mean(metric, name)) for metric in metrics)] for name in self.scenarios]
        widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
        lines = [
            "  ".join([line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))])
            for line in [head, *body]
        ]
        return "\n".join([f"simulated, mean of {seeds} seed{'s' if seeds != 1 else ''}", *(line.rstrip() for line in lines)])


def told(value: float) -> str:
    """A number as a table shows it."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}" if abs(value) >= 10 or value == int(value) else f"{value:.3f}"
