"""Members, roles of one's own, and service accounts."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.deps import ApproverDep, House, HouseDep, PageDep, PrincipalDep, ScopeDep
from api.managing import check_managing, may_see, team_named
from api.permissions import known_permissions
from api.routers.keys import made
from api.schemas.keys import IssuedKey, NewTeamKey
from api.schemas.structure import AccountKey, PermissionRow, RoleChange
from factory_infra.database import utcnow
from factory_infra.errors import Conflict
from factory_infra.paas.tenants.authority import check_account
from factory_infra.paas.tenants.members import member_unknown
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.permissions import check_known
from factory_infra.paas.tenants.structure import CustomRole, Member, NewAccount, NewMember, NewRole, Place, ServiceAccount
from factory_infra.second_wall import everything

router = APIRouter(prefix="/v1", tags=["members"])
OrganisationQuery = Annotated[str | None, Query(max_length=64)]


@router.get("/members")
async def list_members(
    asker: PrincipalDep, held: HouseDep, tenant: ScopeDep, page: PageDep, organisation: OrganisationQuery = None
) -> Sequence[Member]:
    """List who has which role in a team, or in an organisation; only for who administers it and a team's approvers. Others see nobody."""
    place = Place.model_construct(organisation=organisation, tenant=None if organisation else tenant, project="")
    return await held.factory.members.list(place, page.limit, page.offset) if may_see(asker, place) else []


@router.post("/members", status_code=201)
async def add_member(body: NewMember, asker: PrincipalDep, held: HouseDep) -> Member:
    """Give a person a role in an organisation, a team or a project. Only for who administers that place."""
    check_managing(asker, body)
    return await held.factory.members.add(body, by=asker.actor)


@router.delete("/members/{member_id}", status_code=204)
async def remove_member(member_id: str, asker: PrincipalDep, held: HouseDep) -> None:
    """Take a person's role away; it ends in every process within a second."""
    member = await held.factory.members.get(member_id)
    place = Place.model_construct(organisation=member.organisation, tenant=member.tenant, project=member.project)
    if not may_see(asker, place):
        raise member_unknown(member_id)
    check_managing(asker, place)
    await held.factory.members.remove(member_id)


@router.get("/permissions")
async def list_permissions(request: Request, asker: PrincipalDep) -> list[PermissionRow]:
    """List every permission that a role of one's own can have, and the routes that ask for it."""
    return [PermissionRow(permission=name, routes=routes) for name, routes in sorted(known_permissions(request.app).items())]


@router.get("/roles")
async def list_roles(asker: PrincipalDep, held: HouseDep, tenant: ScopeDep, page: PageDep) -> Sequence[CustomRole]:
    """List roles of one's own: a team's and its organisation's."""
    organisation = await held.factory.organisations.of_team(tenant) if tenant is not None else None
    place = Place.model_construct(organisation=organisation, tenant=tenant, project="")
    return await held.factory.members.roles(place, page.limit, page.offset)


@router.post("/roles", status_code=201)
async def create_role(request: Request, body: NewRole, asker: PrincipalDep, held: HouseDep) -> CustomRole:
    """Make a role of an organisation or a team. Only for who administers it."""
    check_managing(asker, Place(organisation=body.organisation, tenant=body.tenant))
    check_known(body.permissions, known_permissions(request.app))
    return await held.factory.members.create_role(body)


@router.patch("/roles/{role_id}")
async def change_role(request: Request, role_id: str, body: RoleChange, asker: ApproverDep, held: HouseDep) -> CustomRole:
    """Give a role other permissions; keys and people that have it have them within a second."""
    await managed_role(role_id, asker, held)
    check_known(body.permissions, known_permissions(request.app))
    return await held.factory.members.change_role(role_id, body.permissions, body.revision)


@router.delete("/roles/{role_id}", status_code=204)
async def delete_role(role_id: str, asker: ApproverDep, held: HouseDep) -> None:
    """Remove a role; whoever has it may nothing from now on."""
    await managed_role(role_id, asker, held)
    await held.factory.members.delete_role(role_id)


async def managed_role(role_id: str, asker: Principal, held: House) -> None:
    """Raise Forbidden unless the asker administers a role's place, alike for a role that is not there."""
    if asker.role is Role.ADMIN:
        await held.factory.members.role(role_id)
        return
    with everything():
        roles = {
            role.id: role for role in await held.factory.members.roles(Place.model_construct(organisation=None, tenant=None), limit=500)
        }
    role = roles.get(role_id)
    place = Place.model_construct(organisation=role.organisation, tenant=role.tenant) if role else Place.model_construct(tenant=role_id)
    check_managing(asker, place)


@router.get("/accounts")
async def list_accounts(asker: ApproverDep, held: HouseDep, tenant: ScopeDep, page: PageDep) -> Sequence[ServiceAccount]:
    """List service accounts."""
    return await held.factory.members.accounts(tenant, page.limit, page.offset)


@router.post("/accounts", status_code=201)
async def create_account(body: NewAccount, asker: ApproverDep, held: HouseDep) -> ServiceAccount:
    """Make a service account of a team: what programs have keys of. An approver makes them up to the role of an operator."""
    team = await team_named(asker, body.tenant, held)
    check_account(asker, body.role, body.project, await held.factory.directory.granted(team, body.role))
    return await held.factory.members.create_account(team, body, by=asker.actor)


@router.post("/accounts/{tenant}/{account}/keys", status_code=201)
async def issue_account_key(tenant: str, account: str, body: AccountKey, asker: ApproverDep, held: HouseDep) -> IssuedKey:
    """Make a key of a service account; its secret is shown now and never again."""
    team = await team_named(asker, tenant, held)
    found = await held.factory.members.account(team, account)
    if found.disabled_at is not None:
        raise Conflict(f"Service account {account} has ended.", remedy="Make another one.", code="account_ended")
    granted = await held.factory.directory.granted(team, found.role)
    wanted = NewTeamKey(
        name=account,
        role=granted.counts_as,
        project=found.project,
        custom_role="" if granted.permissions is None else found.role,
        expires_at=None if body.days is None else utcnow() + timedelta(days=body.days),
    )
    return await made(held, asker, team, wanted, account=account)


@router.delete("/accounts/{tenant}/{account}")
async def disable_account(tenant: str, account: str, asker: ApproverDep, held: HouseDep) -> ServiceAccount:
    """End a service account with all its keys, at once in every process."""
    team = await team_named(asker, tenant, held)
    found = await held.factory.members.account(team, account)
    check_account(asker, found.role, found.project, await held.factory.directory.granted(team, found.role))
    return await held.factory.members.disable_account(team, account)
