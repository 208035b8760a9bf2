"""Which shapes are to be expected: given, or learned from what arrives."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from factory_infra.iaas.scheduling.models import Shape

Mix = Sequence[tuple[Shape, float]]
"""Shapes of workloads with their shares of all arrivals, in any unit."""

COVERED: Final = 0.95
"""How much of the arrivals the typical shapes stand for, as published for fragmentation gradient descent (USENIX ATC 2023)."""
WINDOW: Final = 4096
"""So many of the latest arrivals are the mix that is expected next."""
LEARNED_FIRST: Final = 32
LEARNED_EVERY: Final = 2048


def counted(shapes: Iterable[Shape]) -> Mix:
    """The mix of a list of arrivals."""
    return list(Counter(shapes).items())


def most_frequent(mix: Mix, covered: float = COVERED) -> Mix:
    """The most frequent shapes that make up `covered` of the arrivals together, with shares that add up to 1; ties keep their order."""
    total, found, reached = sum(share for _, share in mix), [], 0.0
    for shape, share in sorted(mix, key=lambda each: -each[1]):
        if reached >= covered * total:
            break
        found.append((shape, share))
        reached += share
    return [(shape, share / reached) for shape, share in found]


def without_memory(mix: Mix) -> Mix:
    """The same mix of shapes that differ in more than memory."""
    merged: Counter[Shape] = Counter()
    for shape, share in mix:
        merged[replace(shape, memory_mib=0)] += share  # type: ignore[assignment]
    return list(merged.items())


def per_gpu_milli(mix: Mix) -> tuple[float, float]:
    """Cores (in thousandths) and memory (in MiB) that go with a thousandth of a GPU, over the workloads with GPUs; 0 without any."""
    milli = sum(share * shape.milli for shape, share in mix)
    if not milli:
        return 0.0, 0.0
    cpu = sum(share * shape.cpu_milli for shape, share in mix if shape.gpus)
    memory = sum(share * shape.memory_mib for shape, share in mix if shape.gpus)
    return cpu / milli, memory / milli


class Observed:
    """The mix of what arrived of late. It is learned anew after 32, 64, 128 … arrivals and then after every 2,048."""

    def __init__(self, window: int = WINDOW) -> None:
        self.version = 0
        """Counts how often the mix was learned; 0 for never."""
        self.mix: Mix = ()
        self._latest: deque[Shape] = deque(maxlen=window)
        self._since, self._due = 0, LEARNED_FIRST

    def add(self, shape: Shape) -> None:
        """Note an arrival."""
        self._latest.append(shape)
        self._since += 1
        if self._since >= self._due:
            self.mix = counted(self._latest)
            self.version += 1
            self._since, self._due = 0, min(LEARNED_EVERY, len(self._latest))
