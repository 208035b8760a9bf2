"""The audit finds nothing while every wall stands, and finds each one that is removed on purpose."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import pytest_asyncio

from api import deps
from factory_infra.iaas.isolation.models import Attempt, AuditReport
from factory_infra.iaas.jobs.providers.local import stop_all
from factory_infra.paas.tenants.service import Tenants
from factory_infra.records.service import Records
from factory_infra.second_wall import look_as
from factory_infra.surfaces.audit import Auditor, Surface, isolation_of
from factory_infra.surfaces.bait import TENANTS
from factory_infra.surfaces.mcp import McpDoor
from factory_infra.surfaces.rest import RestDoor
from tests.api.house import Doors, client_of

pytestmark = pytest.mark.stack


@pytest_asyncio.fixture(scope="module", autouse=True, loop_scope="session")
async def face(doors: Doors) -> AsyncIterator[None]:
    """Serve MCP for all tests of the file, in a task of its own as the lifespan does."""
    ready, over = asyncio.Event(), asyncio.Event()

    async def serve() -> None:
        async with doors.app.state.mcp.manager.run():
            ready.set()
            await over.wait()

    task = asyncio.create_task(serve())
    await ready.wait()
    yield
    over.set()
    await task
    await asyncio.to_thread(stop_all, doors.factory.settings.jobs_dir)


async def audited(doors: Doors, *kinds: Callable[[httpx.AsyncClient], Surface]) -> AuditReport:
    async with client_of(doors.app) as http:
        auditor = Auditor(doors.factory, [kind(http) for kind in kinds])
        return (await auditor.doors(*TENANTS, "test")).report


def holes(report: AuditReport) -> list[Attempt]:
    return [each for each in report.attempts if not each.refused]


class TestWallsThatStand:
    async def test_nothing_is_found_through_rest_and_mcp(self, doors: Doors) -> None:
        report = await audited(doors, RestDoor, McpDoor)
        assert holes(report) == [], [each.tried for each in holes(report)]
        assert report.holds
        assert {each.door for each in report.attempts} == {"see", "stop", "read_logs", "use_data", "spend"}
        assert [each.tried for each in report.attempts if each.through == "none"] == []
        assert sum(each.through == "api" for each in report.attempts) > 60
        assert sum(each.through == "mcp" for each in report.attempts) > 10
        assert all(each.by for each in report.attempts)
        for route in ("/v1/jobs/job-audit-victim-bait/logs", "/v1/plans/plan-audit-victim-bait/approve", "/v1/leases?tenant=audit-victim"):
            assert any(route in each.tried for each in report.attempts), route

    async def test_keys_of_an_audit_do_not_outlive_it(self, doors: Doors) -> None:
        await audited(doors)
        for tenant in TENANTS:
            assert [key for key in await doors.factory.tenants.keys(tenant) if key.revoked_at is None] == []
        assert await doors.factory.leases.list(TENANTS[1]) == []

    async def test_teams_of_people_are_spared_what_cannot_be_taken_away(self, doors: Doors) -> None:
        report = (await Auditor(doors.factory, []).doors("vision", "language", "test")).report
        assert holes(report) == []
        left_out = {each.tried for each in report.attempts if each.through == "none"}
        assert left_out == {
            f"not tried: the victim has no {kind}" for kind in ("lesson", "catalog entry", "transcript", "model version", "endpoint")
        }
        assert await doors.factory.leases.list("language") == []
        assert (await doors.factory.records.plan("plan-language-bait", "language")).state == "refused"

    async def test_reports_are_kept_and_a_team_sees_its_own(self, doors: Doors) -> None:
        await audited(doors)
        isolation = isolation_of(doors.factory)
        [newest, *_] = await isolation.list(TENANTS[1])
        assert (await isolation.get(newest.id)).report.attempts == newest.report.attempts
        assert await isolation.list("robotics") == []
        assert await isolation.last() == newest.report.at


def second_wall_removed(patch: pytest.MonkeyPatch) -> None:
    """PostgreSQL shows every team everything."""
    patch.setattr(deps, "look_as", lambda team: look_as(None))


def scope_removed(patch: pytest.MonkeyPatch) -> None:
    """Lists show the team that the query names."""
    patch.setattr(deps, "scope", lambda asker, tenant: tenant if tenant is not None else asker.tenant)


def plan_owner_removed(patch: pytest.MonkeyPatch) -> None:
    """A plan is found by its id alone."""
    whole = Records.plan

    async def plan(self: Records, plan_id: str, tenant: str | None) -> object:
        return await whole(self, plan_id, None)

    patch.setattr(Records, "plan", plan)


def key_check_removed(patch: pytest.MonkeyPatch) -> None:
    """A key's id is enough, whatever secret stands behind it."""

    async def authenticate(self: Tenants, key: str) -> object:
        return await self.principal_of(key.split("_")[1])

    patch.setattr(Tenants, "authenticate", authenticate)


def thread_owner_removed(patch: pytest.MonkeyPatch) -> None:
    """A thread is found by its id alone."""
    whole = Records.thread

    async def thread(self: Records, thread_id: str, tenant: str | None) -> object:
        return await whole(self, thread_id, None)

    patch.setattr(Records, "thread", thread)


REMOVED: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "scope of lists": (scope_removed, "tenant=audit-victim"),
    "owner of plans": (plan_owner_removed, "/v1/plans/plan-audit-victim-bait"),
    "owner of threads": (thread_owner_removed, "/v1/threads/thread-audit-victim-bait"),
    "secret of keys": (key_check_removed, "the attacker's secret"),
}


class TestWallsThatAreRemoved:
    @pytest.mark.parametrize("wall", ["scope of lists", "owner of plans", "owner of threads"])
    async def test_the_second_wall_stands_in_for_the_first(self, wall: str, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
        REMOVED[wall][0](monkeypatch)
        assert holes(await audited(doors, RestDoor)) == []

    @pytest.mark.parametrize("wall", REMOVED)
    async def test_are_found(self, wall: str, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
        remove, told = REMOVED[wall]
        remove(monkeypatch)
        second_wall_removed(monkeypatch)
        report = await audited(doors, RestDoor)
        found = [each.tried for each in holes(report)]
        assert any(told in each for each in found), found
        assert not report.holds
