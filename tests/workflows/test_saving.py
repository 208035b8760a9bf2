"""From a finding to its plan: one plan, judged like any other, which mends it; nothing is taken away under what runs."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.worker import Worker

from factory_infra.database import utcnow
from factory_infra.errors import Conflict, NotFound
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.finding_book import Attempt
from factory_infra.paas.optimization.findings import Finding, ReleaseCluster, Remedy, ReplaceLease, SleepEndpoint
from factory_infra.paas.optimization.service import Owner
from factory_infra.paas.tenants.models import Principal, Role
from factory_infra.records.models import PlanRecord
from factory_infra.saas.metering.models import Attribution
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import development_server
from tools.plan import Plan, PlanState
from tools.toolbox import TOOLS
from workflows.activities.audit import AuditActivities
from workflows.activities.policy import PolicyActivities
from workflows.activities.records import RecordActivities
from workflows.activities.steps import StepActivities
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.proposal import Starter, checked
from workflows.sandbox import sandbox
from workflows.saving import fix, plan_for

pytestmark = pytest.mark.stack
OWNER = Owner("vision")
ASKER = Principal(key_id="k", tenant="vision", name="ann", role=Role.USER)
POLICY = """
version: "test"
defaults:
  write: {then: %s}
  costly: {then: approve}
  destructive: {then: approve}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client() -> AsyncIterator[Client]:
    """A server whose clock does not jump: a plan that waits for a person must not expire meanwhile."""
    async with development_server() as connected:
        yield connected


@pytest.fixture
async def starter(client: Client, connected: Settings, tmp_path: Path) -> AsyncIterator[Starter]:
    """A worker of the real workflows and activities; writes run at once."""
    policy, queue = tmp_path / "policy.yaml", f"q-{uuid.uuid4().hex[:8]}"
    policy.write_text(POLICY % "run")
    factory = factory_with_slots(connected.model_copy(update={"policy": policy}), 4)
    await factory.tenants.create("vision", quota_slots=4, budget=Decimal(20))
    steps, records = StepActivities(factory), RecordActivities(factory)
    activities: list[Callable[..., Any]] = [
        *(steps.run, steps.verify, steps.undo, PolicyActivities(factory).judge_plan, AuditActivities(factory).audit),
        *(records.write_events, records.save_plan, records.move_plan, records.save_approval, records.report_plan),
    ]
    async with Worker(client, task_queue=queue, workflows=[PlanWorkflow, ThreadWorkflow], activities=activities, workflow_runner=sandbox()):
        yield Starter(factory, client, queue)
    await factory.close()


async def idle_lease(factory: Factory) -> Finding:
    """A lease of two hours, reserved, on which nothing has run for 45 minutes."""
    lease = await factory.leases.acquire(LeaseRequest(tenant="vision", slots=2, seconds=7200, key=uuid.uuid4().hex, purpose="training"))
    await factory.metering.reserve_lease(lease.id, "cpu", 14_400, Attribution(tenant="vision"))
    async with factory.database.transaction() as session:
        (await session.get_one(LeaseRow, lease.id)).granted_at = utcnow() - timedelta(minutes=45)
    (found,) = await factory.findings.list(OWNER)
    return found


async def ended(factory: Factory, plan: PlanRecord) -> PlanRecord:
    async with asyncio.timeout(60):
        while True:
            found = await factory.records.plan(plan.id, None)
            if found.state not in {PlanState.PROPOSED, PlanState.APPROVED, PlanState.RUNNING}:
                return found
            await asyncio.sleep(0.1)


async def test_an_idle_lease_is_released_by_its_plan_and_settled(starter: Starter) -> None:
    factory = starter.factory
    found = await idle_lease(factory)
    assert found.kind == "lease_idle"
    plan = await fix(starter, found.id, ASKER)
    assert plan.id == f"plan-{found.id}-1"
    end = await ended(factory, plan)
    assert end.state == PlanState.DONE, end.outcome
    assert (await factory.leases.get("vision", found.subject)).state == "released"
    assert await factory.metering.open_reservations("lease/") == [] and (await factory.metering.cost(tenant="vision")).spent > 0
    assert await factory.findings.list(OWNER) == []
    with pytest.raises(NotFound):
        await fix(starter, found.id, ASKER)


async def test_a_person_decides_and_asking_twice_gives_one_plan(starter: Starter) -> None:
    factory = starter.factory
    found = await idle_lease(factory)
    (factory.settings.policy or Path()).write_text(POLICY % "approve")
    plans = [await fix(starter, found.id, ASKER) for _ in range(2)]
    assert {plan.id for plan in plans} == {f"plan-{found.id}-1"}
    verdict = Plan.model_validate(plans[0].document).verdict
    assert verdict is not None and verdict.decision == "approve"
    assert (await factory.leases.get("vision", found.subject)).state == "active"


async def test_a_lease_on_which_something_runs_is_not_taken_away(starter: Starter) -> None:
    factory = starter.factory
    found = await idle_lease(factory)
    await factory.jobs.submit(JobSpec(id="j", tenant="vision", name="j", argv=["/bin/sleep", "30"], lease_id=found.subject, slots=[0]))
    with pytest.raises(NotFound):
        await fix(starter, found.id, ASKER)
    await factory.jobs.cancel("j", "vision")


async def test_a_finding_that_is_blocked_gives_no_plan(starter: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await idle_lease(starter.factory)

    async def blocked(*arguments: object, **named: object) -> Finding:
        return found.model_copy(update={"blocked": "a job runs on it"})

    monkeypatch.setattr("factory_infra.paas.optimization.finding_book.Findings.get", blocked)
    with pytest.raises(Conflict) as raised:
        await fix(starter, found.id, ASKER)
    assert raised.value.error_code == "finding_blocked"


@pytest.mark.parametrize(
    "remedy",
    [
        ReplaceLease(lease_id="lease-1", slots=2, seconds=3600, pool="local"),
        SleepEndpoint(endpoint="reader", servers_max=2, parallel_target=4.0, idle_seconds=3600.0),
        ReleaseCluster(cluster_id="fleet-1"),
    ],
    ids=lambda remedy: remedy.fix,
)
async def test_every_remedy_is_a_plan_that_its_agents_may_make(starter: Starter, remedy: Remedy) -> None:
    found = await idle_lease(starter.factory)
    plan = plan_for(Attempt(finding=found.model_copy(update={"remedy": remedy}), number=1), "ann", "user")
    await checked(starter.factory, plan)
    assert plan.problem() == "" and all(TOOLS[step.tool].parse(step.arguments) for step in plan.steps)
    assert any("Finding f-" in note for note in plan.notes) and any("saves" in note for note in plan.notes)
