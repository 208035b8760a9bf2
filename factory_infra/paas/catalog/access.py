"""Access to what another team owns: asked for, decided by its owners, granted for a time, taken back; every step is in the audit log."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Forbidden, NotFound
from factory_infra.paas.catalog.access_models import DECIDE_DAYS, AccessRequest, AccessState, NewAccess
from factory_infra.paas.catalog.models import SHARED, CatalogEntry, Viewer
from factory_infra.paas.catalog.service import Catalog
from factory_infra.paas.catalog.tables import AccessRow
from factory_infra.paas.tenants.tables import TenantRow
from factory_infra.records.audit import NewEntry, digest_of, write

MOVES: dict[AccessState, tuple[AccessState, ...]] = {
    AccessState.ASKED: (AccessState.GRANTED, AccessState.REFUSED, AccessState.WITHDRAWN, AccessState.LAPSED),
    AccessState.GRANTED: (AccessState.REVOKED, AccessState.EXPIRED, AccessState.WITHDRAWN),
}


class AccessBook:
    """Keeps requests and grants. What is granted is seen at once, and no longer than until it expires, whether or not a worker runs."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog

    async def ask(self, viewer: Viewer, tenant: str, wanted: NewAccess) -> AccessRequest:
        """Keep a team's wish; while one is open, or granted, it is that one. Raises NotFound, Conflict `access_not_needed`."""
        entry = await self._catalog.get(wanted.entry_id, viewer)
        granted = await self._granted(tenant, entry.id)
        if entry.tenant in (tenant, SHARED) or (entry.access == "open" and not granted):
            raise Conflict(f"Team {tenant} may use '{entry.id}' already.", code="access_not_needed", remedy="Use it.")
        async with self._database.transaction(lock=f"access/{tenant}/{entry.id}", whole=True) as session:
            row = await session.scalar(_open(tenant, entry.id))
            if row is None:
                row = _asked(tenant, entry, wanted, viewer.actor, await session.scalar(_count(tenant, entry.id)) or 0)
                session.add(row)
                await session.flush()
                await self._told(session, row, "access-requests:create", "", viewer.actor)
            return AccessRequest.model_validate(row)

    async def share(self, entry_id: str, owner: Viewer, team: str, days: int, reason: str) -> AccessRequest:
        """Grant an entry to a team that did not ask; the owner's own act. Raises NotFound, Conflict where it is its own already."""
        entry = await self._catalog.get(entry_id, owner)
        if owner.teams is not None and entry.tenant not in owner.teams:
            raise NotFound(f"The catalog has no entry '{entry_id}' of yours.", code="entry_unknown", remedy="Share what your team owns.")
        if team == entry.tenant or entry.tenant == SHARED:
            raise Conflict(f"Team {team} may use '{entry.id}' already.", code="access_not_needed", remedy="Use it.")
        async with self._database.transaction(lock=f"access/{team}/{entry.id}", whole=True) as session:
            await _check_neighbour(session, entry.tenant, team, everybody=owner.teams is None)
            row = await session.scalar(_open(team, entry.id))
            if row is None:
                wanted = NewAccess(entry_id=entry.id, reason=reason, days=days)
                row = _asked(team, entry, wanted, owner.actor, await session.scalar(_count(team, entry.id)) or 0)
                session.add(row)
            if row.state == AccessState.ASKED:
                _grant(row, owner.actor, reason, days)
                await session.flush()
                await self._told(session, row, "access-requests:share", "", owner.actor)
                await self._catalog.touch(session, entry.id)
            return AccessRequest.model_validate(row)

    async def get(self, request_id: str, tenant: str | None) -> AccessRequest:
        """Return a request of this team, or for what it owns. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(AccessRow, request_id)
        if row is None or (tenant is not None and tenant not in (row.tenant, row.owner_tenant)):
            raise unknown(request_id)
        return AccessRequest.model_validate(row)

    async def list(
        self, tenant: str | None, side: str = "both", state: AccessState | None = None, limit: int = 100, offset: int = 0
    ) -> Sequence[AccessRequest]:
        """Return requests, newest first: those that a team made (`asked`), those that it decides (`owned`), or both."""
        query = select(AccessRow).order_by(AccessRow.asked_at.desc(), AccessRow.id).limit(limit).offset(offset)
        sides = {"asked": [AccessRow.tenant], "owned": [AccessRow.owner_tenant]}.get(side, [AccessRow.tenant, AccessRow.owner_tenant])
        if tenant is not None:
            query = query.where(or_(*(column == tenant for column in sides)))
        if state is not None:
            query = query.where(AccessRow.state == state.value)
        async with self._database.transaction() as session:
            return [AccessRequest.model_validate(row) for row in await session.scalars(query)]

    async def check_decider(self, request: AccessRequest, decider: Viewer, *, approver: bool) -> None:
        """Raise Forbidden unless they may decide: approvers of the team that owns it, and whoever the entry names as its owner."""
        owns = decider.teams is None or request.owner_tenant in decider.teams
        if owns and (approver or (await self._catalog.get(request.entry_id, decider)).owner == decider.actor):
            return
        raise Forbidden(
            f"Request {request.id} is decided by team {request.owner_tenant}.", remedy="Ask its owner or an approver of that team."
        )

    async def move(self, request_id: str, to: AccessState, by: str, reason: str = "") -> AccessRequest:
        """Move a request on. Idempotent: to where it is already changes nothing. Raises NotFound, Conflict for what cannot follow.

        Who may do so, the caller has checked.
        """
        async with self._database.transaction(whole=True) as session:
            row = await session.get(AccessRow, request_id, with_for_update=True)
            if row is None:
                raise unknown(request_id)
            state, before = AccessState(row.state), digest_of(AccessRequest.model_validate(row))
            if state is to:
                return AccessRequest.model_validate(row)
            if to not in MOVES.get(state, ()):
                raise Conflict(f"Request {row.id} is {state.value} already.", code="access_decided", remedy="Read it; ask anew.")
            if to is AccessState.GRANTED:
                _grant(row, by, reason, row.days)
            else:
                row.state, row.decision = to.value, reason[:1000]
                row.decided_by, row.decided_at = by, utcnow()
            await session.flush()
            await self._told(session, row, f"access-requests:{to.value}", before, by)
            await self._catalog.touch(session, row.entry_id)
            return AccessRequest.model_validate(row)

    async def remind(self, request_id: str, number: int) -> AccessRequest:
        """Note that the owners were reminded so many times. Idempotent."""
        async with self._database.transaction(whole=True) as session:
            row = await session.get(AccessRow, request_id, with_for_update=True)
            if row is None:
                raise unknown(request_id)
            row.reminders = max(row.reminders, number)
            return AccessRequest.model_validate(row)

    async def granted(self, tenant: str | None, entry_id: str) -> bool:
        """Whether a team holds a grant of an entry now, whoever asks."""
        return tenant is not None and await self._granted(tenant, entry_id)

    async def _granted(self, tenant: str, entry_id: str) -> bool:
        query = _open(tenant, entry_id).where(AccessRow.state == AccessState.GRANTED.value)
        async with self._database.transaction(whole=True) as session:
            return await session.scalar(query) is not None

    async def _told(self, session: AsyncSession, row: AccessRow, action: str, before: str, by: str) -> None:
        """Both teams find it in their logs."""
        after = digest_of(AccessRequest.model_validate(row))
        for team in (row.tenant, row.owner_tenant):
            entry = NewEntry(action=action, object=f"access/{row.id}", tenant=team, before=before, after=after, actor=by)
            await write(session, entry)


def unknown(request_id: str) -> NotFound:
    """No such request, or not this team's."""
    return NotFound(f"There is no access request {request_id}.", code="access_unknown", remedy="List them with GET /v1/access-requests.")


def _open(tenant: str, entry_id: str) -> Select[AccessRow]:
    alive = or_(
        AccessRow.state == AccessState.ASKED.value, (AccessRow.state == AccessState.GRANTED.value) & (AccessRow.expires_at > func.now())
    )
    return select(AccessRow).where(AccessRow.tenant == tenant, AccessRow.entry_id == entry_id, alive).limit(1)


def _count(tenant: str, entry_id: str) -> Select[int]:
    return select(func.count()).select_from(AccessRow).where(AccessRow.tenant == tenant, AccessRow.entry_id == entry_id)


def _asked(tenant: str, entry: CatalogEntry, wanted: NewAccess, by: str, number: int) -> AccessRow:
    name = hashlib.sha256(f"{tenant}\n{entry.id}\n{number}".encode()).hexdigest()[:20]
    now: datetime = utcnow()
    return AccessRow(
        id=f"access-{name}",
        tenant=tenant,
        owner_tenant=entry.tenant,
        entry_id=entry.id,
        entry_name=entry.name,
        state=AccessState.ASKED.value,
        reason=wanted.reason,
        days=wanted.days,
        asked_by=by[:160],
        asked_at=now,
        decide_by=now + timedelta(days=DECIDE_DAYS),
        decided_by="",
        decision="",
        reminders=0,
    )


def _grant(row: AccessRow, by: str, reason: str, days: int) -> None:
    now = utcnow()
    row.state, row.decided_by, row.decided_at, row.decision = AccessState.GRANTED.value, by[:160], now, reason[:1000]
    row.days, row.expires_at = days, now + timedelta(days=days)


async def _check_neighbour(session: AsyncSession, owner: str, team: str, *, everybody: bool) -> None:
    """A team may share with teams of its organisation; that others are there, it is not told. Raises NotFound."""
    groups = {
        row.name: row
        for row in await session.execute(
            select(TenantRow.name, TenantRow.organisation).where(TenantRow.name.in_([owner, team]), TenantRow.closed_at.is_(None))
        )
    }
    there = team in groups and owner in groups
    if not there or not (everybody or (groups[team].organisation is not None and groups[team].organisation == groups[owner].organisation)):
        raise NotFound(
            f"There is no team '{team}' in your organisation.", code="team_unknown", remedy="Name a team of it, or ask an administrator."
        )
