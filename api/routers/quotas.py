"""Quotas by pool and accelerator, beside a team's quota over all pools."""

from fastapi import APIRouter

from api.deps import AdminDep, House, HouseDep, PageDep, PrincipalDep, ScopeDep
from api.schemas.structure import QuotaChange, QuotaUse
from factory_infra.iaas.leases.pool_quotas import PoolQuota

router = APIRouter(prefix="/v1/quotas", tags=["tenants"])


@router.get("")
async def list_quotas(asker: PrincipalDep, held: HouseDep, tenant: ScopeDep, page: PageDep) -> list[QuotaUse]:
    """List quotas by pool, with what is held of each now."""
    return [await in_use(quota, held) for quota in await held.factory.pool_quotas.list(tenant, page.limit, page.offset)]


@router.put("")
async def set_quota(body: QuotaChange, asker: AdminDep, held: HouseDep) -> QuotaUse:
    """Bound what a team may hold in a pool from now on. What is held stays until it ends; the answer says so where it is more."""
    await held.factory.tenants.get(body.tenant)
    held.factory.pools.named(body.pool)
    quota = await held.factory.pool_quotas.set(PoolQuota(**body.model_dump()))
    return await in_use(quota, held)


@router.delete("", status_code=204)
async def remove_quota(tenant: str, pool: str, asker: AdminDep, held: HouseDep, accelerator: str = "") -> None:
    """Remove a team's quota in a pool: its quota over all pools is what binds then."""
    await held.factory.pool_quotas.remove(tenant, pool, accelerator)


async def in_use(quota: PoolQuota, held: House) -> QuotaUse:
    """A quota with what is held of it."""
    used = await held.factory.pool_quotas.held(quota, await held.factory.accelerators.pool(quota.pool))
    over = f"{used} are held, more than the quota: they stay until they end." if used > quota.slots_max else ""
    return QuotaUse(**quota.model_dump(), slots_held=used, note=over)
