"""Work as clusters see it, made from a seed: Philly-like mixes for benchmarks, what-ifs and tests. All of it is simulated."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from factory_infra.errors import InvalidInput
from factory_infra.iaas.scheduling.models import GPU_MILLI, NodeSpec, Shape, Workload
from factory_infra.iaas.twin.arrivals import Arrival

CPU_MILLI_A_GPU = 6000
MEMORY_MIB_A_GPU = 65536
GPUS = (1, 2, 4, 8)
GPUS_SHARES = (0.70, 0.10, 0.15, 0.05)
"""How many GPUs a job asks for: the shares of Gavel's generator (OSDI 2020), which it took from the Philly trace."""
SHORT_SHARE = 0.8
SHORT_EXPONENTS = (1.5, 3.0)
LONG_EXPONENTS = (3.0, 4.0)
"""Run times in minutes are 10 to the power of a uniform number, four in five from the first range (the same generator)."""
QUEUES = 14
"""Philly's virtual clusters."""
QUEUE_EXPONENT = 0.8
"""How unevenly the queues submit: the n-th gets a share like 1 / n to this power."""


@dataclass(frozen=True, slots=True)
class Mix:
    """A mix of work for a fleet of equal nodes."""

    nodes: int = 16
    node_gpus: int = 8
    racks: int = 4
    hours: float = 7 * 24.0
    load: float = 0.9
    """GPU time that arrives, over GPU time that there is."""
    queues: int = QUEUES
    estimate_error: float = 0.5
    """The spread of what users say about run times: the standard deviation of the logarithm of estimate over truth."""
    ended_early: float = 0.3
    """The share that fails or is killed after a part of its run time: 31 % in the Philly trace (ATC 2019)."""
    day_swing: float = 0.3
    """How much more is submitted at the height of the day than on average, and less at night."""
    checkpoint_seconds: float = 600.0
    deadline_share: float = 0.0
    """Of jobs with a deadline, between one and a half times and four times their estimate after submission."""
    gangs: bool = True
    """Whether jobs of eight GPUs may be two, four or eight nodes instead: one in four of them."""

    def check(self) -> None:
        """Raise InvalidInput for a mix that cannot be."""
        wrong = [
            name
            for name, good in (
                ("nodes", self.nodes > 0),
                ("node_gpus", self.node_gpus >= 1),
                ("hours", self.hours > 0),
                ("load", 0 < self.load <= 10),
                ("queues", self.queues > 0),
                ("racks", self.racks > 0),
                ("estimate_error", self.estimate_error >= 0),
                ("ended_early", 0 <= self.ended_early <= 1),
                ("day_swing", 0 <= self.day_swing < 1),
                ("deadline_share", 0 <= self.deadline_share <= 1),
            )
            if not good
        ]
        if wrong:
            raise InvalidInput(
                f"A mix cannot have {', '.join(f'{name} {getattr(self, name)}' for name in wrong)}.",
                remedy="Counts and hours are above 0, load at most 10, shares between 0 and 1.",
                code="scenario_invalid",
            )


def fleet(mix: Mix, model: str = "V100") -> tuple[NodeSpec, ...]:
    """The nodes that a mix is meant for."""
    size = mix.node_gpus
    return tuple(
        NodeSpec(f"node-{number:04d}", size * CPU_MILLI_A_GPU, size * MEMORY_MIB_A_GPU, size, model, f"rack-{number % mix.racks:02d}")
        for number in range(mix.nodes)
    )


def philly_like(mix: Mix, seed: int = 0) -> list[Arrival]:
    """The work of one seed, in order of submission: the same mix and seed give the same. Raises InvalidInput."""
    mix.check()
    draw = np.random.default_rng(seed)
    gpus, members = sizes(mix, draw)
    actual = run_seconds(draw, len(gpus))
    early = draw.random(len(gpus)) < mix.ended_early
    actual = np.where(early, actual * draw.random(len(gpus)), actual).clip(30.0)
    kept = within(mix, gpus * members * actual)
    actual, times = actual[:kept], submissions(mix, draw, kept)
    queues = draw.choice(mix.queues, size=kept, p=queue_shares(mix.queues))
    said = estimates(actual, mix.estimate_error, seed)
    deadlines = deadlines_of(times, np.maximum(said, actual), mix.deadline_share, seed)
    shapes = {int(size): share_of(int(size)) for size in np.unique(gpus)}
    columns = (array.tolist() for array in (queues, gpus, times, said, members, deadlines, actual, draw.beta(3, 2.7, size=kept)))
    return [
        Arrival(
            Workload(
                id=f"job-{number:06d}",
                queue=f"vc-{queue:02d}",
                shape=shapes[size],
                submitted_at=at,
                seconds=seconds,
                members=parts,
                checkpoint_seconds=mix.checkpoint_seconds,
                deadline_at=deadline if deadline < np.inf else None,
            ),
            truth,
            activity,
        )
        for number, (queue, size, at, seconds, parts, deadline, truth, activity) in enumerate(zip(*columns, strict=False))
    ]


def sizes(mix: Mix, draw: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """GPUs a member and members of more jobs than will be needed."""
    count = max(int(mix.hours * mix.nodes * mix.node_gpus * mix.load / 8), 64)
    asked = draw.choice(GPUS, size=count, p=GPUS_SHARES)
    several = (asked == GPUS[-1]) & (draw.random(count) < 0.25) & mix.gangs & (mix.nodes >= 8)
    members = np.where(several, draw.choice((2, 4, 8), size=count, p=(0.6, 0.3, 0.1)), 1)
    return np.minimum(asked, mix.node_gpus), np.minimum(members, max(mix.nodes // 4, 1))


def run_seconds(draw: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Run times as the generator has them, in seconds."""
    short = draw.random(count) < SHORT_SHARE
    exponents = np.where(short, draw.uniform(*SHORT_EXPONENTS, size=count), draw.uniform(*LONG_EXPONENTS, size=count))
    return np.asarray(60.0 * 10.0**exponents, dtype=np.float64)


def within(mix: Mix, gpu_seconds: NDArray[np.float64]) -> int:
    """How many of the jobs make the load. At least one."""
    wanted = mix.load * mix.nodes * mix.node_gpus * mix.hours * 3600
    return max(min(int(np.searchsorted(np.cumsum(gpu_seconds), wanted)) + 1, len(gpu_seconds)), 1)


def submissions(mix: Mix, draw: np.random.Generator, count: int) -> NDArray[np.float64]:
    """When they come: a Poisson stream whose rate swings with the day."""
    seconds = mix.hours * 3600
    grid = np.linspace(0.0, seconds, int(mix.hours * 4) + 2)
    rate = 1 + mix.day_swing * np.sin(2 * np.pi * (grid / 86400 - 0.375))
    share = np.concatenate([[0.0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return np.sort(np.interp(draw.random(count) * share[-1], share, grid))


def queue_shares(queues: int) -> NDArray[np.float64]:
    """What each queue submits, the first the most."""
    weights = 1.0 / np.arange(1, queues + 1) ** QUEUE_EXPONENT
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def estimated(arrivals: Iterable[Arrival], error: float, seed: int = 0) -> list[Arrival]:
    """The same work with what users would have said about its run time."""
    listed = list(arrivals)
    said = estimates(np.array([each.actual_seconds for each in listed], dtype=np.float64), error, seed).tolist()
    return [replace(each, workload=replace(each.workload, seconds=seconds)) for each, seconds in zip(listed, said, strict=True)]


def estimates(actual: NDArray[np.float64], error: float, seed: int = 0) -> NDArray[np.float64]:
    """What users would have said about run times: log-normal about the truth, never below a minute."""
    draw = np.random.default_rng([seed, 7])
    return np.maximum(actual * np.exp(draw.normal(0, error, size=len(actual))), 60.0)


def with_deadlines(arrivals: Sequence[Arrival], share: float, seed: int = 0) -> list[Arrival]:
    """The same work, a share of it with a deadline that can be kept when it starts soon."""
    if not share:
        return list(arrivals)
    times = np.array([each.workload.submitted_at for each in arrivals], dtype=np.float64)
    lengths = np.array([max(each.workload.seconds, each.actual_seconds) for each in arrivals], dtype=np.float64)
    found = deadlines_of(times, lengths, share, seed).tolist()
    return [
        replace(each, workload=replace(each.workload, deadline_at=at if at < np.inf else None))
        for each, at in zip(arrivals, found, strict=True)
    ]


def deadlines_of(times: NDArray[np.float64], lengths: NDArray[np.float64], share: float, seed: int = 0) -> NDArray[np.float64]:
    """Deadlines of a share of the work, between one and a half times and four times its length after submission; infinite for the rest."""
    draw = np.random.default_rng([seed, 11])
    has, factors = draw.random(len(times)) < share, draw.uniform(1.5, 4.0, size=len(times))
    return np.where(has, times + factors * lengths, np.inf)


def share_of(gpus: int) -> Shape:
    """Whole GPUs with their share of cores and memory."""
    return Shape(cpu_milli=gpus * CPU_MILLI_A_GPU, memory_mib=gpus * MEMORY_MIB_A_GPU, gpu_milli=GPU_MILLI, gpus=gpus)
