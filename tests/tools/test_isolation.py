"""The tool over isolation: a team sees its walls and its audits, and never the other team's name."""

import pytest

from factory_infra.database import utcnow
from factory_infra.iaas.isolation.models import Attempt, AuditReport
from factory_infra.surfaces.audit import isolation_of
from tools.isolation import AuditArguments, audit
from tools.spec import ToolContext

pytestmark = pytest.mark.stack


def report(attacker: str, victim: str) -> AuditReport:
    tried = [Attempt(door="see", through="host", tried=f"look at {victim}", refused=False)]
    return AuditReport(pool="local", attacker=attacker, victim=victim, at=utcnow(), walls=[], attempts=tried)


async def test_walls_and_own_audits_are_told_without_the_other_team(context: ToolContext) -> None:
    isolation = isolation_of(context.factory)
    await isolation.keep(report("language", "vision"), "ann")
    await isolation.keep(report("language", "robotics"), "ann")
    told = await audit(context, AuditArguments())
    assert [(each.pool, each.tried, each.refused, each.holds) for each in told.audits] == [("local", 1, 0, False)]
    assert told.audits[0].came_through == ["see by host"]
    assert {wall.name for wall in told.pools[0].walls} >= {"files", "processes", "limits"}
    assert "language" not in told.model_dump_json()
