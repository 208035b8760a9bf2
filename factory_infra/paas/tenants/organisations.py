"""Organisations that group teams, and projects that belong to them; changed by one person at a time, and told to the audit log."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database
from factory_infra.errors import Conflict, NotFound
from factory_infra.iaas.leases.models import OPEN
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.tenants.structure import Organisation, Project
from factory_infra.paas.tenants.structure_tables import AccountRow, MemberRow, OrganisationRow, ProjectRow
from factory_infra.paas.tenants.tables import KeyRow, TenantRow
from factory_infra.records.audit import NewEntry, digest_of, write
from factory_infra.records.tables import PlanRow

OPEN_PLANS = ("proposed", "approved", "running", "paused")


class Organisations:
    """Keeps organisations and projects, in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, name: str, title: str = "") -> Organisation:
        """Make an organisation. Raises Conflict when it exists."""
        async with self._database.transaction(lock=f"organisation/{name}", whole=True) as session:
            if await session.get(OrganisationRow, name) is not None:
                raise Conflict(f"Organisation {name} exists already.", remedy="Change it with PATCH /v1/organisations/{name}.")
            row = OrganisationRow(name=name, title=title)
            session.add(row)
            await session.flush()
            made = Organisation.model_validate(row)
            await write(session, NewEntry(action="organisations:create", object=f"organisation/{name}", after=digest_of(made)))
            return made

    async def change(self, name: str, title: str, revision: int | None = None) -> Organisation:
        """Give an organisation another title. Raises NotFound, Conflict where somebody changed it since that revision."""
        async with self._database.transaction(whole=True) as session:
            row = await session.get(OrganisationRow, name, with_for_update=True)
            if row is None:
                raise organisation_unknown(name)
            check_revision(f"Organisation {name}", row.revision, revision)
            before = digest_of(Organisation.model_validate(row))
            row.title, row.revision = title, row.revision + 1
            made = Organisation.model_validate(row)
            entry = NewEntry(action="organisations:change", object=f"organisation/{name}", before=before, after=digest_of(made))
            await write(session, entry)
            return made

    async def get(self, name: str) -> Organisation:
        """Return an organisation, as far as the asker sees it. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(OrganisationRow, name)
        if row is None:
            raise organisation_unknown(name)
        return Organisation.model_validate(row)

    async def list(self, limit: int = 100, offset: int = 0) -> Sequence[Organisation]:
        """Return organisations by name: all, or the one that the asker's team belongs to."""
        query = select(OrganisationRow).order_by(OrganisationRow.name).limit(limit).offset(offset)
        async with self._database.transaction() as session:
            return [Organisation.model_validate(row) for row in await session.scalars(query)]

    async def of_team(self, tenant: str) -> str | None:
        """Return the organisation of a team, None for one of none or that is not there."""
        async with self._database.transaction(whole=True) as session:
            return await session.scalar(select(TenantRow.organisation).where(TenantRow.name == tenant))

    async def teams(self, organisation: str) -> Sequence[str]:
        """Return the names of an organisation's open teams, by name."""
        query = select(TenantRow.name).where(TenantRow.organisation == organisation, TenantRow.closed_at.is_(None)).order_by(TenantRow.name)
        async with self._database.transaction(whole=True) as session:
            return list(await session.scalars(query))

    async def create_project(self, tenant: str, name: str, title: str = "") -> Project:
        """Make a project of a team. Raises NotFound for the team, Conflict when it exists."""
        async with self._database.transaction(lock=f"project/{tenant}/{name}") as session:
            await open_team(session, tenant)
            if await session.get(ProjectRow, (tenant, name)) is not None:
                raise Conflict(f"Project {name} exists already.", remedy="Change it with PATCH /v1/projects/{tenant}/{name}.")
            row = ProjectRow(tenant=tenant, name=name, title=title)
            session.add(row)
            await session.flush()
            made = Project.model_validate(row)
            await write(session, project_entry("create", made, after=digest_of(made)))
            return made

    async def change_project(self, tenant: str, name: str, title: str, revision: int | None = None) -> Project:
        """Give a project another title. Raises NotFound, Conflict where somebody changed it since that revision."""
        async with self._database.transaction() as session:
            row = await found_project(session, tenant, name)
            check_revision(f"Project {name}", row.revision, revision)
            before = digest_of(Project.model_validate(row))
            row.title, row.revision = title, row.revision + 1
            made = Project.model_validate(row)
            await write(session, project_entry("change", made, before=before, after=digest_of(made)))
            return made

    async def delete_project(self, tenant: str, name: str) -> None:
        """Remove a project; what was charged to it stays so.

        Raises NotFound, Conflict while keys, members or accounts name it, or leases and plans that have not ended.
        """
        async with self._database.transaction() as session:
            row = await found_project(session, tenant, name)
            named = {
                "keys": select(KeyRow.id).where(KeyRow.tenant == tenant, KeyRow.project == name, KeyRow.revoked_at.is_(None)),
                "members": select(MemberRow.id).where(MemberRow.tenant == tenant, MemberRow.project == name),
                "service accounts": select(AccountRow.name).where(AccountRow.tenant == tenant, AccountRow.project == name),
                "leases": select(LeaseRow.id).where(LeaseRow.tenant == tenant, LeaseRow.project == name, LeaseRow.state.in_(OPEN)),
                "plans": select(PlanRow.id).where(PlanRow.tenant == tenant, PlanRow.project == name, PlanRow.state.in_(OPEN_PLANS)),
            }
            for what, query in named.items():
                if await session.scalar(query.limit(1)) is not None:
                    raise Conflict(f"Project {name} has {what}.", remedy=f"End its {what} first.", code="project_in_use")
            made = Project.model_validate(row)
            await session.delete(row)
            await write(session, project_entry("delete", made, before=digest_of(made)))

    async def projects(self, tenant: str | None, limit: int = 100, offset: int = 0) -> Sequence[Project]:
        """Return the projects of a team, or of all, by team and name."""
        query = select(ProjectRow).order_by(ProjectRow.tenant, ProjectRow.name).limit(limit).offset(offset)
        query = query if tenant is None else query.where(ProjectRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [Project.model_validate(row) for row in await session.scalars(query)]

    async def project(self, tenant: str, name: str) -> Project:
        """Return a project. Raises NotFound."""
        async with self._database.transaction() as session:
            return Project.model_validate(await found_project(session, tenant, name))


def project_entry(action: str, project: Project, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a project."""
    name = f"project/{project.tenant}/{project.name}"
    return NewEntry(action=f"projects:{action}", object=name, tenant=project.tenant, before=before, after=after)


async def found_project(session: AsyncSession, tenant: str, name: str) -> ProjectRow:
    """A project's row, locked. Raises NotFound."""
    row = await session.get(ProjectRow, (tenant, name), with_for_update=True)
    if row is None:
        raise NotFound(f"There is no project '{name}'.", remedy="List the projects with GET /v1/projects.", code="project_unknown")
    return row


async def open_team(session: AsyncSession, name: str, *, held: bool = False) -> TenantRow:
    """A team's row; held, nobody closes or changes it before the transaction ends. Raises NotFound for none, or one that was closed."""
    row = await session.get(TenantRow, name, with_for_update=True if held else None)
    if row is None or row.closed_at is not None:
        raise NotFound(f"There is no team '{name}'.", code="team_unknown", remedy="List the teams with GET /v1/tenants.")
    return row


def organisation_unknown(name: str) -> NotFound:
    """The one answer for an organisation that is absent or not the asker's."""
    remedy = "List the organisations with GET /v1/organisations."
    return NotFound(f"There is no organisation '{name}'.", code="organisation_unknown", remedy=remedy)


def check_revision(what: str, now: int, named: int | None) -> None:
    """Raise Conflict where a change names another revision than the present one: somebody was faster, and nothing is lost."""
    if named is not None and named != now:
        raise Conflict(
            f"{what} was changed meanwhile: it is at revision {now}, and you changed revision {named}.",
            remedy="Read it again and decide anew.",
            code="revision_stale",
        )
