"""Whether a node is as fast as its fleet: by the median and the median absolute deviation, which one bad node does not move."""

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from factory_infra.foundation.validation.baseline import BurnInBaseline
from factory_infra.foundation.validation.models import BurnIn, Comparison, Measurement

NORMAL = 1.4826
"""Makes the median absolute deviation of normal values their standard deviation."""


def worst(run: BurnIn) -> dict[str, Measurement]:
    """Of each figure the worst device: a node is as fast as its slowest GPU, for a job waits for that one."""
    found: dict[str, Measurement] = {}
    for each in run.measurements:
        known = found.get(each.figure)
        if known is None or (each.value < known.value if each.higher_is_better else each.value > known.value):
            found[each.figure] = each
    return found


class Fleet:
    """The newest burn-in of every node of one type, by the node's key; medians are taken once."""

    def __init__(self, runs: Mapping[str, BurnIn]) -> None:
        self._of_nodes = {name: worst(run) for name, run in runs.items()}
        self._spreads: dict[str, Spread] = {}

    def compare(self, node: str, rules: BurnInBaseline) -> list[Comparison]:
        """Compare one node's figures with those of all, itself included."""
        return [judge(measured, self._spread(figure), rules) for figure, measured in self._of_nodes[node].items()]

    def _spread(self, figure: str) -> "Spread":
        if figure not in self._spreads:
            self._spreads[figure] = Spread.of([each[figure].value for each in self._of_nodes.values() if figure in each])
        return self._spreads[figure]


class Spread(NamedTuple):
    """How a fleet's values of one figure lie."""

    nodes: int
    median: float
    mad: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Take the median, and the median distance from it."""
        median = statistics.median(values)
        return cls(len(values), median, statistics.median(abs(each - median) for each in values))


def judge(measured: Measurement, fleet: Spread, rules: BurnInBaseline) -> Comparison:
    """Weigh one figure: a floor counts always, the fleet as soon as it is large enough."""
    figure, value, higher = measured.figure, measured.value, measured.higher_is_better
    found = Comparison(figure=figure, value=value, unit=measured.unit, median=None, nodes=fleet.nodes, share=None, verdict="ok")
    enough = fleet.nodes >= rules.nodes_min
    if enough:
        share = ratio(value, fleet.median, higher=higher)
        found = found.model_copy(update={"median": fleet.median, "mad": fleet.mad, "share": share})
    if reason := below_floor(measured, rules):
        return found.model_copy(update={"verdict": "below", "reason": reason})
    if found.share is None:
        reason = f"{fleet.nodes} of at least {rules.nodes_min} nodes of this type have told {figure}: too few to compare."
        return found.model_copy(update={"verdict": "too_few", "reason": reason})
    wanted = rules.share_of(figure)
    if found.share < wanted and abs(value - fleet.median) > rules.deviations * NORMAL * fleet.mad:
        against = f"{found.share * 100:.0f} % of the median {fleet.median:.4g} of {fleet.nodes} nodes"
        reason = f"{figure} is {value:.4g} {measured.unit}, {against}; {wanted * 100:.0f} % is wanted."
        return found.model_copy(update={"verdict": "below", "reason": reason})
    return found


def below_floor(measured: Measurement, rules: BurnInBaseline) -> str:
    """Say where a figure misses what the baseline asks of it by number; an empty string where it does not."""
    floor = rules.floors.get(measured.figure, rules.floors.get(measured.benchmark))
    if floor is None or ratio(measured.value, floor, higher=measured.higher_is_better) >= 1:
        return ""
    bound = "at least" if measured.higher_is_better else "at most"
    return f"{measured.figure} is {measured.value:.4g} {measured.unit}; the baseline wants {bound} {floor:g}."


def ratio(value: float, against: float, *, higher: bool) -> float:
    """How good a value is against another one, 1 being as good; for times the other way round."""
    if not higher:
        value, against = against, value
    return value / against if against > 0 else 1.0
