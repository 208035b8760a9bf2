"""The caps that administrators set: for a team, one of its projects or one of its keys, on one resource in one window."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, field_serializer
from sqlalchemy import Row, delete, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.notices import News, Remembered, tell
from factory_infra.paas.tenants.channels import LIMITS_CHANNEL
from factory_infra.paas.tenants.models import NAME_PATTERN
from factory_infra.paas.tenants.tables import KeyRow, TenantRow
from factory_infra.saas.metering.models import Limit, Resource, Window
from factory_infra.saas.metering.tables import LimitRow, UseRow
from factory_infra.saas.metering.uses import budget_limit, window_start

CAP_MAX = Decimal(10) ** 11
"""Above any bill and any rate; the ledger's columns hold twelve digits before the point."""
REMEMBERED_MAX = 20_000
TEAMS_MAX = 2_000
TOGETHER_MAX = 200
"""Up to so many limits of a team are read and remembered together; beyond, those of each caller by themselves."""
RESOURCES: tuple[Resource, ...] = get_args(Resource)
WINDOWS: tuple[Window, ...] = get_args(Window)
IN_WORDS = {"minute": "a minute", "day": "a day", "month": "a month", "total": "in all"}

Place = tuple[str, str, str]
"""Team, project, key: whom a call belongs to."""


class Cap(BaseModel):
    """What an administrator asks for: a cap for a team, or for one project or one key of it."""

    tenant: str
    project: str = ""
    key_id: str = ""
    resource: str = Field(description="money, tokens, requests or parallel.")
    window: str = Field(description="minute, day, month or total; now for parallel.")
    cap: Decimal = Field(description="Money in the price book's currency, else a number.")

    @property
    def id(self) -> str:
        """The same for the same team, project or key, resource and window: setting it again changes it, and what is used stays counted."""
        whose = f":project:{self.project}" if self.project else f":key:{self.key_id}" if self.key_id else ""
        return f"{self.tenant}{whose}:{self.resource}:{self.window}"


class CapState(BaseModel):
    """A cap that is set, and how much of it is taken in the window of now."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    project: str
    key_id: str
    resource: Resource
    window: Window
    cap: Decimal
    used: Decimal = Field(default=Decimal(0), description="Charged, reserved by open calls, and held ready by the gateway's processes.")
    set_by: str
    set_at: datetime

    @field_serializer("cap", "used")
    def _plainly(self, value: Decimal) -> str:
        """Without the zeros of the column's scale."""
        return f"{value.normalize():f}"


class _Team:
    """A team's budget and, where they are few enough, all of its limits: then no call of any of its keys asks for them again."""

    __slots__ = ("_by_key", "_by_project", "_few", "_own")

    def __init__(self, budget: Limit, limits: Sequence[tuple[str, str, Limit]] | None) -> None:
        self._few = limits is not None
        self._own = (budget, *(limit for project, key_id, limit in limits or () if not project and not key_id))
        self._by_project = _grouped((project, limit) for project, _, limit in limits or () if project)
        self._by_key = _grouped((key_id, limit) for _, key_id, limit in limits or () if key_id)

    def binding(self, project: str, key_id: str) -> tuple[Limit, ...] | None:
        """What binds a call; None where the team has too many limits to be known here."""
        if not self._few:
            return None
        return self._own + self._by_project.get(project, ()) + self._by_key.get(key_id, ())


def _grouped(named: Iterable[tuple[str, Limit]]) -> dict[str, tuple[Limit, ...]]:
    found: dict[str, tuple[Limit, ...]] = {}
    for name, limit in named:
        found[name] = (*found.get(name, ()), limit)
    return found


class LimitBook:
    """Keeps the caps in PostgreSQL, and remembers in the process which of them bind whom until one of the team's is changed."""

    def __init__(self, database: Database, news: News | None = None, *, remembered_max: int = REMEMBERED_MAX) -> None:
        """Without news nothing is remembered: each look-up asks PostgreSQL."""
        self._database = database
        self._teams: Remembered[str, _Team] | None = None
        self._places: Remembered[Place, tuple[Limit, ...]] | None = None
        if news is not None:
            self._teams = Remembered(news, LIMITS_CHANNEL, entries_max=min(remembered_max, TEAMS_MAX))
            self._places = Remembered(news, LIMITS_CHANNEL, entries_max=remembered_max)

    async def set(self, wanted: Cap, *, by: str) -> CapState:
        """Set a cap or change it; what is used of its window stays used. It counts from the moment it was first set.

        Raises InvalidInput with the code of the field that cannot be, NotFound for an unknown team or key.
        """
        check(wanted)
        values = {**wanted.model_dump(), "id": wanted.id, "set_by": by, "set_at": utcnow()}
        query = insert(LimitRow).values(**values)
        query = query.on_conflict_do_update(index_elements=["id"], set_={name: values[name] for name in ("cap", "set_by", "set_at")})
        async with self._database.transaction() as session:
            await self._check_whose(session, wanted)
            await session.execute(query)
            await tell(session, LIMITS_CHANNEL, wanted.tenant)
            row = await session.get_one(LimitRow, wanted.id, populate_existing=True)
            return (await self._states(session, [row]))[0]

    async def remove(self, limit_id: str) -> None:
        """Take a cap away. Raises NotFound."""
        async with self._database.transaction() as session:
            tenant = await session.scalar(delete(LimitRow).where(LimitRow.id == limit_id).returning(LimitRow.tenant))
            if tenant is None:
                raise NotFound(f"There is no limit '{limit_id}'.", code="limit_unknown", remedy="List the limits with GET /v1/limits.")
            await tell(session, LIMITS_CHANNEL, tenant)

    async def list(
        self, tenant: str | None, project: str | None = None, key_id: str | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[CapState]:
        """Return the caps of a team, or of all, by name, each with what is used of it now."""
        query = select(LimitRow).order_by(LimitRow.id).limit(limit).offset(offset)
        for column, value in ((LimitRow.tenant, tenant), (LimitRow.project, project), (LimitRow.key_id, key_id)):
            query = query.where(column == value) if value is not None else query
        async with self._database.transaction() as session:
            return await self._states(session, list(await session.scalars(query)))

    async def limits_of(self, tenant: str, project: str = "", key_id: str = "") -> tuple[Limit, ...]:
        """Return what binds a call: the team's budget and limits, its project's, its key's. Raises NotFound for an unknown team."""
        team = await self._team(tenant)
        limits = team.binding(project, key_id)
        return limits if limits is not None else await self._of_place((tenant, project, key_id))

    async def _team(self, tenant: str) -> _Team:
        if self._teams is None:
            return await self._read_team(tenant)
        known = self._teams.get(tenant, tenant)
        if known is None:
            mark = self._teams.mark(tenant)
            known = await self._read_team(tenant)
            self._teams.put(tenant, tenant, known, mark)
        return known

    async def _of_place(self, place: Place) -> tuple[Limit, ...]:
        """The limits of one caller of a team that has more of them than are remembered together."""
        known = self._places.get(place[0], place) if self._places is not None else None
        if known is None:
            mark = self._places.mark(place[0]) if self._places is not None else None
            known = await self._read(place)
            if self._places is not None:
                self._places.put(place[0], place, known, mark)
        return known

    async def _read_team(self, tenant: str) -> _Team:
        async with self._database.reading() as connection:
            budget = await connection.scalar(select(TenantRow.budget).where(TenantRow.name == tenant))
            if budget is None:
                raise team_unknown(tenant)
            query = select(LimitRow.__table__).where(LimitRow.tenant == tenant).order_by(LimitRow.id).limit(TOGETHER_MAX + 1)
            rows = (await connection.execute(query)).all()
        limits = None if len(rows) > TOGETHER_MAX else tuple((row.project, row.key_id, limit_of(row)) for row in rows)
        return _Team(budget_limit(tenant, budget), limits)

    async def _read(self, place: Place) -> tuple[Limit, ...]:
        tenant = place[0]
        async with self._database.transaction() as session:
            budget = await session.scalar(select(TenantRow.budget).where(TenantRow.name == tenant))
            if budget is None:
                raise team_unknown(tenant)
            query = select(LimitRow).where(LimitRow.id.in_(possible(place))).order_by(LimitRow.key_id, LimitRow.project, LimitRow.id)
            return (budget_limit(tenant, budget), *(limit_of(row) for row in await session.scalars(query)))

    async def _check_whose(self, session: AsyncSession, wanted: Cap) -> None:
        if await session.get(TenantRow, wanted.tenant) is None:
            raise team_unknown(wanted.tenant)
        if wanted.key_id:
            row = await session.get(KeyRow, wanted.key_id)
            if row is None or row.tenant != wanted.tenant:
                raise NotFound(f"Team {wanted.tenant} has no key {wanted.key_id}.", code="key_unknown", remedy="List its keys.")

    async def _states(self, session: AsyncSession, rows: Sequence[LimitRow]) -> Sequence[CapState]:
        now = utcnow()
        windows = {row.id: window_start(cast(Window, row.window), now) for row in rows}
        query = select(UseRow.limit_id, UseRow.used).where(tuple_(UseRow.limit_id, UseRow.window_start).in_(list(windows.items())))
        used = {found.limit_id: found.used for found in await session.execute(query)} if rows else {}
        return [CapState.model_validate(row).model_copy(update={"used": used.get(row.id, Decimal(0))}) for row in rows]


def possible(place: Place) -> Sequence[str]:
    """The ids that a limit binding such a call can have: by them it is found however many limits there are, without a search."""
    tenant, project, key_id = place
    pairs = [(resource, window) for resource in RESOURCES for window in WINDOWS if (resource == "parallel") == (window == "now")]
    return [
        Cap(tenant=tenant, project=of_project, key_id=of_key, resource=resource, window=window, cap=Decimal(0)).id
        for of_project, of_key in sorted({("", ""), (project, ""), ("", key_id)})
        for resource, window in pairs
    ]


def limit_of(row: LimitRow | Row[*tuple[Any, ...]]) -> Limit:
    """A cap as the meter takes it."""
    whose = f"project {row.project} of team {row.tenant}" if row.project else f"key {row.key_id}" if row.key_id else f"team {row.tenant}"
    what = "parallel calls" if row.resource == "parallel" else f"{row.resource} {IN_WORDS[row.window]}"
    return Limit(id=row.id, resource=cast(Resource, row.resource), window=cast(Window, row.window), cap=row.cap, title=f"{what} of {whose}")


def team_unknown(tenant: str) -> NotFound:
    """The one answer for a team that is not there."""
    return NotFound(f"There is no team '{tenant}'.", code="team_unknown", remedy="List the teams with GET /v1/tenants.")


def check(wanted: Cap) -> None:
    """Raise InvalidInput with the code of the first field that cannot be."""
    if wanted.resource not in RESOURCES:
        raise InvalidInput(f"Nothing limits '{wanted.resource}'.", remedy=f"Use {', '.join(RESOURCES)}.", code="resource_invalid")
    _check_window(wanted)
    _check_cap(wanted)
    if wanted.project and wanted.key_id:
        raise InvalidInput("A limit binds a project or a key, not both.", remedy="Set one for each.", code="limit_whose_invalid")
    if wanted.project and not re.fullmatch(NAME_PATTERN, wanted.project):
        raise InvalidInput(f"'{wanted.project}' cannot be a project's name.", remedy="Correct it.", code="project_invalid")


def _check_window(wanted: Cap) -> None:
    fitting = [window for window in WINDOWS if (wanted.resource == "parallel") == (window == "now")]
    if wanted.window not in fitting:
        raise InvalidInput(
            f"{wanted.resource.capitalize()} cannot be limited by '{wanted.window}'.",
            remedy=f"Use {' or '.join(fitting)}.",
            code="window_invalid",
        )
    if (wanted.resource, wanted.window, wanted.project, wanted.key_id) == ("money", "total", "", ""):
        raise InvalidInput(
            "A team's money in all is its budget, not a limit.",
            remedy="Change it with PATCH /v1/tenants/{tenant}.",
            code="window_invalid",
        )


def _check_cap(wanted: Cap) -> None:
    if not wanted.cap.is_finite() or not 0 <= wanted.cap <= CAP_MAX:
        raise InvalidInput("A cap is zero or more, and below a hundred thousand million.", remedy="Correct the cap.", code="cap_invalid")
    if wanted.resource != "money" and wanted.cap != wanted.cap.to_integral_value():
        raise InvalidInput(f"A cap on {wanted.resource} is a whole number.", remedy="Correct the cap.", code="cap_invalid")
    if wanted.cap.as_tuple().exponent < -12:  # type: ignore[operator]  # a finite number's exponent is one
        raise InvalidInput("A cap has at most twelve digits after the point.", remedy="Correct the cap.", code="cap_invalid")
