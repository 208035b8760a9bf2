"""How an engine that places jobs by itself is told to begin nothing more on a node, and to begin again."""

import asyncio
from typing import Protocol

from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.slurm import Ask, SlurmCommands, refusal
from factory_infra.foundation.pools.spec import KubernetesPool, PoolSpec, SlurmPool

REASON_MAX = 120
NOT_DRAINED = "Invalid node state specified"
"""What Slurm says of one that is open already."""


class Gate(Protocol):
    """Closes and opens a node to new work; what runs there goes on. Both may be repeated."""

    async def close(self, node: str, reason: str) -> None:
        """Let nothing begin there. Raises NotFound for a node that the engine does not know, Forbidden where we may not."""
        ...

    async def open(self, node: str) -> None:
        """Let jobs begin there again. Raises the same."""
        ...


class SlurmGate:
    """A node's state DRAIN in Slurm. It needs the rights of an operator."""

    def __init__(self, pool: SlurmPool) -> None:
        self._pool = pool
        self._commands = SlurmCommands(pool)

    async def close(self, node: str, reason: str) -> None:
        """Set the node to DRAIN."""
        words = " ".join(f"lineshaft: {reason}".split())[:REASON_MAX]
        await asyncio.to_thread(self._commands.run, Ask(["scontrol", "update", f"NodeName={node}", "State=DRAIN", f"Reason={words}"]))

    async def open(self, node: str) -> None:
        """Take the DRAIN back."""
        said = await asyncio.to_thread(self._commands.ask, Ask(["scontrol", "update", f"NodeName={node}", "State=RESUME"]))
        if said.code != 0 and NOT_DRAINED not in said.words:
            raise refusal(said.words, self._pool)


class KubernetesGate:
    """A node that is cordoned. It needs the right to patch nodes."""

    def __init__(self, pool: KubernetesPool) -> None:
        self._pool = pool

    async def close(self, node: str, reason: str) -> None:
        """Mark the node as unschedulable."""
        await self._set(node, unschedulable=True)

    async def open(self, node: str) -> None:
        """Take the mark off."""
        await self._set(node, unschedulable=False)

    async def _set(self, node: str, *, unschedulable: bool) -> None:
        async with Kubernetes(self._pool) as cluster:
            await cluster.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": unschedulable}})


def gate_of(pool: PoolSpec) -> Gate | None:
    """The gate of a pool's nodes; None where we place by ourselves: what is drained is then not leased."""
    match pool:
        case SlurmPool():
            return SlurmGate(pool)
        case KubernetesPool():
            return KubernetesGate(pool)
        case _:
            return None
