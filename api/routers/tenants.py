"""Teams and browser sessions."""

from fastapi import APIRouter, Response

from api.deps import AdminDep, HouseDep, PrincipalDep, scope
from api.schemas.tenants import Me, NewTenant, SignIn, TenantChange
from api.sessions import COOKIE, SESSION_SECONDS
from factory_infra.paas.tenants.models import Tenant

router = APIRouter(prefix="/v1", tags=["tenants"])


@router.get("/me")
async def me(asker: PrincipalDep) -> Me:
    """Say who the caller is."""
    return Me(name=asker.name, role=asker.role, tenant=asker.tenant)


@router.post("/session", status_code=204)
async def sign_in(body: SignIn, held: HouseDep, response: Response) -> None:
    """Open a browser session for a key. The cookie cannot be read by scripts nor sent from other sites."""
    principal = await held.factory.tenants.authenticate(body.key.strip())
    response.set_cookie(COOKIE, held.sessions.issue(principal), max_age=SESSION_SECONDS, httponly=True, samesite="strict", path="/")


@router.delete("/session", status_code=204)
async def sign_out(response: Response) -> None:
    """Close the browser session."""
    response.delete_cookie(COOKIE, path="/")


@router.get("/tenants")
async def list_tenants(asker: PrincipalDep, held: HouseDep) -> list[Tenant]:
    """List the teams that the caller may see."""
    return await held.factory.tenants.list(asker.tenant)


@router.post("/tenants", status_code=201)
async def create_tenant(body: NewTenant, asker: AdminDep, held: HouseDep) -> Tenant:
    """Make a team."""
    return await held.factory.tenants.create(body.name, quota_slots=body.quota_slots, budget=body.budget)


@router.get("/tenants/{tenant}")
async def get_tenant(tenant: str, asker: PrincipalDep, held: HouseDep) -> Tenant:
    """Show a team."""
    return await held.factory.tenants.get(scope(asker, tenant) or tenant)


@router.patch("/tenants/{tenant}")
async def change_tenant(tenant: str, body: TenantChange, asker: AdminDep, held: HouseDep) -> Tenant:
    """Change a team's limits."""
    return await held.factory.tenants.change(tenant, quota_slots=body.quota_slots, budget=body.budget)
