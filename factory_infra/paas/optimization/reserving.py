"""How many slots to reserve: the number at which reserved ones that stand idle cost as much as what is bought on demand."""

from collections.abc import Sequence
from typing import NamedTuple


class Reserved(NamedTuple):
    """A number of reserved slots, and what an hour costs with it, in hours of one slot on demand."""

    slots: int
    cost: float
    cost_none: float
    cost_peak: float


def cost_of(load: Sequence[float], slots: int, share: float) -> float:
    """What an hour costs on the mean: reserved ones whether used or not, and the rest on demand."""
    return slots * share + sum(max(hour - slots, 0.0) for hour in load) / len(load)


def best_reserved(load: Sequence[float], share: float) -> Reserved:
    """The cheapest number for a load, hour by hour; the smallest of equal ones.

    It is the largest number that is in use for more than `share` of the time: the critical fractile of the newsvendor (K. Arrow, T.
    Harris, J. Marschak, "Optimal Inventory Policy", 1951), for slots that come in whole ones.

    Args:
        load: slots asked for in each hour.
        share: the price of a reserved slot-hour over that of one on demand, below 1.
    """
    if not load:
        return Reserved(0, 0.0, 0.0, 0.0)
    peak = int(max(load)) + (max(load) > int(max(load)))
    costs = {slots: cost_of(load, slots, share) for slots in candidates(load, share, peak)}
    best = min(costs, key=lambda slots: (round(costs[slots], 12), slots))
    return Reserved(best, costs[best], cost_of(load, 0, share), cost_of(load, peak, share))


def candidates(load: Sequence[float], share: float, peak: int) -> Sequence[int]:
    """The whole numbers about the fractile: the cost is convex, so the best one is beside it."""
    ordered = sorted(load)
    fractile = ordered[min(int((1 - share) * len(ordered)), len(ordered) - 1)]
    return sorted({0, peak, *(max(min(int(fractile) + step, peak), 0) for step in range(-2, 4))})
