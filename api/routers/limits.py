"""Limits: set, list, remove."""

from collections.abc import Sequence

from fastapi import APIRouter

from api.deps import AdminDep, HouseDep, PageDep, ScopeDep
from api.schemas.limits import NewLimit
from factory_infra.saas.metering.limits import CapState

router = APIRouter(prefix="/v1/limits", tags=["limits"])


@router.get("")
async def list_limits(
    held: HouseDep, tenant: ScopeDep, page: PageDep, project: str | None = None, key_id: str | None = None
) -> Sequence[CapState]:
    """List limits, each with what is used of it in the window of now."""
    return await held.factory.limits.list(tenant, project, key_id, page.limit, page.offset)


@router.put("")
async def set_limit(body: NewLimit, asker: AdminDep, held: HouseDep) -> CapState:
    """Set a limit, or change its cap; every process follows at once."""
    return await held.factory.limits.set(body.wanted, by=asker.actor)


@router.delete("/{limit_id}", status_code=204)
async def remove_limit(limit_id: str, asker: AdminDep, held: HouseDep) -> None:
    """Remove a limit."""
    await held.factory.limits.remove(limit_id)
