"""A maker of machines in memory: one cluster whose machines can be replaced, once for each key."""

import builtins
from datetime import UTC, datetime, timedelta

from factory_infra.errors import InvalidInput, Unavailable
from factory_infra.foundation.clusters.interface import Clusters
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Machine
from factory_infra.foundation.clusters.registry import ClusterPools

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryMaker:
    """Clusters with MachineReplacement.

    Args:
        machines: of its one cluster.
    """

    def __init__(self, *machines: str) -> None:
        self.machines = list(machines)
        self.keys: list[str] = []
        self.lose_answers = 0
        self.idle = False

    def cluster(self) -> Cluster:
        """The cluster as it is now."""
        made = [
            Machine(id=name, type="p5.48xlarge", state="running", launched_at=BEGAN + timedelta(hours=at))
            for at, name in enumerate(self.machines)
        ]
        return Cluster(id="cluster-1", pool="local", tenant="vision", state=ClusterState.READY, wanted=len(made), machines=made)

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """The one that is there."""
        return self.cluster()

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        """The one that is there."""
        return self.cluster()

    async def list(self, tenant: str | None = None) -> "builtins.list[Cluster]":
        """The one that is there."""
        return [self.cluster()]

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        """Nothing is scaled here."""
        return self.cluster()

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        """Nothing is released here."""
        return self.cluster()

    async def replace(self, cluster_id: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """Put another machine in a machine's place, once for each key."""
        if key not in self.keys and not self.idle:
            self.keys.append(key)
            self.machines = [each for each in self.machines if each != machine_id] + [f"i-new-{len(self.keys)}"]
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("The answer was lost.")
        return self.cluster()


class MakerPools(ClusterPools):
    """One maker for every pool; none where it is None."""

    def __init__(self, maker: Clusters | None) -> None:
        self._maker = maker

    def names(self) -> list[str]:
        """Pools in which machines are made."""
        return ["local"] if self._maker else []

    def of(self, pool: str) -> Clusters:
        """The maker."""
        if self._maker is None:
            raise InvalidInput("No machines are made.", code="not_offered")
        return self._maker
