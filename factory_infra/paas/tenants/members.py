"""Members, roles of one's own and service accounts: who may what, and where."""

import secrets
from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.notices import tell
from factory_infra.paas.tenants.channels import DIRECTORY_CHANNEL, KEYS_CHANNEL, WHO
from factory_infra.paas.tenants.models import Role
from factory_infra.paas.tenants.organisations import check_revision, found_project, open_team, organisation_unknown
from factory_infra.paas.tenants.structure import CustomRole, Member, NewAccount, NewMember, NewRole, Place, ServiceAccount
from factory_infra.paas.tenants.structure_tables import AccountRow, CustomRoleRow, MemberRow, OrganisationRow
from factory_infra.paas.tenants.tables import KeyRow
from factory_infra.records.audit import NewEntry, digest_of, write


class Members:
    """Keeps them, in PostgreSQL. Every change is told to who remembers, and to the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, wanted: NewMember, *, by: str) -> Member:
        """Give a person a role. Raises NotFound for the place or the role, Conflict where the person has one there."""
        async with self._database.transaction(whole=True) as session:
            await check_place(session, wanted)
            await check_role(session, wanted.role, wanted)
            query = select(MemberRow).where(MemberRow.subject == wanted.subject, MemberRow.source == "hand", *at(wanted))
            if await session.scalar(query) is not None:
                remedy = "Remove that role first with DELETE /v1/members/{member_id}."
                raise Conflict(f"{wanted.subject} has a role there already.", remedy=remedy, code="member_exists")
            row = MemberRow(id=new_id("m"), **wanted.model_dump(), source="hand", added_by=by)
            session.add(row)
            await session.flush()
            made = Member.model_validate(row)
            await tell(session, DIRECTORY_CHANNEL, WHO)
            await write(session, member_entry("create", made, after=digest_of(made)))
            return made

    async def remove(self, member_id: str) -> None:
        """Take a person's role away, at once in every process. Raises NotFound."""
        async with self._database.transaction(whole=True) as session:
            row = await session.get(MemberRow, member_id, with_for_update=True)
            if row is None:
                raise member_unknown(member_id)
            gone = Member.model_validate(row)
            await session.delete(row)
            await tell(session, DIRECTORY_CHANNEL, WHO)
            await write(session, member_entry("delete", gone, before=digest_of(gone)))

    async def get(self, member_id: str) -> Member:
        """Return a member. Raises NotFound."""
        async with self._database.transaction(whole=True) as session:
            row = await session.get(MemberRow, member_id)
        if row is None:
            raise member_unknown(member_id)
        return Member.model_validate(row)

    async def list(self, place: Place, limit: int = 100, offset: int = 0) -> Sequence[Member]:
        """Return the members of an organisation or a team, or all (an empty place), by subject."""
        query = select(MemberRow).order_by(MemberRow.subject, MemberRow.id).limit(limit).offset(offset)
        query = query if place.tenant is None else query.where(MemberRow.tenant == place.tenant)
        query = query if place.organisation is None else query.where(MemberRow.organisation == place.organisation)
        async with self._database.transaction(whole=place.tenant is None) as session:
            return [Member.model_validate(row) for row in await session.scalars(query)]

    async def from_groups(self, subject: str, title: str, places: Collection[NewMember]) -> Sequence[Member]:
        """Let a person's roles that came with groups be exactly these. Places that are not there (any more) are left out, not an error."""
        async with self._database.transaction(lock=f"member/{subject}", whole=True) as session:
            query = select(MemberRow).where(MemberRow.subject == subject, MemberRow.source == "groups")
            before = {key_of(row): row for row in await session.scalars(query)}
            kept, changed = [], False
            for wanted in places:
                try:
                    await check_place(session, wanted)
                    await check_role(session, wanted.role, wanted)
                except NotFound:
                    continue
                row = before.pop((wanted.organisation, wanted.tenant, wanted.project, wanted.role), None)
                changed = changed or row is None
                row = row or MemberRow(id=new_id("m"), **wanted.model_dump(), source="groups", added_by="groups")
                row.title = title
                session.add(row)
                kept.append(row)
            await session.execute(delete(MemberRow).where(MemberRow.id.in_([row.id for row in before.values()])))
            await session.flush()
            if changed or before:
                await tell(session, DIRECTORY_CHANNEL, WHO)
                after = digest_of([*sorted(map(str, map(key_of, kept)))])
                await write(session, NewEntry(action="members:groups", object=f"person/{subject}", after=after))
            return [Member.model_validate(row) for row in kept]

    async def create_role(self, wanted: NewRole) -> CustomRole:
        """Make a role. Raises NotFound for its place, Conflict for a name that is taken, InvalidInput for what cannot be."""
        check_shape(wanted)
        async with self._database.transaction(lock=f"role/{wanted.organisation}/{wanted.tenant}/{wanted.name}", whole=True) as session:
            await check_place(session, Place(organisation=wanted.organisation, tenant=wanted.tenant))
            if await role_named(session, wanted.name, wanted.organisation, wanted.tenant) is not None:
                raise Conflict(f"There is a role {wanted.name} there already.", remedy="Change it with PATCH /v1/roles/{role_id}.")
            told = wanted.model_dump() | {"permissions": sorted(set(wanted.permissions)), "counts_as": wanted.counts_as.value}
            row = CustomRoleRow(id=new_id("r"), **told)
            session.add(row)
            await session.flush()
            made = CustomRole.model_validate(row)
            await write(session, role_entry("create", made, after=digest_of(made)))
            return made

    async def change_role(self, role_id: str, permissions: Collection[str], revision: int | None = None) -> CustomRole:
        """Give a role other permissions; who has it has them at once. Raises NotFound, Conflict for a stale revision."""
        async with self._database.transaction(whole=True) as session:
            row = await found_role(session, role_id)
            check_revision(f"Role {row.name}", row.revision, revision)
            before = digest_of(CustomRole.model_validate(row))
            row.permissions, row.revision = sorted(set(permissions)), row.revision + 1
            made = CustomRole.model_validate(row)
            await tell(session, DIRECTORY_CHANNEL, WHO)
            await write(session, role_entry("change", made, before=before, after=digest_of(made)))
            return made

    async def delete_role(self, role_id: str) -> None:
        """Remove a role: keys and people that have it may nothing from now on. Raises NotFound."""
        async with self._database.transaction(whole=True) as session:
            row = await found_role(session, role_id)
            gone = CustomRole.model_validate(row)
            await session.delete(row)
            await tell(session, DIRECTORY_CHANNEL, WHO)
            await write(session, role_entry("delete", gone, before=digest_of(gone)))

    async def role(self, role_id: str) -> CustomRole:
        """Return a role. Raises NotFound."""
        async with self._database.transaction(whole=True) as session:
            return CustomRole.model_validate(await found_role(session, role_id))

    async def roles(self, place: Place, limit: int = 100, offset: int = 0) -> Sequence[CustomRole]:
        """Return the roles of a place: a team's with its organisation's, an organisation's, or all; as far as the asker sees them."""
        query = select(CustomRoleRow).order_by(CustomRoleRow.name, CustomRoleRow.id).limit(limit).offset(offset)
        if place.tenant is not None:
            of_organisation = (CustomRoleRow.tenant.is_(None)) & (CustomRoleRow.organisation == place.organisation)
            query = query.where(or_(CustomRoleRow.tenant == place.tenant, of_organisation))
        elif place.organisation is not None:
            query = query.where(CustomRoleRow.organisation == place.organisation)
        async with self._database.transaction() as session:
            return [CustomRole.model_validate(row) for row in await session.scalars(query)]

    async def create_account(self, tenant: str, wanted: NewAccount, *, by: str) -> ServiceAccount:
        """Make a service account. Raises NotFound for the team or the role, Conflict when it exists."""
        async with self._database.transaction(lock=f"account/{tenant}/{wanted.name}", whole=True) as session:
            place = Place(tenant=tenant, project=wanted.project)
            await check_place(session, place)
            await check_role(session, wanted.role, place)
            if await session.get(AccountRow, (tenant, wanted.name)) is not None:
                raise Conflict(f"Service account {wanted.name} exists already.", remedy="Use it, or take another name.")
            row = AccountRow(tenant=tenant, created_by=by, **wanted.model_dump(exclude={"tenant"}))
            session.add(row)
            await session.flush()
            made = ServiceAccount.model_validate(row)
            await write(session, account_entry("create", made, after=digest_of(made)))
            return made

    async def disable_account(self, tenant: str, name: str) -> ServiceAccount:
        """End a service account and every key of it, at once in every process. Raises NotFound; twice is no error."""
        async with self._database.transaction(whole=True) as session:
            row = await found_account(session, tenant, name)
            before = digest_of(ServiceAccount.model_validate(row))
            row.disabled_at = row.disabled_at or utcnow()
            ended = update(KeyRow).where(KeyRow.tenant == tenant, KeyRow.account == name, KeyRow.revoked_at.is_(None))
            for key_id in await session.scalars(ended.values(revoked_at=utcnow()).returning(KeyRow.id)):
                await tell(session, KEYS_CHANNEL, key_id)
            made = ServiceAccount.model_validate(row)
            await write(session, account_entry("delete", made, before=before, after=digest_of(made)))
            return made

    async def account(self, tenant: str, name: str) -> ServiceAccount:
        """Return a service account. Raises NotFound."""
        async with self._database.transaction() as session:
            return ServiceAccount.model_validate(await found_account(session, tenant, name))

    async def accounts(self, tenant: str | None, limit: int = 100, offset: int = 0) -> Sequence[ServiceAccount]:
        """Return the service accounts of a team, or of all, by team and name."""
        query = select(AccountRow).order_by(AccountRow.tenant, AccountRow.name).limit(limit).offset(offset)
        query = query if tenant is None else query.where(AccountRow.tenant == tenant)
        async with self._database.transaction() as session:
            return [ServiceAccount.model_validate(row) for row in await session.scalars(query)]


def new_id(letter: str) -> str:
    """An id that nobody guesses."""
    return f"{letter}-{secrets.token_hex(8)}"


def at(place: Place) -> tuple[ColumnElement[bool], ...]:
    """The condition of being at a place and nowhere else."""
    columns = (MemberRow.organisation, MemberRow.tenant)
    named = (place.organisation, place.tenant)
    return *(column.is_not_distinct_from(value) for column, value in zip(columns, named, strict=True)), MemberRow.project == place.project


def key_of(row: MemberRow) -> tuple[str | None, str | None, str, str]:
    """A membership without its person."""
    return row.organisation, row.tenant, row.project, row.role


async def check_place(session: AsyncSession, place: Place) -> None:
    """Raise InvalidInput unless a place is an organisation or a team, NotFound where it is not there."""
    if (place.organisation is None) == (place.tenant is None) or (place.project and place.tenant is None):
        raise InvalidInput("A role holds in one organisation or in one team.", remedy="Name one of the two; a project with its team.")
    if place.organisation is not None and await session.get(OrganisationRow, place.organisation) is None:
        raise organisation_unknown(place.organisation)
    if place.tenant is not None:
        await open_team(session, place.tenant)
        if place.project:
            await found_project(session, place.tenant, place.project)


async def check_role(session: AsyncSession, role: str, place: Place) -> None:
    """Raise NotFound for a role that is neither built in nor one of the place's own or its organisation's."""
    if role in set(Role):
        return
    organisation = place.organisation
    if place.tenant is not None:
        organisation = (await open_team(session, place.tenant)).organisation
    if await role_for(session, role, organisation, place.tenant) is None:
        raise NotFound(f"There is no role '{role}' there.", remedy="List the roles with GET /v1/roles.", code="role_unknown")


async def role_for(session: AsyncSession, name: str, organisation: str | None, tenant: str | None) -> CustomRoleRow | None:
    """The role that a name means in a team: its own, else its organisation's."""
    own = await role_named(session, name, None, tenant) if tenant is not None else None
    return own or (await role_named(session, name, organisation, None) if organisation is not None else None)


async def role_named(session: AsyncSession, name: str, organisation: str | None, tenant: str | None) -> CustomRoleRow | None:
    """The role of exactly this place."""
    places = (CustomRoleRow.organisation.is_not_distinct_from(organisation), CustomRoleRow.tenant.is_not_distinct_from(tenant))
    found: CustomRoleRow | None = await session.scalar(select(CustomRoleRow).where(CustomRoleRow.name == name, *places))
    return found


async def found_role(session: AsyncSession, role_id: str) -> CustomRoleRow:
    """A role's row, locked. Raises NotFound."""
    row = await session.get(CustomRoleRow, role_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no role {role_id}.", remedy="List the roles with GET /v1/roles.", code="role_unknown")
    return row


async def found_account(session: AsyncSession, tenant: str, name: str) -> AccountRow:
    """A service account's row, locked. Raises NotFound."""
    row = await session.get(AccountRow, (tenant, name), with_for_update=True)
    if row is None:
        raise NotFound(f"There is no service account '{name}'.", remedy="List them with GET /v1/accounts.", code="account_unknown")
    return row


def check_shape(wanted: NewRole) -> None:
    """Raise InvalidInput for a role that would be mistaken for a built-in one, or count as an administrator."""
    if wanted.name in set(Role):
        raise InvalidInput(f"'{wanted.name}' is a built-in role.", remedy="Take another name.", code="role_reserved")
    if wanted.counts_as is Role.ADMIN:
        raise InvalidInput("A role of one's own counts as approver at most.", remedy="Choose viewer, user, operator or approver.")


def member_unknown(member_id: str) -> NotFound:
    """The one answer for a member that is absent or not the asker's to see."""
    return NotFound(f"There is no member {member_id}.", remedy="List the members with GET /v1/members.", code="member_unknown")


def member_entry(action: str, member: Member, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a member."""
    place = Place(organisation=member.organisation, tenant=member.tenant, project=member.project or "")
    name = f"person/{member.subject} in {place.words} as {member.role}"
    return NewEntry(action=f"members:{action}", object=name, tenant=member.tenant, before=before, after=after)


def role_entry(action: str, role: CustomRole, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a role."""
    return NewEntry(action=f"roles:{action}", object=f"role/{role.id} ({role.name})", tenant=role.tenant, before=before, after=after)


def account_entry(action: str, account: ServiceAccount, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a service account."""
    name = f"account/{account.tenant}/{account.name}"
    return NewEntry(action=f"accounts:{action}", object=name, tenant=account.tenant, before=before, after=after)
