"""What routes depend on: the factory, Temporal, and who asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from temporalio.client import Client

from api.sessions import COOKIE, Sessions
from factory_infra.errors import Forbidden, NotFound, Unauthenticated
from factory_infra.factory import Factory
from factory_infra.paas.tenants.models import Principal, Role
from workflows.names import TASK_QUEUE


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
    """Who asks: by key, or by a browser session. A session may change things only from a page of this origin."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return await held.factory.tenants.authenticate(key.strip())
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise Unauthenticated("A key is needed.", remedy="Send 'Authorization: Bearer …', or sign in at the console.")
    if request.method not in {"GET", "HEAD"} and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Forbidden("A page of another origin may not act here.", code="cross_origin", remedy="Use the console itself, or a key.")
    return await held.sessions.principal(cookie, held.factory.tenants)


PrincipalDep = Annotated[Principal, Depends(principal)]


class AtLeast:
    """A dependency that refuses a principal below a role."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, asker: PrincipalDep) -> Principal:
        """Return the principal. Raises Forbidden."""
        if not asker.role.reaches(self._role):
            raise Forbidden(f"This needs the role {self._role}; the key has {asker.role}.", remedy=f"Use a key with the role {self._role}.")
        return asker


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


PageDep = Annotated[Page, Depends()]
