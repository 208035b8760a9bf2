"""Dominant-resource fairness with memory: how much each queue has had lately of what it uses most of."""

import math
from collections.abc import Sequence

from factory_infra.iaas.scheduling.quotas import BASE, Need, Quotas


class Shares:
    """How much each node of the tree uses now and has used, as a part of the whole and of its weight.

    The history is the average of past usage that halves in weight every half-life. Usage is constant between two changes, so the average
    has a closed form, and a node costs nothing until it is asked for or changes. The dominant share is that of Ghodsi et al., "Dominant
    Resource Fairness", NSDI 2011, taken at every level of the tree from the top (hierarchical DRF).
    """

    def __init__(self, quotas: Quotas, totals: Sequence[int], half_life_seconds: float) -> None:
        """Begin without history. `totals` is all that the fleets have of GPUs, cores and memory, in their units."""
        self._quotas = quotas
        self._rate = math.log(2) / half_life_seconds if half_life_seconds > 0 else 0.0
        self._averages: dict[int, tuple[float, list[float]]] = {}
        self.rescale(totals)

    def rescale(self, totals: Sequence[int]) -> None:
        """Take the fleets as larger or smaller from now on."""
        self._parts = tuple(1.0 / total if total else 0.0 for total in totals)

    def settle(self, node: int, now: float) -> None:
        """Bring the averages of a queue and all above it up to date: to be called before its usage changes."""
        if self._rate:
            for each in self._quotas.paths[node]:
                self._averages[each] = (now, self._average(each, now))

    def _average(self, node: int, now: float) -> list[float]:
        since, known = self._averages.get(node, (now, [0.0] * len(BASE)))
        kept = math.exp(-self._rate * (now - since))
        usage = self._quotas.usage[node]
        return [kept * known[at] + (1.0 - kept) * usage[at] for at in range(len(BASE))]

    def remember(self, node: int, need: Need, span: tuple[float, float], now: float) -> None:
        """Add what ran in the past, from and to these times, to the history of a queue and all above it."""
        if not self._rate:
            return
        began, ended = span
        weight = math.exp(-self._rate * max(0.0, now - ended)) - math.exp(-self._rate * max(0.0, now - began))
        self.settle(node, now)
        for each in self._quotas.paths[node]:
            average = self._averages[each][1]
            for at in range(len(BASE)):
                average[at] += weight * need[at]

    def share(self, node: int, now: float) -> float:
        """The dominant share of a node by its weight: half of it from what it uses now, half from its history."""
        usage = self._quotas.usage[node]
        if self._rate:
            average = self._average(node, now)
            dominant = max((usage[at] + average[at]) * part for at, part in enumerate(self._parts)) / 2
        else:
            dominant = max(usage[at] * part for at, part in enumerate(self._parts))
        return dominant / self._quotas.weights[node]

    def rank(self, node: int, now: float) -> tuple[float, ...]:
        """Where a queue stands among all: the shares from the top of the tree down to it, the smallest comes first."""
        return tuple([self.share(each, now) for each in reversed(self._quotas.paths[node][:-1])])

    def copy(self, quotas: Quotas) -> "Shares":
        """Return one over a copy of the quotas, with the same history."""
        made = Shares.__new__(Shares)
        made._quotas, made._rate, made._parts = quotas, self._rate, self._parts
        made._averages = {node: (since, list(known)) for node, (since, known) in self._averages.items()}
        return made
