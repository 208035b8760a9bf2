"""Teams, their quotas and their keys."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select, update

from factory_infra.database import Database, utcnow, widened
from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound
from factory_infra.notices import tell
from factory_infra.paas.tenants.channels import DIRECTORY_CHANNEL, KEYS_CHANNEL, LIMITS_CHANNEL, WHO
from factory_infra.paas.tenants.models import (
    EVERY_KEY,
    EVERY_TERM,
    NAME_PATTERN,
    PLATFORM,
    ApiKey,
    KeyFilter,
    KeyState,
    KeyTerms,
    Principal,
    Reporter,
    Role,
    Tenant,
)
from factory_infra.paas.tenants.organisations import check_revision, open_team
from factory_infra.paas.tenants.proof import LONG_AGO, NO_KEY, PEPPERED, KeyProof, check, fits, invalid_key, parted
from factory_infra.paas.tenants.proof import digest_of as secret_digest
from factory_infra.paas.tenants.tables import KeyRow, TenantRow
from factory_infra.paas.tenants.teams import (
    UNNAMED,
    Naming,
    check_limits,
    check_organisation,
    live_things,
    put_quota,
    quota_of,
    slots_held,
    team_entry,
    team_of,
)
from factory_infra.records.audit import NewEntry, digest_of, write

RESERVED_NAMES = {"shared", "all", "admin"}
OVERLAP_SECONDS_MAX = 30 * 24 * 3600


class Tenants:
    """Teams and keys, in PostgreSQL; quotas lie where they are enforced, with the leases."""

    def __init__(self, database: Database, pepper: bytes) -> None:
        self._database = database
        self.pepper = pepper

    async def create(self, name: str, *, quota_slots: int, budget: Decimal, naming: Naming = UNNAMED) -> Tenant:
        """Make a team. Raises InvalidInput for a bad name or a negative limit, NotFound for its organisation, Conflict when it exists."""
        if not re.fullmatch(NAME_PATTERN, name) or name in RESERVED_NAMES:
            remedy = "Use up to 41 lower-case letters, digits and hyphens; what people call it in another script is its title."
            raise InvalidInput(f"'{name}' cannot be a team's name.", remedy=remedy)
        check_limits(quota_slots, budget)
        async with self._database.transaction(lock=f"tenant/{name}", whole=True) as session:
            if await session.get(TenantRow, name) is not None:
                raise Conflict(f"Team {name} exists already.", remedy="Change its limits with PATCH /v1/tenants/{name}.")
            await check_organisation(session, naming.organisation)
            row = TenantRow(name=name, budget=budget, title=naming.title or "", organisation=naming.organisation or None)
            session.add(row)
            await session.flush()
            await put_quota(session, name, quota_slots)
            made = team_of(row, quota_slots)
            await write(session, team_entry("create", name, after=digest_of(made)))
            return made

    async def change(self, name: str, *, quota_slots: int | None = None, budget: Decimal | None = None, naming: Naming = UNNAMED) -> Tenant:
        """Set a team's limits and names; what is in use already stays in use, and the answer says where that is more than the quota.

        Raises NotFound, InvalidInput, Conflict where somebody changed it since the revision that is named.
        """
        check_limits(quota_slots, budget)
        before = await self.get(name)
        async with self._database.transaction(lock=f"tenant/{name}", whole=True) as session:
            row = await open_team(session, name, held=True)
            check_revision(f"Team {name}", row.revision, naming.revision)
            await check_organisation(session, naming.organisation)
            row.budget = budget if budget is not None else row.budget
            row.title = row.title if naming.title is None else naming.title
            row.organisation = row.organisation if naming.organisation is None else naming.organisation or None
            row.revision += 1
            await tell(session, LIMITS_CHANNEL, name)
            await tell(session, DIRECTORY_CHANNEL, WHO)
            quota = before.quota_slots if quota_slots is None else quota_slots
            if quota_slots is not None:
                await put_quota(session, name, quota_slots)
            made = team_of(row, quota)
            await write(session, team_entry("change", name, before=digest_of(before), after=digest_of(made)))
        return made.model_copy(update={"note": await self._over(name, quota) if quota_slots is not None else ""})

    async def _over(self, name: str, quota: int) -> str:
        """Say so where a team holds more than it may now."""
        async with self._database.transaction(whole=True) as session:
            held = await slots_held(session, name)
        return f"Team {name} holds {held} slots, more than its quota of {quota}: they stay until they end." if held > quota else ""

    async def close(self, name: str, revision: int | None = None) -> Tenant:
        """Close a team: its keys end at once, nothing of it begins any more, and its records remain. Twice is no error.

        Raises NotFound, and Conflict that names what is live: leases, jobs, endpoints, clusters, runs. Who knows them ends them first.
        """
        if name == PLATFORM:
            raise Conflict("The administrators' own team cannot be closed.", remedy="Leave it.")
        async with self._database.transaction(lock="leases", whole=True) as session:
            row = await session.get(TenantRow, name, with_for_update=True)
            if row is None:
                raise team_unknown(name)
            if row.closed_at is None:
                check_revision(f"Team {name}", row.revision, revision)
                if live := await live_things(session, name):
                    remedy = "Release, cancel or remove them first."
                    raise Conflict(f"Team {name} has what is live: {'; '.join(live)}.", remedy=remedy, code="team_in_use")
                before = digest_of(team_of(row, 0))
                row.closed_at, row.revision = utcnow(), row.revision + 1
                await put_quota(session, name, 0)
                ended = update(KeyRow).where(KeyRow.tenant == name, KeyRow.revoked_at.is_(None)).values(revoked_at=utcnow())
                for key_id in await session.scalars(ended.returning(KeyRow.id)):
                    await tell(session, KEYS_CHANNEL, key_id)
                await tell(session, LIMITS_CHANNEL, name)
                await tell(session, DIRECTORY_CHANNEL, WHO)
                await write(session, team_entry("delete", name, before=before, after=digest_of(team_of(row, 0))))
            return team_of(row, 0)

    async def get(self, name: str) -> Tenant:
        """Return a team. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(TenantRow, name)
        if row is None:
            raise team_unknown(name)
        return await self._tenant(row)

    async def list(self, only: str | None = None) -> list[Tenant]:
        """Return all teams by name, or only the one that the asker belongs to."""
        query = select(TenantRow).order_by(TenantRow.name)
        async with self._database.transaction() as session:
            rows = list(await session.scalars(query if only is None else query.where(TenantRow.name == only)))
        return [await self._tenant(row) for row in rows]

    async def _tenant(self, row: TenantRow) -> Tenant:
        async with self._database.transaction() as session:
            return team_of(row, await quota_of(session, row.name))

    async def issue_key(
        self, tenant: str | None, name: str, role: Role, expires_at: datetime | None = None, terms: KeyTerms = EVERY_TERM
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret, which is never to be had again. Raises NotFound for an unknown team, InvalidInput."""
        if tenant is not None:
            await self.get(tenant)
        if (tenant is None) != (role is Role.ADMIN):
            raise InvalidInput("An admin key belongs to no team, every other key to one.", remedy="Name a team, or the role admin.")
        if terms.project and not re.fullmatch(NAME_PATTERN, terms.project):
            raise InvalidInput(
                f"'{terms.project}' cannot be a project's name.",
                remedy="Use up to 41 lower-case letters, digits and hyphens.",
                code="project_invalid",
            )
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = KeyRow(
            id=key_id,
            tenant=tenant,
            name=name,
            role=role.value,
            custom_role=terms.custom_role,
            account=terms.account,
            project=terms.project,
            models=sorted(terms.models) if terms.models is not None else None,
            scopes=sorted(terms.scopes),
            digest=secret_digest(secret, self.pepper),
            created_at=utcnow(),
            expires_at=expires_at,
        )
        async with self._database.transaction() as session:
            if tenant is not None:
                async with widened(session):
                    await open_team(session, tenant, held=True)  # a team that is closed at this moment gets no key any more
            session.add(row)
            await tell(session, KEYS_CHANNEL, key_id)
            await session.flush()
            await write(session, key_entry("create", row, after=digest_of(ApiKey.model_validate(row))))
        return ApiKey.model_validate(row), f"ls_{key_id}_{secret}"

    async def rotate_key(self, key_id: str, overlap_seconds: int) -> tuple[ApiKey, str]:
        """Give a key a new secret and return both; the secret before stays good until the overlap ends, one older than that ends now.

        Raises NotFound, Conflict for a key that was revoked or has expired, InvalidInput for an overlap that cannot be.
        """
        if not 0 <= overlap_seconds <= OVERLAP_SECONDS_MAX:
            raise InvalidInput(
                f"An overlap of {overlap_seconds} seconds cannot be.",
                remedy=f"Name 0 to {OVERLAP_SECONDS_MAX} seconds.",
                code="overlap_invalid",
            )
        secret = secrets.token_urlsafe(32)
        async with self._database.transaction() as session:
            row = await session.get(KeyRow, key_id, with_for_update=True)
            if row is None:
                raise key_unknown(key_id)
            if ApiKey.model_validate(row).state is not KeyState.ACTIVE:
                raise Conflict(f"Key {key_id} is {ApiKey.model_validate(row).state} already.", remedy="Make a new key.")
            row.digest_old = row.digest if overlap_seconds else None
            row.old_until = utcnow() + timedelta(seconds=overlap_seconds) if overlap_seconds else None
            before = digest_of(ApiKey.model_validate(row))
            row.digest = secret_digest(secret, self.pepper)
            await tell(session, KEYS_CHANNEL, key_id)
            await write(session, key_entry("rotate", row, before=before, after=digest_of(ApiKey.model_validate(row))))
        return ApiKey.model_validate(row), f"ls_{key_id}_{secret}"

    async def keys(self, tenant: str | None, wanted: KeyFilter = EVERY_KEY, limit: int = 100, offset: int = 0) -> Sequence[ApiKey]:
        """Return the keys of a team, or of all for an administrator, without their secrets, oldest first."""
        query = select(KeyRow).order_by(KeyRow.created_at, KeyRow.id).limit(limit).offset(offset)
        query = query.where(KeyRow.tenant == tenant) if tenant is not None else query
        query = query.where(KeyRow.project == wanted.project) if wanted.project is not None else query
        query = query.where(in_state(wanted.state)) if wanted.state is not None else query
        async with self._database.transaction() as session:
            return [ApiKey.model_validate(row) for row in await session.scalars(query)]

    async def key(self, key_id: str, tenant: str | None) -> ApiKey:
        """Return a key of a team, or any for an administrator. Raises NotFound, alike for an absent and another team's key."""
        row = await self._key(key_id)
        if row is None or (tenant is not None and row.tenant != tenant):
            raise key_unknown(key_id)
        return ApiKey.model_validate(row)

    async def revoke_key(self, key_id: str) -> None:
        """End a key at once, in every process: who remembers it is told. Raises NotFound; twice is no error."""
        async with self._database.transaction() as session:
            row = await session.get(KeyRow, key_id, with_for_update=True)
            if row is None:
                raise key_unknown(key_id)
            before = digest_of(ApiKey.model_validate(row))
            row.revoked_at = row.revoked_at or utcnow()
            await tell(session, KEYS_CHANNEL, key_id)
            await write(session, key_entry("delete", row, before=before, after=digest_of(ApiKey.model_validate(row))))

    async def authenticate(self, key: str) -> Principal:
        """Tell whom a key stands for at the API. Raises Unauthenticated, in the same words for every reason; Forbidden without `manage`."""
        key_id, secret = parted(key)
        row = await self._key(key_id)
        check(proof_of(row), secret, self.pepper)
        if row is None:
            raise invalid_key()
        await self.renew(key_id, row.digest, secret)
        return managing(row)

    async def reporter(self, key: str) -> Reporter:
        """Tell whom a key stands for at the door where nodes report: an administrator or a node. Raises Unauthenticated, Forbidden."""
        key_id, secret = parted(key)
        row = await self._key(key_id)
        check(proof_of(row), secret, self.pepper)
        if row is None:
            raise invalid_key()
        if row.tenant is not None or not {"manage", "nodes"} & set(row.scopes):
            remedy = "Use a node's key: 'lineshaft keys make NAME --role admin --scope nodes --project POOL'."
            raise Forbidden("This key may not report as a node.", remedy=remedy, code="scope_missing")
        return Reporter(actor=f"{row.name} ({row.id})", pool=None if "manage" in row.scopes else row.project or None)

    async def principal_of(self, key_id: str) -> Principal:
        """Tell whom a key stands for that was shown before, by its id. Raises Unauthenticated once it was revoked or has expired."""
        row = await self._key(key_id)
        ends_at = proof_of(row).ends_at
        if row is None or (ends_at is not None and ends_at <= utcnow()):
            raise invalid_key()
        return managing(row)

    async def known_keys(self, key_ids: Sequence[str]) -> dict[str, tuple[ApiKey, KeyProof]]:
        """Return those of some keys that exist, each with what its secret is checked by: for who remembers keys."""
        async with self._database.reading(whole=True) as connection:
            rows = (await connection.execute(select(KeyRow.__table__).where(KeyRow.id == func.any(list(key_ids))))).all()
        return {row.id: (ApiKey.model_validate(row), proof_of(row)) for row in rows}

    async def renew(self, key_id: str, kept: str, secret: str) -> None:
        """Put a digest from before the pepper into today's form; the secret must be the one that fits it. Again changes nothing."""
        if kept.startswith(PEPPERED) or not fits(kept, secret, digest := secret_digest(secret, self.pepper)):
            return
        query = update(KeyRow).where(KeyRow.id == key_id, KeyRow.digest == kept).values(digest=digest)
        async with self._database.transaction(whole=True) as session:
            await session.execute(query)
            await tell(session, KEYS_CHANNEL, key_id)

    async def _key(self, key_id: str) -> KeyRow | None:
        """A key's row, whoever's it is: it is what says who asks, before anything can be narrowed to a team."""
        async with self._database.transaction(whole=True) as session:
            return await session.get(KeyRow, key_id)


def team_unknown(name: str) -> NotFound:
    """The one answer for a team that is absent, or another's."""
    return NotFound(f"There is no team '{name}'.", code="team_unknown", remedy="List the teams with GET /v1/tenants.")


def key_entry(action: str, row: KeyRow, *, before: str = "", after: str = "") -> NewEntry:
    """What the audit log is told of a key; its secret is in no digest."""
    return NewEntry(action=f"keys:{action}", object=f"key/{row.id}", tenant=row.tenant, before=before, after=after)


def key_unknown(key_id: str) -> NotFound:
    """The one answer for a key that is absent or another team's."""
    return NotFound(f"There is no key {key_id}.", code="key_unknown", remedy="List the keys with GET /v1/keys.")


def proof_of(row: KeyRow | Row[*tuple[Any, ...]] | None) -> KeyProof:
    """What a key's secret is checked by; what nobody's secret fits where there is no key."""
    if row is None:
        return NO_KEY
    ends_at = LONG_AGO if row.revoked_at is not None else row.expires_at
    return KeyProof(digest=row.digest, digest_old=row.digest_old, old_until=row.old_until, ends_at=ends_at)


def managing(row: KeyRow) -> Principal:
    """Return the principal of a key that may use the API. Raises Forbidden for one that may only call models."""
    if "manage" not in row.scopes:
        raise Forbidden("This key may call models only.", remedy="Use a key with the scope manage.", code="scope_missing")
    return Principal(key_id=row.id, name=row.name, role=Role(row.role), tenant=row.tenant, custom_role=row.custom_role, project=row.project)


def in_state(state: KeyState) -> ColumnElement[bool]:
    """The keys that are in a state now."""
    over = KeyRow.expires_at <= func.now()
    match state:
        case KeyState.REVOKED:
            return KeyRow.revoked_at.is_not(None)
        case KeyState.EXPIRED:
            return KeyRow.revoked_at.is_(None) & over
        case KeyState.ACTIVE:
            return KeyRow.revoked_at.is_(None) & or_(KeyRow.expires_at.is_(None), ~over)
