"""Pools: where slots are, and what of them is free."""

import asyncio
from collections import Counter

from fastapi import APIRouter

from api.deps import House, HouseDep, PrincipalDep
from api.schemas.pools import PoolCard
from factory_infra.errors import LineshaftError
from factory_infra.foundation.pools.spec import PoolSpec
from factory_infra.paas.tenants.models import PLATFORM

router = APIRouter(prefix="/v1/pools", tags=["pools"])


@router.get("")
async def list_pools(asker: PrincipalDep, held: HouseDep) -> list[PoolCard]:
    """List the pools in the order of their file: the first is the default. One that does not answer is told as such."""
    default = held.factory.pools.default().name
    return list(await asyncio.gather(*(card(held, spec, default) for spec in held.factory.pools.all())))


@router.get("/{name}")
async def get_pool(name: str, asker: PrincipalDep, held: HouseDep) -> PoolCard:
    """Show a pool."""
    return await card(held, held.factory.pools.named(name), held.factory.pools.default().name)


async def card(held: House, spec: PoolSpec, default: str) -> PoolCard:
    """Ask a pool what it has."""
    shown = PoolCard(name=spec.name, title=spec.title, provider=spec.provider, default=spec.name == default, reachable=True)
    try:
        pool = await held.factory.accelerators.pool(spec.name)
        usage = await held.factory.leases.usage(PLATFORM, spec.name)
    except LineshaftError as error:
        return shown.model_copy(update={"reachable": False, "note": str(error)})
    return shown.model_copy(
        update={
            "placement": pool.placement,
            "slot_kind": pool.kind,
            "slots_total": usage.slots_total,
            "slots_free": usage.slots_free,
            "accelerators": dict(Counter(slot.accelerator for slot in pool.slots if slot.accelerator)),
            "machines": [machine.name for machine in pool.machines],
            "note": pool.note,
        }
    )
