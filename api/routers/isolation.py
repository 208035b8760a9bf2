"""Isolation: audits of two teams by attack, and the walls around a team."""

from fastapi import APIRouter

from api.deps import AdminDep, HouseDep, PageDep, PrincipalDep, scope
from api.schemas.isolation import NewAudit
from factory_infra.errors import InvalidInput
from factory_infra.foundation.pools.spec import Name
from factory_infra.iaas.isolation.service import Audit
from factory_infra.surfaces.audit import Auditor, isolation_of
from tools.isolation import PoolWalls, walls_of

router = APIRouter(prefix="/v1/isolation", tags=["isolation"])


@router.post("/audits", status_code=201)
async def start_audit(body: NewAudit, asker: AdminDep, held: HouseDep) -> list[Audit]:
    """Audit two teams now, through every door and in one pool or all; it may take minutes. Two teams of its own if none is named."""
    auditor = Auditor(held.factory)
    return await auditor.run(body.attacker, body.victim, asker.actor, pool=body.pool or "", doors=body.doors)


@router.get("/audits")
async def list_audits(asker: AdminDep, held: HouseDep, page: PageDep, pool: str | None = None, tenant: str | None = None) -> list[Audit]:
    """List audits, newest first. A report names both teams, and so it is for administrators."""
    return await isolation_of(held.factory).list(tenant, pool, page.limit, page.offset)


@router.get("/audits/{audit_id}")
async def get_audit(audit_id: str, asker: AdminDep, held: HouseDep) -> Audit:
    """Show one audit with all that was tried."""
    return await isolation_of(held.factory).get(audit_id)


@router.get("/walls")
async def walls(asker: PrincipalDep, held: HouseDep, tenant: str | None = None, pool: Name | None = None) -> list[PoolWalls]:
    """Show which walls stand around a team in each pool."""
    team = scope(asker, tenant)
    if team is None:
        raise InvalidInput("Whose walls are meant must be said.", remedy="Name the team in 'tenant'.")
    await held.factory.tenants.get(team)
    isolation = isolation_of(held.factory)
    names = [held.factory.pools.named(pool).name] if pool else isolation.pools()
    return [await walls_of(isolation, name, team) for name in names]
