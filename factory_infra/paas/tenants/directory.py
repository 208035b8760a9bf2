"""Who may what, remembered in the process: a check costs no question, and what was taken away is forgotten within a second."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select

from factory_infra.database import Database
from factory_infra.errors import Forbidden
from factory_infra.notices import News, Remembered
from factory_infra.paas.tenants.channels import DIRECTORY_CHANNEL, WHO
from factory_infra.paas.tenants.members import role_for
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.permissions import grants
from factory_infra.paas.tenants.structure import Member
from factory_infra.paas.tenants.structure_tables import MemberRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.second_wall import NOBODY

REMEMBERED_MAX = 20_000


class Granted(NamedTuple):
    """What a role gives: how it counts, and all that it may where it is a role of one's own."""

    counts_as: Role
    permissions: frozenset[str] | None


class Seat(NamedTuple):
    """What a person is in a team."""

    role: str
    granted: Granted
    project: str = ""


class Standing(NamedTuple):
    """What a person is where: the role in each team, and what the person administers."""

    name: str
    teams: Mapping[str, Seat]
    manages: frozenset[str]


PROJECT_READS = frozenset({"projects:read", "prices:read", "limits:read"})
PROJECT_KEYS = frozenset({"keys:create"})
NOTHING = Granted(Role.VIEWER, frozenset())
"""What a role gives that is not there any more."""


class Directory:
    """Answers what a role or a person may. Without news nothing is remembered: each question asks PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._roles: Remembered[tuple[str, str], Granted] | None = None
        self._people: Remembered[str, Standing] | None = None

    def remember(self, news: News) -> None:
        """Remember what is read from now on, for as long as the news are fresh."""
        self._roles = Remembered(news, DIRECTORY_CHANNEL, entries_max=REMEMBERED_MAX)
        self._people = Remembered(news, DIRECTORY_CHANNEL, entries_max=REMEMBERED_MAX)

    @property
    def remembered(self) -> int:
        """How many people and roles are remembered now."""
        return sum(len(each) for each in (self._roles, self._people) if each is not None)

    async def granted(self, tenant: str, role: str) -> Granted:
        """What a role gives in a team: nothing where it is not there."""
        if role in set(Role):
            return Granted(Role(role), None)
        key, mark = (tenant, role), None
        if self._roles is not None:
            known, mark = self._roles.get(WHO, key), self._roles.mark(WHO)
            if known is not None:
                return known
        async with self._database.transaction(whole=True) as session:
            team = await session.get(TenantRow, tenant)
            row = await role_for(session, role, team.organisation if team else None, tenant)
        found = Granted(Role(row.counts_as), frozenset(row.permissions)) if row is not None else NOTHING
        if self._roles is not None:
            self._roles.put(WHO, key, found, mark)
        return found

    async def standing(self, subject: str) -> Standing:
        """What a person is where."""
        mark = None
        if self._people is not None:
            known, mark = self._people.get(WHO, subject), self._people.mark(WHO)
            if known is not None:
                return known
        found = await self._read(subject)
        if self._people is not None:
            self._people.put(WHO, subject, found, mark)
        return found

    async def _read(self, subject: str) -> Standing:
        async with self._database.transaction(whole=True) as session:
            rows = await session.scalars(select(MemberRow).where(MemberRow.subject == subject).order_by(MemberRow.created_at))
            members = [Member.model_validate(row) for row in rows]
            groups = {member.organisation for member in members if member.organisation}
            query = select(TenantRow.name, TenantRow.organisation).where(TenantRow.closed_at.is_(None)).order_by(TenantRow.name)
            own = TenantRow.name.in_([member.tenant for member in members if member.tenant])
            teams = (await session.execute(query.where(own | TenantRow.organisation.in_(groups)))).all()
        found = {name: await self._best(name, [each for each in members if holds(each, name, group)]) for name, group in teams}
        manages = {place_of(each) for each in members if each.role == Role.ADMIN and not each.project}
        manages |= {f"team/{name}" for name, group in teams if f"organisation/{group}" in manages}
        return Standing(next((each.title for each in members if each.title), subject), found, frozenset(manages))

    async def _best(self, team: str, members: Sequence[Member]) -> Seat:
        """The role that reaches furthest of those that a person has in a team: one of the whole team before one of a project,
        a built-in one before one of its own. An administrator of a team acts in it as an approver.
        """
        seats = [Seat(each.role, await self._in(team, each), each.project) for each in members]
        best = max(seats, key=lambda seat: (not seat.project, seat.granted.permissions is None, list(Role).index(seat.granted.counts_as)))
        counts_as = Role.APPROVER if best.granted.counts_as is Role.ADMIN else best.granted.counts_as
        return best._replace(granted=best.granted._replace(counts_as=counts_as))

    async def _in(self, team: str, member: Member) -> Granted:
        """What a membership gives in a team. One of a project gives what can be told apart by project, and no more."""
        granted = await self.granted(team, member.role)
        if not member.project:
            return granted
        of_project = PROJECT_READS | PROJECT_KEYS if granted.counts_as.reaches(Role.APPROVER) else PROJECT_READS
        own = granted.permissions
        return Granted(granted.counts_as, of_project if own is None else frozenset(each for each in of_project if grants(own, each)))

    async def person(self, subject: str, team: str | None) -> Principal:
        """Who a person is in one of their teams: the named one, else the first. Raises Forbidden without any, or for another's."""
        standing = await self.standing(subject)
        chosen = team if team is not None else next(iter(standing.teams), None)
        if chosen is None and standing.manages:
            return Principal(key_id=subject, name=standing.name, role=Role.VIEWER, tenant=NOBODY, manages=standing.manages)
        if chosen is None or chosen not in standing.teams:
            remedy = "Ask an administrator of your organisation to add you."
            reason = "You are a member of no team here." if chosen is None else f"You are no member of a team '{chosen}'."
            raise Forbidden(reason, remedy=remedy, code="no_membership")
        role, granted, project = standing.teams[chosen]
        return Principal(
            key_id=subject,
            name=standing.name,
            role=granted.counts_as,
            tenant=chosen,
            permissions=granted.permissions,
            manages=standing.manages,
            custom_role="" if granted.permissions is None or project else role,
            project=project,
        )


def holds(member: Member, team: str, organisation: str | None) -> bool:
    """Whether a membership holds in a team: it is the team's own, or its organisation's."""
    return member.tenant == team or (member.organisation is not None and member.organisation == organisation)


def place_of(member: Member) -> str:
    """The organisation or team of a membership."""
    return f"organisation/{member.organisation}" if member.tenant is None else f"team/{member.tenant}"
