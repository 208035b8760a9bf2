"""Teams, their quotas and their keys."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, func, or_, select, update

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound
from factory_infra.iaas.leases.service import Leases
from factory_infra.notices import tell
from factory_infra.paas.tenants.models import (
    EVERY_KEY,
    EVERY_TERM,
    NAME_PATTERN,
    ApiKey,
    KeyFilter,
    KeyState,
    KeyTerms,
    Principal,
    Reporter,
    Role,
    Tenant,
)
from factory_infra.paas.tenants.proof import LONG_AGO, NO_KEY, PEPPERED, KeyProof, check, digest_of, fits, invalid_key, parted
from factory_infra.paas.tenants.tables import KeyRow, TenantRow

RESERVED_NAMES = {"shared", "all", "admin"}
KEYS_CHANNEL = "api_keys"
"""Told the id of each key that was made, changed or revoked."""
LIMITS_CHANNEL = "ledger_limits"
"""Told the name of each team whose budget or caps were changed."""
OVERLAP_SECONDS_MAX = 30 * 24 * 3600


class Tenants:
    """Teams and keys, in PostgreSQL; quotas are kept where they are enforced, with the leases."""

    def __init__(self, database: Database, leases: Leases, pepper: bytes) -> None:
        self._database = database
        self._leases = leases
        self.pepper = pepper

    async def create(self, name: str, *, quota_slots: int, budget: Decimal) -> Tenant:
        """Make a team. Raises InvalidInput for a bad name or a negative limit, Conflict when it exists."""
        if not re.fullmatch(NAME_PATTERN, name) or name in RESERVED_NAMES:
            raise InvalidInput(f"'{name}' cannot be a team's name.", remedy="Use up to 41 lower-case letters, digits and hyphens.")
        if quota_slots < 0 or budget < 0:
            raise InvalidInput("A quota and a budget cannot be negative.", remedy="Give zero or more.")
        async with self._database.transaction(lock=f"tenant/{name}") as session:
            if await session.get(TenantRow, name) is not None:
                raise Conflict(f"Team {name} exists already.", remedy="Change its limits with PATCH /v1/tenants/{name}.")
            session.add(TenantRow(name=name, budget=budget))
        await self._leases.set_quota(name, quota_slots)
        return await self.get(name)

    async def change(self, name: str, *, quota_slots: int | None = None, budget: Decimal | None = None) -> Tenant:
        """Set a team's limits; what is in use already stays in use. Raises NotFound, InvalidInput."""
        if (quota_slots is not None and quota_slots < 0) or (budget is not None and budget < 0):
            raise InvalidInput("A quota and a budget cannot be negative.", remedy="Give zero or more.")
        await self.get(name)
        async with self._database.transaction() as session:
            row = await session.get_one(TenantRow, name, with_for_update=True)
            row.budget = budget if budget is not None else row.budget
            await tell(session, LIMITS_CHANNEL, name)
        if quota_slots is not None:
            await self._leases.set_quota(name, quota_slots)
        return await self.get(name)

    async def get(self, name: str) -> Tenant:
        """Return a team. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(TenantRow, name)
        if row is None:
            raise NotFound(f"There is no team '{name}'.", code="team_unknown", remedy="List the teams with GET /v1/tenants.")
        return await self._tenant(row)

    async def list(self, only: str | None = None) -> list[Tenant]:
        """Return all teams by name, or only the one that the asker belongs to."""
        query = select(TenantRow).order_by(TenantRow.name)
        async with self._database.transaction() as session:
            rows = list(await session.scalars(query if only is None else query.where(TenantRow.name == only)))
        return [await self._tenant(row) for row in rows]

    async def _tenant(self, row: TenantRow) -> Tenant:
        quota = await self._leases.quota(row.name)
        return Tenant(name=row.name, budget=row.budget, quota_slots=quota, created_at=row.created_at)

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
            project=terms.project,
            models=sorted(terms.models) if terms.models is not None else None,
            scopes=sorted(terms.scopes),
            digest=digest_of(secret, self.pepper),
            created_at=utcnow(),
            expires_at=expires_at,
        )
        async with self._database.transaction() as session:
            session.add(row)
            await tell(session, KEYS_CHANNEL, key_id)
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
            row.digest = digest_of(secret, self.pepper)
            await tell(session, KEYS_CHANNEL, key_id)
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
            row.revoked_at = row.revoked_at or utcnow()
            await tell(session, KEYS_CHANNEL, key_id)

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
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(KeyRow.__table__).where(KeyRow.id == func.any(list(key_ids))))).all()
        return {row.id: (ApiKey.model_validate(row), proof_of(row)) for row in rows}

    async def renew(self, key_id: str, kept: str, secret: str) -> None:
        """Put a digest from before the pepper into today's form; the secret must be the one that fits it. Again changes nothing."""
        if kept.startswith(PEPPERED) or not fits(kept, secret, digest := digest_of(secret, self.pepper)):
            return
        query = update(KeyRow).where(KeyRow.id == key_id, KeyRow.digest == kept).values(digest=digest)
        async with self._database.transaction() as session:
            await session.execute(query)
            await tell(session, KEYS_CHANNEL, key_id)

    async def _key(self, key_id: str) -> KeyRow | None:
        async with self._database.transaction() as session:
            return await session.get(KeyRow, key_id)


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
    return Principal(key_id=row.id, name=row.name, role=Role(row.role), tenant=row.tenant)


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
