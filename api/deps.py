"""What routes depend on: the factory, Temporal, and who asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from temporalio.client import Client

from api.sessions import COOKIE, Sessions
from factory_infra.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from factory_infra.factory import Factory
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.paas.tenants.permissions import check_granted, permission_of
from factory_infra.records.audit import who_acts
from factory_infra.second_wall import look_as
from workflows.names import TASK_QUEUE

PERSON = "oidc:"
"""How the subject of a person begins; a key's is its id."""
TEAM_HEADER = "lineshaft-team"
"""In which of their teams a person acts with this request; the one that they chose in a browser, or their first, where it is left out."""
TEAM_COOKIE = "lineshaft_team"
"""What a person chose in a browser: scripts set it, and it gives nothing that the person has not."""


@dataclass(frozen=True)
class House:
    """What the process holds for all requests."""

    factory: Factory
    temporal: Client
    sessions: Sessions
    task_queue: str = TASK_QUEUE


def house(request: Request) -> House:
    """The process's own."""
    found: House = request.app.state.house
    return found


HouseDep = Annotated[House, Depends(house)]


async def principal(request: Request, held: HouseDep) -> Principal:
    """Who asks. From here on the request sees what the asker may see: a team its own rows, an administrator all."""
    asker = await asking(request, held)
    look_as(asker.tenant)
    request.state.asker = asker
    who_acts.set((asker.actor, "api"))
    return asker


async def asking(request: Request, held: House) -> Principal:
    """Who asks, with what a role of one's own gives. Raises Unauthenticated, and Forbidden where that role has not what the route needs."""
    asker = await shown(request, held)
    if asker.custom_role and asker.tenant is not None and asker.permissions is None:
        granted = await held.factory.directory.granted(asker.tenant, asker.custom_role)
        asker = asker.model_copy(update={"role": granted.counts_as, "permissions": granted.permissions})
    if asker.permissions is not None:
        check_granted(asker.permissions, permission_of(request.method, request.scope["route"].path))
    return asker


async def shown(request: Request, held: House) -> Principal:
    """Who asks: by key, or by a browser session. A session may change things only from a page of this origin."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await held.factory.tenants.authenticate(key.strip())
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise Unauthenticated("A key is needed.", remedy="Send 'Authorization: Bearer …', or sign in at the console.")
    if request.method not in {"GET", "HEAD"} and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Forbidden("A page of another origin may not act here.", code="cross_origin", remedy="Use the console itself, or a key.")
    subject = held.sessions.subject(cookie)
    if subject.startswith(PERSON):
        return await held.factory.directory.person(subject, await team_chosen(subject, request, held))
    return await held.factory.tenants.principal_of(subject)


async def team_chosen(subject: str, request: Request, held: House) -> str | None:
    """The team that a request names, or that a browser keeps, as long as the person is in it; None for the first one."""
    named, kept = request.headers.get(TEAM_HEADER), request.cookies.get(TEAM_COOKIE)
    if named is not None or kept is None:
        return named
    return kept if kept in (await held.factory.directory.standing(subject)).teams else None


PrincipalDep = Annotated[Principal, Depends(principal)]


class AtLeast:
    """A dependency that refuses a principal below a role."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, asker: PrincipalDep) -> Principal:
        """Return the principal. Raises Forbidden. A role of one's own was asked for the route already; none makes an administrator."""
        if asker.permissions is not None and self._role is not Role.ADMIN:
            return asker
        if not asker.role.reaches(self._role):
            raise Forbidden(f"This needs the role {self._role}; the key has {asker.role}.", remedy=f"Use a key with the role {self._role}.")
        return asker


OperatorDep = Annotated[Principal, Depends(AtLeast(Role.OPERATOR))]
UserDep = Annotated[Principal, Depends(AtLeast(Role.USER))]
ApproverDep = Annotated[Principal, Depends(AtLeast(Role.APPROVER))]
AdminDep = Annotated[Principal, Depends(AtLeast(Role.ADMIN))]


def scope(asker: Principal, tenant: str | None) -> str | None:
    """The tenant whose objects a list shows: a team's own, or what an administrator names, or all (None)."""
    if asker.tenant is None:
        return tenant
    if tenant is not None and tenant != asker.tenant:
        raise NotFound(f"There is no team '{tenant}'.", code="team_unknown", remedy="Leave the team out to see your own.")
    return asker.tenant


async def scoped(asker: PrincipalDep, tenant: Annotated[str | None, Query(max_length=64)] = None) -> str | None:
    """The `tenant` of the query, as far as the asker may see it."""
    return scope(asker, tenant)


ScopeDep = Annotated[str | None, Depends(scoped)]


class Page:
    """Which part of a list is wanted."""

    def __init__(self, limit: Annotated[int, Query(ge=1, le=500)] = 100, offset: Annotated[int, Query(ge=0)] = 0) -> None:
        self.limit = limit
        self.offset = offset


async def if_match(value: Annotated[str | None, Header(alias="if-match", max_length=20)] = None) -> int | None:
    """The revision that a change was made from, as `ETag` named it; None for any. Raises InvalidInput for what is none."""
    if value is None or value.strip() == "*":
        return None
    told = value.strip().removeprefix("W/").strip('"')
    if not told.isdigit():
        raise InvalidInput("If-Match names no revision.", remedy='Send the ETag that was read, such as "3".')
    return int(told)


IfMatchDep = Annotated[int | None, Depends(if_match)]
PageDep = Annotated[Page, Depends()]
