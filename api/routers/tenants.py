"""Teams and browser sessions."""

from fastapi import APIRouter, Response

from api.deps import PERSON, AdminDep, HouseDep, IfMatchDep, PrincipalDep, scope
from api.schemas.tenants import Me, NewTenant, SignIn, TenantChange
from api.sessions import COOKIE, SESSION_SECONDS
from factory_infra.paas.tenants.models import Tenant
from factory_infra.paas.tenants.teams import Naming
from factory_infra.records.audit import NewEntry

router = APIRouter(prefix="/v1", tags=["tenants"])


@router.get("/me")
async def me(asker: PrincipalDep, held: HouseDep) -> Me:
    """Say who the caller is."""
    return Me(
        name=asker.name,
        role=asker.role,
        tenant=asker.tenant,
        permissions=None if asker.permissions is None else sorted(asker.permissions),
        manages=sorted(asker.manages),
        teams=sorted((await held.factory.directory.standing(asker.key_id)).teams) if asker.key_id.startswith(PERSON) else [],
        project=asker.project,
    )


@router.post("/session", status_code=204)
async def sign_in(body: SignIn, held: HouseDep, response: Response) -> None:
    """Open a browser session for a key. The cookie cannot be read by scripts nor sent from other sites."""
    principal = await held.factory.tenants.authenticate(body.key.strip())
    told = NewEntry(action="session:create", object=f"key/{principal.key_id}", tenant=principal.tenant, actor=principal.actor, door="api")
    await held.factory.audit.add(told)
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
    naming = Naming(title=body.title, organisation=body.organisation)
    return await held.factory.tenants.create(body.name, quota_slots=body.quota_slots, budget=body.budget, naming=naming)


@router.get("/tenants/{tenant}")
async def get_tenant(tenant: str, asker: PrincipalDep, held: HouseDep, response: Response) -> Tenant:
    """Show a team. Its `ETag` names the revision: send it as `If-Match` with a change."""
    found = await held.factory.tenants.get(scope(asker, tenant) or tenant)
    response.headers["etag"] = f'"{found.revision}"'
    return found


@router.patch("/tenants/{tenant}")
async def change_tenant(tenant: str, body: TenantChange, asker: AdminDep, held: HouseDep, read: IfMatchDep) -> Tenant:
    """Change a team's limits and names. Where somebody changed it since the revision that is named, nothing is changed."""
    naming = Naming(title=body.title, organisation=body.organisation, revision=read if body.revision is None else body.revision)
    return await held.factory.tenants.change(tenant, quota_slots=body.quota_slots, budget=body.budget, naming=naming)


@router.delete("/tenants/{tenant}")
async def close_tenant(tenant: str, asker: AdminDep, held: HouseDep, read: IfMatchDep) -> Tenant:
    """Close a team: its keys end at once, its files of features go, its records remain; asked again, what was left of files goes.

    Refused while leases, jobs, endpoints, clusters or runs of it are live.
    """
    closed = await held.factory.tenants.close(tenant, read)
    for keeper in held.factory.keepers:
        await keeper.forget(tenant)
    return closed
