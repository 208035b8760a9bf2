"""The slots of a simulated data centre: those of machines that are in order now."""

import asyncio

from factory_infra.foundation.accelerators.catalogue import ACCELERATORS
from factory_infra.foundation.accelerators.models import MachineType, Pool, Slot
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre, Node, machine_type
from factory_infra.foundation.twin.failures import HOUR
from factory_infra.settings import Settings

NOTES_MAX = 5


class TwinAccelerators:
    """Tells what a simulated data centre has. A machine that failed has no slots until it is back; the others keep their indices.

    Args:
        pool: its entry.
        settings: the home, below which its log lies.
    """

    def __init__(self, pool: TwinPool, settings: Settings) -> None:
        self._pool = pool
        self._centre = DataCentre(pool, settings)

    async def pool(self) -> Pool:
        """Return the slots. Raises StorageFull where the log cannot be opened, EffectFailed `twin_log` where it cannot be read."""
        return await asyncio.to_thread(self._read)

    def _read(self) -> Pool:
        if not self._pool.nodes:
            return self._made_for_leases()
        now = self._centre.now()
        nodes = self._centre.nodes()
        slots = [slot for index, node in enumerate(nodes) if node.failure is None for slot in self._slots(index, node)]
        return Pool(name=self._pool.name, slots=slots, note=self._note(nodes, now), placement="ours", price_class=self._pool.price_class)

    def _made_for_leases(self) -> Pool:
        """Slots that exist once their machines are made."""
        pool = self._pool
        each = pool.gpus or pool.cores
        kind = MachineType(name=machine_type(pool), kind="gpu" if pool.gpus else "cpu", accelerator=self._accelerator, slots=each)
        slots = [self._slot(index, "") for index in range(each * pool.machines_max)]
        note = f"Simulated: up to {pool.machines_max} {kind.name} are made for leases, {pool.price_class.replace('_', ' ')}."
        return Pool(name=pool.name, slots=slots, note=note, placement="machines", machines=[kind], price_class=pool.price_class)

    @property
    def _accelerator(self) -> str:
        return self._pool.gpu if self._pool.gpus else ""

    def _slots(self, index: int, node: Node) -> list[Slot]:
        count = self._pool.gpus or self._pool.cores
        return [self._slot(index * count + number, node.name) for number in range(count)]

    def _slot(self, index: int, node: str) -> Slot:
        """One slot; a pool may have very many."""
        pool = self._pool
        if pool.gpus:
            name, memory = f"simulated {pool.gpu}", ACCELERATORS[pool.gpu].memory_gib
            return Slot.model_construct(index=index, kind="gpu", name=name, memory_gib=memory, accelerator=pool.gpu, node=node, device="")
        memory = round(pool.memory_gib / pool.cores, 1)
        return Slot.model_construct(index=index, kind="cpu", name="simulated core", memory_gib=memory, accelerator="", node=node, device="")

    def _note(self, nodes: list[Node], now: float) -> str:
        """That all of it is simulated, and what is out of order."""
        pool = self._pool
        broken = [(node, node.failure) for node in nodes if node.failure is not None]
        told = [
            f"{node.name} failed ({failure.kind}), back in {(failure.back_at - now) / HOUR:.1f} virtual hours." for node, failure in broken
        ]
        more = [f"{len(told) - NOTES_MAX} more have failed."] if len(told) > NOTES_MAX else []
        head = f"Simulated: {pool.nodes} machines, seed {pool.seed}, {pool.speed:g} virtual seconds a second."
        return " ".join([head, *told[:NOTES_MAX], *more])
