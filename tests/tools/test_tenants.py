"""Tools over teams: projects made once and undone, quotas and changes read, of the own team only."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from agents.wording import word
from factory_infra.errors import PostconditionFailed
from factory_infra.iaas.leases.pool_quotas import PoolQuota
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tools import tenants
from tools.spec import ToolContext
from tools.tenants import ChangesArguments, ProjectArguments, ShowArguments

pytestmark = pytest.mark.stack
WANTED = ProjectArguments(project="reader", title="Читатель")


@pytest.fixture
async def context(connected: Settings) -> AsyncIterator[ToolContext]:
    factory = factory_with_slots(connected, 2)
    for name in ("vision", "speech"):
        await factory.tenants.create(name, quota_slots=2, budget=Decimal(5))
    yield ToolContext(factory, "vision", "ann", "plan-1/a")
    await factory.close()


async def test_a_project_is_made_once_verified_and_undone(context: ToolContext) -> None:
    raw = WANTED.model_dump()
    assert (await tenants.dry_run_project(context, raw)).feasible
    made = await tenants.add_project(context, WANTED)
    assert await tenants.add_project(context, WANTED) == made
    await tenants.verify_project(context, WANTED, made)
    assert not (await tenants.dry_run_project(context, raw)).feasible
    listed = await tenants.list_projects(context, ShowArguments())
    assert word("tenants.projects", listed.model_dump(mode="json")) == "The team's projects: reader (Читатель)."
    assert await tenants.undo_project(context, WANTED, made) == "project reader is removed"
    assert await tenants.undo_project(context, WANTED, made) == "project reader was gone"
    with pytest.raises(PostconditionFailed):
        await tenants.verify_project(context, WANTED, made)
    assert word("tenants.projects", (await tenants.list_projects(context, ShowArguments())).model_dump()) == "The team has no project."


async def test_quotas_and_changes_are_the_teams_own(context: ToolContext) -> None:
    for name in ("vision", "speech"):
        await context.factory.pool_quotas.set(PoolQuota(tenant=name, pool="local", slots_max=1))
    await tenants.add_project(context, WANTED)
    told = (await tenants.list_quotas(context, ShowArguments())).model_dump(mode="json")
    assert word("tenants.quotas", told) == "The team may hold 2 slots over all pools.\nIn pool local: 1."
    found = await tenants.list_changes(context, ChangesArguments())
    assert [each.action for each in found.changes] == ["tenants:create", "projects:create"]
    assert "projects:create, project/vision/reader" in word("tenants.changes", found.model_dump(mode="json"))
    nothing = await tenants.list_changes(context, ChangesArguments(action="keys:"))
    assert word("tenants.changes", nothing.model_dump()) == "The audit log has nothing of the kind."
