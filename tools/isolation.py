"""Tools over isolation: which walls stand around a team, and what the last audit of them found."""

from pydantic import Field

from factory_infra.errors import LineshaftError
from factory_infra.iaas.isolation.models import Wall
from factory_infra.iaas.isolation.service import Audit, Isolation
from factory_infra.surfaces.audit import isolation_of
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext

AUDITS_MAX = 50


class AuditArguments(Arguments):
    """Which pool; every pool if empty."""

    pool: str = Field(default="", max_length=40)


class PoolWalls(Result):
    """The walls around the team in one pool."""

    pool: str
    walls: list[Wall]
    note: str = ""


class AuditLine(Result):
    """One audit that the team took part in; the other team is not named."""

    pool: str
    at: str
    holds: bool
    tried: int
    refused: int
    came_through: list[str] = Field(description="What was not refused: each is a wall to mend.")


class AuditResult(Result):
    """The walls around a team, and the audits of them."""

    pools: list[PoolWalls]
    audits: list[AuditLine]


async def audit(context: ToolContext, arguments: AuditArguments) -> AuditResult:
    """Show which walls stand around the team in each pool, and what the last audits by attack found. An administrator starts an audit."""
    isolation = isolation_of(context.factory)
    pool = context.factory.pools.named(arguments.pool).name if arguments.pool else None
    pools = [await walls_of(isolation, name, context.tenant) for name in ([pool] if pool else isolation.pools())]
    kept = await isolation.list(context.tenant, pool, limit=AUDITS_MAX)
    return AuditResult(pools=pools, audits=[audit_line(each) for each in kept])


async def walls_of(isolation: Isolation, pool: str, tenant: str) -> PoolWalls:
    """One pool's walls; a pool that does not answer says so."""
    try:
        return PoolWalls(pool=pool, walls=await isolation.walls(pool, tenant))
    except LineshaftError as error:
        return PoolWalls(pool=pool, walls=[], note=error.reason)


def audit_line(kept: Audit) -> AuditLine:
    """Shape an audit for a reader of one of its two teams."""
    attempts = kept.report.attempts
    through = [f"{each.door} by {each.through}" for each in attempts if not each.refused]
    return AuditLine(
        pool=kept.report.pool,
        at=kept.report.at.isoformat(),
        holds=kept.holds,
        tried=len(attempts),
        refused=len(attempts) - len(through),
        came_through=sorted(set(through)),
    )


TOOLS = (Tool("isolation.audit", Effect.READ, AuditArguments, AuditResult, audit),)
