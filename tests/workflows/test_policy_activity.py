"""The activity that judges: counts of the last hour from the records, the file as it is now, and no verdict by a broken one."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from factory_infra.database import utcnow
from factory_infra.factory import Factory
from factory_infra.records.history import History
from factory_infra.records.models import NewEvent, PlanRecord
from factory_infra.records.tables import EffectRow
from factory_infra.saas.metering.models import Attribution, Charge
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import plan, step
from tools.plan import Effect, Plan, Verdict
from workflows.activities.policy import JudgeCall, PolicyActivities, asked_now

pytestmark = pytest.mark.stack

LIMIT = """
version: "limits"
defaults: {write: {then: approve}, costly: {then: approve}, destructive: {then: approve}}
rules:
  - {name: not-so-many, when: {tool: leases.acquire, count_per_hour_above: 2}, then: refuse}
"""


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    built = factory_with_slots(connected, 4)
    for team in ("vision", "language"):
        await built.tenants.create(team, quota_slots=4, budget=Decimal(20))
    yield built
    await built.close()


def leasing(**fields: object) -> Plan:
    return plan(step("lease", effect=Effect.COSTLY, arguments={"slots": 1}), **fields)


async def judged(factory: Factory, each: Plan) -> Verdict:
    request = JudgeCall(plan=each, requester_role="user")
    return Verdict.model_validate((await ActivityEnvironment().run(PolicyActivities(factory).judge_plan, request))["verdict"])


async def write_effects(factory: Factory, tenant: str, *hours_ago: float, tool: str = "leases.acquire") -> None:
    async with factory.database.transaction() as session:
        for hours in hours_ago:
            key = f"{tenant}/{tool}/{hours}"
            session.add(EffectRow(key=key, tool=tool, tenant=tenant, result={}, at=utcnow() - timedelta(hours=hours)))


def write_policy(factory: Factory, text: str) -> None:
    factory.settings.home.mkdir(exist_ok=True)
    (factory.settings.home / "policy.yaml").write_text(text)


async def test_the_shipped_policy_asks_one_approver(factory: Factory) -> None:
    verdict = await judged(factory, leasing())
    assert (verdict.decision, verdict.approvals, verdict.requester_may_approve) == ("approve", 1, True)


async def test_a_call_as_the_workflow_sends_it_is_understood(factory: Factory) -> None:
    sent = {"plan": leasing().model_dump(mode="json"), "requester_role": "user"}
    assert JudgeCall.model_validate(sent).plan.steps[0].effect is Effect.COSTLY


async def test_effects_of_the_last_hour_of_this_team_count(factory: Factory) -> None:
    write_policy(factory, LIMIT)
    await write_effects(factory, "vision", 0.1, 1.5)
    await write_effects(factory, "language", 0.1, 0.2, 0.3)
    assert (await judged(factory, leasing())).decision == "approve"
    await write_effects(factory, "vision", 0.9)
    verdict = await judged(factory, leasing())
    assert (verdict.decision, verdict.code) == ("refuse", "policy_refused")
    assert verdict.policy.startswith("limits ")


async def test_control_without_the_rule_they_do_not(factory: Factory) -> None:
    await write_effects(factory, "vision", 0.1, 0.2, 0.9)
    assert (await judged(factory, leasing())).decision == "approve"


async def test_an_edit_of_the_file_counts_for_the_next_plan(factory: Factory) -> None:
    write_policy(factory, LIMIT.replace("count_per_hour_above: 2", "count_per_hour_above: 0"))
    assert (await judged(factory, leasing())).decision == "refuse"
    write_policy(factory, LIMIT)
    assert (await judged(factory, leasing())).decision == "approve"


async def test_a_broken_file_judges_nothing(factory: Factory) -> None:
    write_policy(factory, LIMIT.replace("then: refuse", "then: perhaps"))
    with pytest.raises(ApplicationError) as raised:
        await judged(factory, leasing())
    assert (raised.value.type, raised.value.non_retryable) == ("policy_invalid", True)
    assert "rules.0.then" in raised.value.details[0]["reason"]


async def test_jobs_runs_and_tokens_are_counted(factory: Factory) -> None:
    now = utcnow()
    for number, tool in enumerate(("training.run", "training.run", "leases.acquire")):
        payload = {"step": "x", "tool": tool}
        event = NewEvent(key=f"k{number}", tenant="vision", thread_id="t", kind="step.started", payload=payload)
        await factory.records.write_event(event)
    for name, state in (("a", "running"), ("b", "paused"), ("c", "done"), ("mine", "running")):
        made = leasing(id=name)
        await factory.records.save_plan(
            PlanRecord(
                id=name,
                tenant="vision",
                thread_id="t",
                digest=made.digest(),
                state=state,
                document={},
                outcome={},
                decided_by=None,
                created_at=now,
                updated_at=now,
            )
        )
    charge = Charge(unit="tokens", subject="scripted", quantity=Decimal(30), quantity_out=Decimal(12))
    await factory.metering.reserve("m1", charge, Attribution(tenant="vision", plan_id="a", thread_id="t", agent="x"))
    await factory.metering.settle("m1", charge)
    await write_effects(factory, "vision", 0.5)
    asked = await asked_now(factory, "vision", "mine", "user")
    assert asked.effects_last_hour == {"leases.acquire": 1, "training.run": 2}
    assert (asked.runs_at_once, asked.model_calls_last_hour, asked.tokens_last_hour) == (2, 1, 42)
    other = await asked_now(factory, "language", "mine", "user")
    assert (other.effects_last_hour, other.runs_at_once, other.tokens_last_hour) == ({}, 0, 0)


async def test_a_plan_is_not_counted_against_itself(factory: Factory) -> None:
    assert await History(factory.database).runs_at_once("vision", but="mine") == 0
