"""A cluster's hardware: what its nodes can still be asked for, by the names and labels that device plugins give."""

import re
from collections.abc import Iterator

from factory_infra.foundation.accelerators.catalogue import normalise
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.kubernetes import Kubernetes, Read
from factory_infra.foundation.pools.quantity import quantity
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.settings import Settings

GPU = "nvidia.com/gpu"
MIG = re.compile(r"nvidia\.com/mig-(\d+g\.(\d+)gb(?:\.me)?)")
PRODUCT, MEMORY, MACHINE = "nvidia.com/gpu.product", "nvidia.com/gpu.memory", "node.kubernetes.io/instance-type"
GIB, MIB_A_GIB = 1024**3, 1024
CLOSING = {"NoSchedule", "NoExecute"}


class _Meta(Read):
    name: str
    labels: dict[str, str] = {}


class _Taint(Read):
    key: str
    effect: str


class _Spec(Read):
    unschedulable: bool = False
    taints: list[_Taint] = []


class _Condition(Read):
    type: str
    status: str


class _Status(Read):
    allocatable: dict[str, str] = {}
    conditions: list[_Condition] = []


class Node(Read):
    """A machine of the cluster."""

    metadata: _Meta
    spec: _Spec = _Spec()
    status: _Status = _Status()

    def amount(self, resource: str) -> float:
        """How much of a resource it has for pods."""
        return float(quantity(self.status.allocatable.get(resource, "0")) or 0)

    def closed(self, tolerations: tuple[str, ...]) -> str:
        """Why nothing new is placed on it; empty where it is open."""
        ready = next((each.status for each in self.status.conditions if each.type == "Ready"), "Unknown")
        if ready != "True":
            return "it is not ready" if ready == "False" else "its kubelet does not answer"
        if self.spec.unschedulable:
            return "it is cordoned"
        taint = next((each.key for each in self.spec.taints if each.effect in CLOSING and each.key not in tolerations), "")
        return f"it carries the taint {taint}" if taint else ""


class KubernetesAccelerators:
    """The slots of a cluster, read afresh at each call. Which one a job gets is the scheduler's to say.

    Args:
        pool: the cluster, and which resource is a slot.
        settings: of the installation.
        api: the cluster asked in another way than the pool's entry says.
    """

    def __init__(self, pool: KubernetesPool, settings: Settings, api: Kubernetes | None = None) -> None:
        self._pool = pool
        self._api = api or Kubernetes(pool)

    async def pool(self) -> Pool:
        """Return a slot for each GPU, slice or core of the open nodes, with a note on what is left out."""
        selector = ",".join(f"{name}={value}" for name, value in sorted(self._pool.node_selector.items()))
        nodes = await self._api.items("/api/v1/nodes", Node, {"labelSelector": selector} if selector else None)
        resource = self._pool.resource or (GPU if any(node.amount(GPU) for node in nodes) else "cpu")
        having = [node for node in nodes if node.amount(resource) >= 1]
        closed = {node.metadata.name: why for node in having if (why := node.closed(self._pool.tolerations))}
        slots = list(slots_of([node for node in having if node.metadata.name not in closed], resource))
        notes = [f"Node {name} is left out: {why}." for name, why in sorted(closed.items())]
        if not having:
            notes.append(f"No node of the cluster offers {resource}.")
        elif resource == "cpu" and not self._pool.resource:
            notes.append("No node of the cluster offers a GPU: a slot is a core.")
        return Pool(name=self._pool.name, slots=slots[: self._pool.slots_max], note=" ".join(notes), placement="engine")


def slots_of(nodes: list[Node], resource: str) -> Iterator[Slot]:
    """Number the slots of all nodes, by the nodes' names."""
    index = 0
    for node in sorted(nodes, key=lambda each: each.metadata.name):
        name, memory_gib = described(node, resource)
        for _ in range(int(node.amount(resource))):
            yield Slot(
                index=index,
                kind="cpu" if resource == "cpu" else "gpu",
                name=name,
                memory_gib=memory_gib,
                accelerator="" if resource == "cpu" else normalise(name, memory_gib),
                node=node.metadata.name,
            )
            index += 1


def described(node: Node, resource: str) -> tuple[str, float]:
    """What one slot of a node is called, and its memory."""
    if resource == "cpu":
        share = node.amount("memory") / GIB / max(node.amount("cpu"), 1)
        return "CPU core", round(share, 1)
    labels = node.metadata.labels
    product = labels.get(PRODUCT) or labels.get(MACHINE) or resource
    slice_ = MIG.fullmatch(resource)
    if slice_ is not None:
        return f"{product} MIG {slice_[1]}", float(slice_[2])
    memory = labels.get(MEMORY, "")
    return product, round(int(memory) / MIB_A_GIB, 1) if memory.isdecimal() else 0.0
