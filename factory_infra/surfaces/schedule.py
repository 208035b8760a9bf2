"""Audits on a schedule, in the worker."""

import asyncio

import structlog
from sqlalchemy.exc import OperationalError

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from factory_infra.surfaces.audit import Auditor, isolation_of
from factory_infra.surfaces.bait import TENANTS

log = structlog.get_logger("isolation")
LOOK_SECONDS = 600.0


async def audit_walls(factory: Factory) -> None:
    """Audit every pool once in `isolation_audit_seconds`, counted from the last audit of any worker; tell what came through."""
    every, began = factory.settings.isolation_audit_seconds, utcnow()
    while every > 0:
        await asyncio.sleep(min(LOOK_SECONDS, every))
        try:
            last = await isolation_of(factory).last() or began
            if (utcnow() - last).total_seconds() >= every:
                await audit_once(factory)
        except (LineshaftError, OperationalError) as error:
            log.warning("walls not audited", error=str(error))


async def audit_once(factory: Factory) -> None:
    """Audit now, between the two teams of audits."""
    for audit in await Auditor(factory).run(*TENANTS, "schedule"):
        through = [f"{each.through}: {each.tried}" for each in audit.report.attempts if not each.refused]
        if not audit.holds:
            log.error("a wall between teams does not hold", audit=audit.id, pool=audit.report.pool, through=through)
