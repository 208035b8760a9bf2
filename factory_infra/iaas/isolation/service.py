"""Audits of the walls between two tenants in a pool: run, kept, listed."""

import secrets
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import or_, select

from factory_infra.database import Database, utcnow
from factory_infra.errors import InvalidInput, NotFound
from factory_infra.iaas.isolation.models import Attempt, AuditReport, Wall
from factory_infra.iaas.isolation.registry import WallPools
from factory_infra.iaas.isolation.tables import AuditRow

DOORS_POOL = "control-plane"
"""In place of a pool's name: the doors that all pools share (REST, gateway, MCP, command line)."""
PAGE_MAX = 500


class Audit(BaseModel):
    """One audit as it is kept."""

    id: str
    asked_by: str
    holds: bool
    report: AuditReport


class Isolation:
    """Attacks the walls of pools, and keeps what came of it.

    Args:
        database: where the reports are kept.
        walls: the walls of every pool.
    """

    def __init__(self, database: Database, walls: WallPools) -> None:
        self._database = database
        self._walls = walls

    def pools(self) -> list[str]:
        """Every pool that can be audited."""
        return self._walls.names()

    async def walls(self, pool: str, tenant: str) -> list[Wall]:
        """Tell which walls stand around a tenant in a pool. Raises NotFound."""
        return await self._walls.of(pool).check(tenant)

    async def audit(self, pool: str, attacker: str, victim: str, asked_by: str) -> Audit:
        """Put up both tenants' walls in a pool, attack them through the pool's own door, keep and return the report.

        Raises NotFound for a pool that is not there, InvalidInput for one tenant against itself, and what the engine raises.
        """
        check_pair(attacker, victim)
        walls = self._walls.of(pool)
        await walls.ensure(attacker)
        stand = await walls.ensure(victim)
        attempts = await walls.attack(attacker, victim)
        return await self.keep(
            AuditReport(pool=pool, attacker=attacker, victim=victim, at=utcnow(), walls=stand, attempts=attempts), asked_by
        )

    async def audit_doors(self, pair: tuple[str, str], attempts: list[Attempt], asked_by: str) -> Audit:
        """Keep what was tried through the doors that all pools share."""
        report = AuditReport(pool=DOORS_POOL, attacker=pair[0], victim=pair[1], at=utcnow(), walls=[], attempts=attempts)
        return await self.keep(report, asked_by)

    async def keep(self, report: AuditReport, asked_by: str) -> Audit:
        """Write a report, and return it under its id."""
        kept = Audit(id=f"audit-{secrets.token_hex(8)}", asked_by=asked_by[:128], holds=report.holds, report=report)
        row = AuditRow(
            id=kept.id,
            pool=report.pool,
            attacker=report.attacker,
            victim=report.victim,
            at=report.at,
            holds=kept.holds,
            asked_by=kept.asked_by,
            report=report.model_dump(mode="json"),
        )
        async with self._database.transaction() as session:
            session.add(row)
        return kept

    async def list(self, tenant: str | None = None, pool: str | None = None, limit: int = 100, offset: int = 0) -> "list[Audit]":
        """Return audits, newest first: all, or those that a tenant took part in."""
        query = select(AuditRow).order_by(AuditRow.at.desc()).limit(min(limit, PAGE_MAX)).offset(offset)
        if tenant is not None:
            query = query.where(or_(AuditRow.attacker == tenant, AuditRow.victim == tenant))
        if pool is not None:
            query = query.where(AuditRow.pool == pool)
        async with self._database.transaction() as session:
            return [audit_of(row) for row in await session.scalars(query)]

    async def get(self, audit_id: str) -> Audit:
        """Return one audit. Raises NotFound."""
        async with self._database.transaction() as session:
            row = await session.get(AuditRow, audit_id)
        if row is None:
            raise NotFound(
                f"There is no audit {audit_id[:64]!r}.", remedy="List them with 'lineshaft isolation list'.", code="audit_unknown"
            )
        return audit_of(row)

    async def last(self) -> datetime | None:
        """When the newest audit was made."""
        async with self._database.transaction() as session:
            return await session.scalar(select(AuditRow.at).order_by(AuditRow.at.desc()).limit(1))


def audit_of(row: AuditRow) -> Audit:
    """An audit from its row."""
    return Audit(id=row.id, asked_by=row.asked_by, holds=row.holds, report=AuditReport.model_validate(row.report))


def check_pair(attacker: str, victim: str) -> None:
    """Raise InvalidInput where a tenant would attack itself."""
    if attacker == victim:
        raise InvalidInput(f"Team {attacker} cannot be audited against itself.", remedy="Name two teams.", code="audit_pair")
