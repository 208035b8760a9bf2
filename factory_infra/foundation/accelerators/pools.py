"""The hardware of all pools: one provider each, asked afresh at most every few seconds where asking is dear."""

import asyncio
import time

from factory_infra.foundation.accelerators.interface import Accelerators
from factory_infra.foundation.accelerators.models import Pool, Slot
from factory_infra.foundation.accelerators.registry import build
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.loading import Built
from factory_infra.foundation.pools.spec import AwsPool, LocalPool, PoolSpec
from factory_infra.settings import Settings

FRESH_SECONDS = 5.0


class OnePool:
    """A single pool under whatever name it is asked for: for what needs no file of pools."""

    def __init__(self, accelerators: Accelerators) -> None:
        self._accelerators = accelerators

    async def pool(self, name: str = "") -> Pool:
        """Return the one pool."""
        return await self._accelerators.pool()


class PooledAccelerators:
    """Asks the provider of each pool.

    Args:
        book: the pools of the installation.
        settings: what providers are built with.
    """

    def __init__(self, book: PoolBook, settings: Settings) -> None:
        self._book = book
        self._built: Built[Accelerators] = Built(lambda spec: build(spec, settings))
        self._known: dict[str, tuple[float, PoolSpec, Pool]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def pool(self, name: str = "") -> Pool:
        """Return a pool: this host's read now, another's at most a few seconds old."""
        spec = self._book.named(name)
        if isinstance(spec, LocalPool):
            return bounded(await self._built.of(spec).pool(), spec)
        async with self._locks.setdefault(spec.name, asyncio.Lock()):
            known = self._known.get(spec.name)
            if known is None or known[1] != spec or time.monotonic() - known[0] > FRESH_SECONDS:
                known = (time.monotonic(), spec, bounded(await self._built.of(spec).pool(), spec))
                self._known[spec.name] = known
        return known[2]


def bounded(pool: Pool, spec: PoolSpec) -> Pool:
    """The pool under its own name, with the slots that the file lets it hand out."""
    chosen = set(spec.slots) if isinstance(spec, LocalPool) and spec.slots else None
    slots = pool.slots if chosen is None else [slot for slot in pool.slots if slot.index in chosen]
    if isinstance(spec, LocalPool) and spec.shares > 1:
        slots = [share for slot in slots for share in shared(slot, spec.shares)]
    limit = len(slots) if spec.slots_max is None else spec.slots_max
    price_class = spec.price_class if isinstance(spec, AwsPool) else pool.price_class
    return pool.model_copy(update={"name": spec.name, "slots": slots[:limit], "price_class": price_class})


def shared(slot: Slot, shares: int) -> list[Slot]:
    """A GPU as several slots whose programs take turns on it. A core, and a slice that has its own hardware, stays one."""
    if slot.kind != "gpu" or slot.device.startswith("MIG-"):
        return [slot]
    device, memory = slot.device or str(slot.index), round(slot.memory_gib / shares, 1)
    told = {"device": device, "memory_gib": memory}
    return [
        slot.model_copy(update={**told, "index": slot.index * shares + number, "name": f"{slot.name} (share {number + 1} of {shares})"})
        for number in range(shares)
    ]
