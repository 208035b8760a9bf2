"""How a node's machine is replaced, where its pool makes machines."""

from typing import Protocol, cast

from factory_infra.errors import EffectFailed, InvalidInput, NotFound
from factory_infra.foundation.clusters.interface import Clusters, MachineReplacement
from factory_infra.foundation.clusters.models import Cluster
from factory_infra.foundation.reliability.node_models import Node
from factory_infra.foundation.reliability.nodes import Nodes


class Makers(Protocol):
    """Finds what makes machines in a pool."""

    def of(self, pool: str) -> Clusters:
        """Return the maker. Raises NotFound, or InvalidInput `not_offered` where none are made."""
        ...


class Machines:
    """The machines behind a pool's nodes, by a maker that can replace one."""

    def __init__(self, clusters: Clusters, replacement: MachineReplacement) -> None:
        self._clusters = clusters
        self._replacement = replacement

    async def cluster_of(self, node: Node) -> Cluster:
        """Return the cluster that a node's machine is or was in. Raises NotFound."""
        machine = node.machine_id or node.name
        for cluster in await self._clusters.list():
            if cluster.id == node.cluster_id or machine in {each.id for each in cluster.machines}:
                return cluster
        raise NotFound(
            f"Node {node.name} is in no cluster of pool {node.pool}.",
            code="node_machine_unknown",
            remedy="Give its agent the machine's id with --machine, or replace it by hand.",
        )

    async def replace(self, cluster: Cluster, node: Node, key: str) -> Cluster:
        """Make another machine in its place, once for each key."""
        return await self._replacement.replace(cluster.id, cluster.tenant, node.machine_id or node.name, key)


def machines_of(makers: Makers, pool: str) -> Machines | None:
    """Return how machines of a pool are replaced; None where people do it. Raises NotFound for an unknown pool."""
    try:
        clusters = makers.of(pool)
    except (InvalidInput, LookupError):
        return None
    return Machines(clusters, cast("MachineReplacement", clusters)) if hasattr(clusters, "replace") else None


async def another(machines: Machines, node: Node, nodes: Nodes, key: str) -> str:
    """Have another machine made in a node's place, once under the key, and return what it is called. Raises EffectFailed, NotFound.

    An answer that was lost is asked for again: which machines there were is kept before, and the new one is none of them and no node yet.
    """
    before = await machines.cluster_of(node)
    kept, beside = await nodes.leaving(node.pool, node.name, before.id, [machine.id for machine in before.machines])
    known = beside | await nodes.machines(node.pool)
    made = await machines.replace(before, kept, key)
    fresh = [each for each in made.machines if each.state != "gone" and each.id not in known]
    if not fresh:
        raise EffectFailed(f"Cluster {made.id} shows no machine in the place of {node.name}.", remedy="Look at the cluster.")
    return max(fresh, key=lambda each: (each.launched_at is not None, each.launched_at)).id
