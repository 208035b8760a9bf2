"""Teams, their quotas and their keys."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select

from factory_infra.database import Database, utcnow
from factory_infra.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from factory_infra.iaas.leases.service import Leases
from factory_infra.paas.tenants.models import NAME_PATTERN, ApiKey, Principal, Role, Tenant
from factory_infra.paas.tenants.tables import KeyRow, TenantRow

KEY_PATTERN = re.compile(r"^ls_([0-9a-f]{12})_([A-Za-z0-9_-]{43})$")
RESERVED_NAMES = {"shared", "all", "admin"}


def digest_of(secret: str) -> str:
    """SHA-256 of a secret: enough for 256 random bits, which no dictionary holds."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Tenants:
    """Teams and keys, in PostgreSQL; quotas are kept where they are enforced, with the leases."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

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

    async def issue_key(self, tenant: str | None, name: str, role: Role, expires_at: datetime | None = None) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret, which is never to be had again. Raises NotFound for an unknown team."""
        if tenant is not None:
            await self.get(tenant)
        if (tenant is None) != (role is Role.ADMIN):
            raise InvalidInput("An admin key belongs to no team, every other key to one.", remedy="Name a team, or the role admin.")
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = KeyRow(
            id=key_id, tenant=tenant, name=name, role=role.value, digest=digest_of(secret), created_at=utcnow(), expires_at=expires_at
        )
        async with self._database.transaction() as session:
            session.add(row)
        return ApiKey.model_validate(row), f"ls_{key_id}_{secret}"

    async def keys(self, tenant: str | None) -> Sequence[ApiKey]:
        """Return the keys of a team, or all for an administrator, without their secrets."""
        query = select(KeyRow).order_by(KeyRow.created_at)
        async with self._database.transaction() as session:
            rows = await session.scalars(query if tenant is None else query.where(KeyRow.tenant == tenant))
            return [ApiKey.model_validate(row) for row in rows]

    async def revoke_key(self, key_id: str) -> None:
        """End a key at once, in every process: it is looked up at each request. Raises NotFound; twice is no error."""
        async with self._database.transaction() as session:
            row = await session.get(KeyRow, key_id, with_for_update=True)
            if row is None:
                raise NotFound(f"There is no key {key_id}.")
            row.revoked_at = row.revoked_at or utcnow()

    async def authenticate(self, key: str) -> Principal:
        """Tell whom a key stands for. Raises Unauthenticated, in the same words for every reason."""
        match = KEY_PATTERN.fullmatch(key)
        row = await self._key(match[1]) if match else None
        if match is None or not hmac.compare_digest(row.digest if row else "", digest_of(match[2])):
            raise invalid_key()
        return standing(row)

    async def principal_of(self, key_id: str) -> Principal:
        """Tell whom a key stands for that was shown before, by its id. Raises Unauthenticated once it was revoked or has expired."""
        return standing(await self._key(key_id))

    async def _key(self, key_id: str) -> KeyRow | None:
        async with self._database.transaction() as session:
            return await session.get(KeyRow, key_id)


def invalid_key() -> Unauthenticated:
    """The one refusal of every key that is not valid."""
    return Unauthenticated("The key is not valid.", remedy="Send a key that is neither revoked nor expired as 'Authorization: Bearer …'.")


def standing(row: KeyRow | None) -> Principal:
    """Return the principal of a key that still stands. Raises Unauthenticated."""
    if row is None or row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= utcnow()):
        raise invalid_key()
    return Principal(key_id=row.id, name=row.name, role=Role(row.role), tenant=row.tenant)
