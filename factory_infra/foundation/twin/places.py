"""Where something lies in a simulated data centre, and whether the machines under it still stand."""

from math import inf

from factory_infra.errors import CapacityExceeded
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.twin.centre import DataCentre, node_name
from factory_infra.foundation.twin.draws import stream
from factory_infra.foundation.twin.making import Made, Rules, fold, life


class Places:
    """Chooses machines, and tells of each whether it failed since.

    Args:
        centre: the data centre.
    """

    def __init__(self, centre: DataCentre) -> None:
        self._centre = centre
        self._pool = centre.pool

    def choose(self, name: str, count: int, slots: list[int], lease: str, at: float | None = None) -> list[str]:
        """Return `count` machines for something: those of its slots, else those of its lease, else any that are in order.

        Args:
            at: the virtual time; now if None.

        Raises CapacityExceeded where there are not so many.
        """
        now = self._centre.now() if at is None else at
        if not self._pool.nodes:
            return self._enough(self._of_lease(lease, now), count)
        each = self._pool.gpus or self._pool.cores
        under = list(dict.fromkeys(node_name(self._pool, slot // each) for slot in slots))
        fit = [node.name for node in self._centre.nodes(now) if node.failure is None]
        first = stream(self._pool.seed, "place", name).randrange(max(len(fit), 1))
        others = [node for node in [*fit[first:], *fit[:first]] if node not in under]
        standing = [node for node in under if node in fit]
        return self._enough([*standing, *others], count)

    def failed(self, node: str, since: float) -> str:
        """In words, what happened to a machine after a virtual time; empty where it stood all the time."""
        found = self.next_failure(node, since)
        return found[1] if found is not None else ""

    def next_failure(self, node: str, since: float) -> tuple[float, str] | None:
        """The first failure of a machine after a virtual time, as far as now: when, and what in words."""
        commands, now = self._centre.commands(), self._centre.now()
        found = [
            (failure.at, f"{node} failed ({failure.kind.replace('_', ' ')})")
            for failure in self._centre.failures(node, commands, now)
            if failure.at > since
        ]
        ended = next((self._end_of(made, node) for made in fold(commands).clusters.values() if node in made.machines), inf)
        return min([*found, (ended, f"{node} was taken back")] if ended <= now else found, default=None)

    def now(self) -> float:
        """The virtual time."""
        return self._centre.now()

    def _end_of(self, made: Made, node: str) -> float:
        return life(Rules.of(self._pool), node, made.price_class, made.machines[node]).ends_at

    def _of_lease(self, lease: str, now: float) -> list[str]:
        made: Made | None = fold(self._centre.commands()).clusters.get(cluster_id(lease)) if lease else None
        return made.staying(self._pool, now) if made is not None else []

    def _enough(self, found: list[str], count: int) -> list[str]:
        if len(found) < count:
            raise CapacityExceeded(
                f"{count} machines were asked for and simulated pool '{self._pool.name}' has {len(found)} in order for it.",
                remedy="Ask for fewer, lease machines first, or wait until failed ones are back.",
            )
        return found[:count]
