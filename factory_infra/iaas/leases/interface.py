"""What leases ask of others."""

from collections.abc import Sequence
from typing import Protocol

from factory_infra.foundation.clusters.interface import Clusters


class Fitness(Protocol):
    """Knows which nodes must not be handed out: drained ones, and those below their threshold."""

    async def unfit(self, pool: str) -> set[str]:
        """Return the names of the nodes of a pool that are not fit now."""
        ...


class MachineMakers(Protocol):
    """Finds what makes machines in a pool."""

    def of(self, pool: str) -> Clusters:
        """Return the maker. Raises NotFound, or InvalidInput `not_offered` where none are made."""
        ...


class NoMachines:
    """For an installation, or a test, in which machines are there and none is made."""

    def of(self, pool: str) -> Clusters:
        """Say that none are made."""
        raise LookupError(pool)


async def unfit_nodes(judges: Sequence[Fitness], pool: str) -> set[str]:
    """Return what any of them finds unfit."""
    return {node for judge in judges for node in await judge.unfit(pool)}
