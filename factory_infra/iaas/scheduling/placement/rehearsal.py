"""What is left over of a GPU, learned by rehearsing the expected mix on GPUs that exist nowhere else: work comes to them and leaves."""

from collections import Counter
from functools import lru_cache
from typing import Final

import numpy as np

from factory_infra.iaas.scheduling.models import GPU_MILLI
from factory_infra.iaas.scheduling.placement.kernels import Floats, Ints, rehearse
from factory_infra.iaas.scheduling.placement.mix import Mix

UNITS: Final = 100
"""A GPU is rehearsed in hundredths."""
ARRIVALS: Final = 10_000
"""In each round: four times what is there at once."""
ROUNDS: Final = 16
FADING: Final = 0.7
"""How much of what earlier rounds showed counts in the next, for they were played with a worse guess."""
PRIOR: Final = 3.0
"""The guess counts as much as so many GPUs."""
LOAD: Final = 1.3
"""Hundredths that ask, over those that are there: so many that what stays free is what nobody could use."""

Parts = tuple[tuple[int, float], ...]
"""Units of a GPU, share of all GPUs that are asked for, whole or in parts."""


def leftover(mix: Mix) -> Floats:
    """Return what is expected to stay unused of a GPU until something leaves it, in thousandths, by how many are free now (0 to 1000).

    A GPU that is free as a whole counts as no loss: it is not broken up yet. Without GPUs in the mix, a part that is free is lost.
    """
    parts: Counter[int] = Counter()
    for shape, share in mix:
        if shape.gpus:
            parts[-(-shape.gpu_milli * UNITS // GPU_MILLI)] += share * shape.gpus  # type: ignore[assignment]
    total = sum(parts.values())
    by_unit = np.array(
        _rounds(tuple((units, share / total) for units, share in sorted(parts.items()))) if total else range(UNITS + 1), float
    )
    free = np.arange(GPU_MILLI + 1)
    found = np.interp(free * UNITS / GPU_MILLI, np.arange(UNITS), by_unit[:UNITS]) * GPU_MILLI / UNITS
    return np.where(free < GPU_MILLI, found, 0.0)


@lru_cache(maxsize=16)
def _rounds(parts: Parts) -> tuple[float, ...]:
    """Rehearse in rounds, each by what the rounds before showed. Always the same for the same mix."""
    units, shares = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
    arriving, draws = shares.cumsum(), np.random.default_rng(0)
    ended, went = np.zeros(UNITS + 1), np.zeros((UNITS + 1, UNITS + 1))
    known = _learned(ended, went, units, shares)
    for _ in range(ROUNDS):
        known[UNITS] = 0.0
        seen, moved = rehearse(units, arriving, known, draws.random((ARRIVALS, 2)), LOAD)
        ended, went = FADING * ended + seen, FADING * went + moved
        known = _learned(ended, went, units, shares)
    return tuple(known.tolist())


def _learned(ended: Floats, went: Floats, units: Ints, shares: Floats) -> Floats:
    """The leftover by free units: where something left next, all that was free; where something came, what is expected after it.

    Where little was seen, the guess counts: what is free if the next arrival does not fit, else what is expected after it.
    """
    known = np.zeros(UNITS + 1)
    for free in range(1, UNITS + 1):
        fits = units <= free
        guess = shares[~fits].sum() * free + (shares[fits] * known[free - units[fits]]).sum()
        left = ended[free] - went[free].sum()
        known[free] = (left * free + went[free, :free] @ known[:free] + PRIOR * guess) / (ended[free] + PRIOR)
    return known
