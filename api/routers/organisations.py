"""Organisations, and the projects of their teams."""

from collections.abc import Sequence

from fastapi import APIRouter

from api.deps import AdminDep, ApproverDep, HouseDep, PageDep, PrincipalDep, ScopeDep
from api.managing import check_managing, team_named
from api.schemas.structure import NewOrganisation, NewProject, Retitled
from factory_infra.paas.tenants.organisations import organisation_unknown
from factory_infra.paas.tenants.structure import Organisation, Place, Project
from factory_infra.second_wall import everything

router = APIRouter(prefix="/v1", tags=["organisations"])


@router.get("/organisations")
async def list_organisations(asker: PrincipalDep, held: HouseDep, page: PageDep) -> Sequence[Organisation]:
    """List organisations: all for an administrator, else the one that the team belongs to."""
    found = await held.factory.organisations.list(page.limit, page.offset)
    if asker.tenant is None:
        return found
    own = await held.factory.organisations.of_team(asker.tenant)
    return [each for each in found if each.name == own]


@router.post("/organisations", status_code=201)
async def create_organisation(body: NewOrganisation, asker: AdminDep, held: HouseDep) -> Organisation:
    """Make an organisation."""
    return await held.factory.organisations.create(body.name, body.title)


@router.get("/organisations/{organisation}")
async def get_organisation(organisation: str, asker: PrincipalDep, held: HouseDep) -> Organisation:
    """Show an organisation."""
    if f"organisation/{organisation}" in asker.manages:
        with everything():
            return await held.factory.organisations.get(organisation)
    if asker.tenant is not None and await held.factory.organisations.of_team(asker.tenant) != organisation:
        raise organisation_unknown(organisation)
    return await held.factory.organisations.get(organisation)


@router.patch("/organisations/{organisation}")
async def change_organisation(organisation: str, body: Retitled, asker: PrincipalDep, held: HouseDep) -> Organisation:
    """Give an organisation another title."""
    check_managing(asker, Place.model_construct(organisation=organisation))
    return await held.factory.organisations.change(organisation, body.title, body.revision)


@router.get("/projects")
async def list_projects(asker: PrincipalDep, held: HouseDep, tenant: ScopeDep, page: PageDep) -> Sequence[Project]:
    """List projects."""
    return await held.factory.organisations.projects(tenant, page.limit, page.offset)


@router.post("/projects", status_code=201)
async def create_project(body: NewProject, asker: ApproverDep, held: HouseDep) -> Project:
    """Make a project of a team."""
    team = await team_named(asker, body.tenant, held)
    return await held.factory.organisations.create_project(team, body.name, body.title)


@router.get("/projects/{tenant}/{project}")
async def get_project(tenant: str, project: str, asker: PrincipalDep, held: HouseDep) -> Project:
    """Show a project."""
    return await held.factory.organisations.project(await team_named(asker, tenant, held), project)


@router.patch("/projects/{tenant}/{project}")
async def change_project(tenant: str, project: str, body: Retitled, asker: ApproverDep, held: HouseDep) -> Project:
    """Give a project another title."""
    return await held.factory.organisations.change_project(await team_named(asker, tenant, held), project, body.title, body.revision)


@router.delete("/projects/{tenant}/{project}", status_code=204)
async def delete_project(tenant: str, project: str, asker: ApproverDep, held: HouseDep) -> None:
    """Remove a project that nothing names any more; what was charged to it stays charged to it."""
    await held.factory.organisations.delete_project(await team_named(asker, tenant, held), project)
