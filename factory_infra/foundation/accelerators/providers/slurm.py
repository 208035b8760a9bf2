"""The slots of a partition of Slurm: its GPUs by node, or its cores where it has none."""

import asyncio
import re
from dataclasses import dataclass

from factory_infra.foundation.accelerators.catalogue import ACCELERATORS, normalise
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.pools.slurm import Ask, SlurmCommands
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.settings import Settings

NODE_FORMAT = "%N|%T|%c|%m|%G|%E"
USABLE = frozenset({"idle", "mixed", "allocated", "completing", "planned", "reserved", "blocked"})
MARKS = "*~#!%$@^-+"
NOT_ANSWERING = "*"
MEBI_PER_GIBI = 1024
NOTES_MAX = 10


@dataclass(frozen=True)
class Node:
    """One node of a partition, as `sinfo` tells of it."""

    name: str
    state: str
    cores: int
    memory_mib: int
    gres: tuple[tuple[str, int], ...]
    reason: str

    @property
    def usable(self) -> bool:
        """Whether jobs can be started on it, now or once others have ended."""
        return self.state.rstrip(MARKS) in USABLE and NOT_ANSWERING not in self.state


class SlurmAccelerators:
    """Reads a partition. Slurm places what runs there: a lease is a counted claim.

    Args:
        pool: the partition, and what is a slot in it.
        settings: of the installation.
    """

    def __init__(self, pool: SlurmPool, settings: Settings) -> None:
        self._pool = pool
        self._commands = SlurmCommands(pool)

    async def pool(self) -> Pool:
        """Return the slots. A slot keeps its index while the nodes of the partition stay the same, drained ones included."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Pool:
        argv = ["sinfo", "--noheader", "--Node", f"--partition={self._pool.partition}", f"--format={NODE_FORMAT}"]
        return pool_of(self._commands.run(Ask(argv)), self._pool)


def pool_of(text: str, spec: SlurmPool) -> Pool:
    """Make a pool of what `sinfo` printed in NODE_FORMAT."""
    nodes = [node_of(line) for line in text.splitlines() if line.count("|") >= 5]
    notes = [f"The partition {spec.partition} has no nodes."] if not nodes else []
    slots = gpu_slots(nodes, spec.gres)
    if nodes and not any(count_of(node, spec.gres) for node in nodes):
        notes.append(f"No node of the partition {spec.partition} has {spec.gres}: a slot is a core.")
        slots = core_slots(nodes)
    left_out = [f"{node.name} is left out ({node.state}{': ' + node.reason if node.reason else ''})." for node in nodes if not node.usable]
    more = [f"{len(left_out) - NOTES_MAX} more nodes are left out."] if len(left_out) > NOTES_MAX else []
    return Pool(name=spec.name, slots=slots, note=" ".join([*notes, *left_out[:NOTES_MAX], *more]), placement="engine")


def node_of(line: str) -> Node:
    """Read one line in NODE_FORMAT."""
    name, state, cores, memory, gres, reason = line.split("|", 5)
    return Node(
        name=name.strip(),
        state=state.strip().lower(),
        cores=int(re.sub(r"\D.*", "", cores) or 0),
        memory_mib=int(re.sub(r"\D.*", "", memory) or 0),
        gres=gres_of(gres),
        reason="" if reason.strip() == "none" else reason.strip()[:100],
    )


def gres_of(text: str) -> tuple[tuple[str, int], ...]:
    """Read generic resources such as `gpu:h100:8(S:0-1),nic:2` into name and count."""
    found = []
    for part in re.sub(r"\([^)]*\)", "", text).split(","):
        name, _, count = part.strip().rpartition(":")
        if name and count.isdecimal():
            found.append((name, int(count)))
    return tuple(found)


def matches(name: str, wanted: str) -> bool:
    """Whether a resource is what a pool's slots are: `gpu` takes every type, `gpu:h100` only that."""
    return name == wanted or name.startswith(f"{wanted}:")


def count_of(node: Node, wanted: str) -> int:
    """How many slots a node has."""
    return sum(count for name, count in node.gres if matches(name, wanted))


def gpu_slots(nodes: list[Node], wanted: str) -> list[Slot]:
    """A slot for each accelerator; those of nodes that are left out keep their index for when they come back."""
    slots, index = [], 0
    for node in nodes:
        for name, count in node.gres:
            if not matches(name, wanted):
                continue
            accelerator = normalise(name)
            memory = ACCELERATORS[accelerator].memory_gib if accelerator else 0.0
            first, index = index, index + count
            if node.usable:
                kind = {"kind": "gpu", "name": name, "memory_gib": memory, "accelerator": accelerator, "node": node.name}
                slots += [Slot.model_validate(kind | {"index": number}) for number in range(first, index)]
    return slots


def core_slots(nodes: list[Node]) -> list[Slot]:
    """A slot for each core."""
    slots, index = [], 0
    for node in nodes:
        first, index = index, index + node.cores
        share = round(node.memory_mib / MEBI_PER_GIBI / max(node.cores, 1), 1)
        if node.usable:
            slots += [Slot(index=each, kind="cpu", name="core", memory_gib=share, node=node.name) for each in range(first, index)]
    return slots
