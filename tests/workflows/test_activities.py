"""Activities over a real ledger, leases and records: effects once under their key, errors with code and remedy, honest reports."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from agents.planning.planner import PlaybookPlanner
from factory_infra.factory import Factory
from factory_infra.saas.metering.models import Attribution, Charge, Cost, CostLine
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import JsonObject, plan, step
from tools.plan import Effect, Plan, PlanState, Step
from workflows.activities.planning import PlanningActivities
from workflows.activities.records import RecordActivities, money
from workflows.activities.steps import StepActivities
from workflows.messages import PlanOutcome, ReportCall, SituationCall, StepCall, ToolCall

pytestmark = pytest.mark.stack


@pytest.fixture
async def factory(connected: Settings) -> AsyncIterator[Factory]:
    built = factory_with_slots(connected, 4)
    await built.tenants.create("vision", quota_slots=4, budget=Decimal(20))
    await built.tenants.create("language", quota_slots=4, budget=Decimal(20))
    yield built
    await built.close()


def lease(**arguments: object) -> Step:
    return step("lease", effect=Effect.COSTLY, arguments=arguments)


def call_of(each: Step, **fields: object) -> StepCall:
    known = {"plan_id": "plan-1", "thread_id": "t", "tenant": "vision", "actor": "ann", "key": f"plan-1/{each.id}"}
    return StepCall.model_validate({**known, "step": each, "arguments": each.arguments, **fields})


async def run(factory: Factory, request: StepCall) -> JsonObject:
    done: JsonObject = await ActivityEnvironment().run(StepActivities(factory).run, request)
    return done


class TestRunStep:
    async def test_twice_is_once(self, factory: Factory) -> None:
        first, again = await run(factory, call_of(lease(slots=1))), await run(factory, call_of(lease(slots=1)))
        assert first == again
        assert len(await factory.leases.list()) == 1
        assert (await factory.metering.reconcile()).equal

    async def test_control_with_keys_off_the_effect_is_doubled(self, factory: Factory) -> None:
        careless = replace(factory, settings=factory.settings.model_copy(update={"idempotency_keys": False}))
        for _ in range(2):
            await run(careless, call_of(lease(slots=1)))
        assert len(await factory.leases.list()) == 2

    async def test_an_effect_that_the_plan_called_a_read_is_refused(self, factory: Factory) -> None:
        with pytest.raises(ApplicationError) as raised:
            await run(factory, call_of(step("lease", effect=Effect.READ, arguments={"slots": 1})))
        assert (raised.value.type, raised.value.non_retryable) == ("invalid_input", True)
        assert await factory.leases.list() == []

    async def test_a_refusal_arrives_with_code_reason_and_remedy(self, factory: Factory) -> None:
        with pytest.raises(ApplicationError) as raised:
            await run(factory, call_of(lease(slots=9)))
        details = raised.value.details[0]
        assert details["code"] == raised.value.type == "capacity_exceeded"
        assert details["reason"] and details["remedy"]

    async def test_undo_gives_back_what_was_taken(self, factory: Factory) -> None:
        request = call_of(lease(slots=1))
        request.result = await run(factory, request)
        told = await ActivityEnvironment().run(StepActivities(factory).undo, request)
        assert told["undone"] is True
        assert await factory.leases.list() == []
        assert (await factory.metering.reconcile()).equal

    async def test_verify_looks_at_the_factory_and_not_at_the_result(self, factory: Factory) -> None:
        request = call_of(lease(slots=1))
        request.result = await run(factory, request)
        assert await ActivityEnvironment().run(StepActivities(factory).verify, request) == {"verified": True}
        await factory.leases.release("vision", str(request.result["lease_id"]))
        with pytest.raises(ApplicationError) as raised:
            await ActivityEnvironment().run(StepActivities(factory).verify, request)
        assert raised.value.type == "postcondition_failed"


class TestSituation:
    async def test_tells_where_the_plan_is_that_a_thread_waits_on(self, factory: Factory) -> None:
        activities = PlanningActivities(factory, PlaybookPlanner([]))

        async def state(plan_id: str, tenant: str | None = "vision") -> object:
            request = SituationCall(tenant=tenant, plan_id=plan_id)
            return (await ActivityEnvironment().run(activities.read_situation, request))["plan_state"]

        assert (await state(""), await state("plan-9")) == ("", "")
        await RecordActivities(factory).save_plan(plan(lease(), id="plan-9"))
        assert (await state("plan-9"), await state("plan-9", None), await state("plan-9", "language")) == ("proposed", "proposed", "")
        await factory.records.move_plan("plan-9", "done", decided_by="ann", outcome={})
        assert await state("plan-9") == "done"


class TestForesee:
    async def foresee(self, factory: Factory, each: Step) -> Step:
        return Step.model_validate(await ActivityEnvironment().run(StepActivities(factory).foresee, call_of(each)))

    async def test_effect_price_and_promises_are_the_tools_and_not_the_plans(self, factory: Factory) -> None:
        seen = await self.foresee(factory, step("lease", effect=Effect.READ, arguments={"slots": 2}, undo="trust me"))
        assert seen.effect is Effect.COSTLY
        assert seen.undo == "release the lease"
        assert seen.postcondition
        assert seen.price is not None and seen.price.high > 0
        assert seen.dry_run is not None and seen.dry_run.feasible
        assert await factory.leases.list() == []

    @pytest.mark.parametrize(
        ("tool", "arguments", "code"),
        [
            ("leases.steal", {}, "tool_unknown"),
            ("leases.acquire", {"slots": "2"}, "invalid_input"),
            ("leases.acquire", {"slots": 1, "colour": "red"}, "invalid_input"),
            ("leases.acquire", {"slots": 5}, "capacity_exceeded"),
            ("leases.acquire", {"slots": {"from_step": "a", "field": "b"}}, "invalid_input"),
            ("training.run", {"dataset": "nowhere", "model_name": "m", "lease_id": "l"}, "dataset_unknown"),
        ],
    )
    async def test_what_cannot_work_is_said_in_the_dry_run(self, factory: Factory, tool: str, arguments: JsonObject, code: str) -> None:
        seen = await self.foresee(factory, step("x", tool=tool, arguments=arguments))
        assert seen.dry_run is not None
        assert (seen.dry_run.feasible, seen.dry_run.code) == (False, code)


class TestCallTool:
    async def call(self, factory: Factory, tool: str, team: str = "vision", **arguments: object) -> JsonObject:
        request = ToolCall.model_validate({"name": tool, "agent": "dispatcher", "arguments": arguments, "tenant": team, "actor": "ann"})
        seen: JsonObject = await ActivityEnvironment().run(StepActivities(factory).call, request)
        return seen

    async def test_an_effect_is_not_done_whatever_was_planned(self, factory: Factory) -> None:
        seen = await self.call(factory, "leases.acquire", slots=1)
        assert (seen["outcome"], seen["code"]) == ("needs_approval", "needs_approval")
        assert await factory.leases.list() == []

    async def test_a_team_reads_its_own(self, factory: Factory) -> None:
        await run(factory, call_of(lease(slots=1)))
        assert len((await self.call(factory, "leases.list"))["result"]["leases"]) == 1  # type: ignore[index,arg-type,call-overload]
        assert (await self.call(factory, "leases.list", "language"))["result"]["leases"] == []  # type: ignore[index,call-overload]

    async def test_a_mistake_is_an_observation(self, factory: Factory) -> None:
        for name, arguments in (("leases.steal", {}), ("leases.list", {"x": 1}), ("metering.cost", {"subject": "model", "name": "nobody"})):
            seen = await self.call(factory, name, **arguments)
            assert seen["outcome"] == "failed"
            assert seen["reason"]


class TestReport:
    def made(self) -> Plan:
        return plan(step("register", tool="registry.register"), step("deploy", "register", tool="deployments.deploy"))

    def results(self) -> dict[str, JsonObject]:
        return {
            "register": {"model_name": "digits", "version": 3, "accuracy": 0.97, "run_url": "http://mlflow/r"},
            "deploy": {"endpoint": "reader", "url": "http://api/reader"},
        }

    async def report(self, factory: Factory, outcome: PlanOutcome) -> JsonObject:
        told: JsonObject = await RecordActivities(factory).report_plan(ReportCall(plan=self.made(), outcome=outcome))
        return told

    async def test_what_was_done_is_told_with_its_cost_and_cited(self, factory: Factory) -> None:
        told = await self.report(factory, PlanOutcome(state=PlanState.DONE, done=["register", "deploy"], results=self.results()))
        assert "digits version 3 is registered" in str(told["text"])
        assert "http://api/reader" in str(told["text"])
        assert "Planning cost 0.000000 USD." in str(told["text"])
        assert len(told["citations"]) == 4  # type: ignore[arg-type]

    async def test_what_was_undone_is_not_told_as_if_it_were_there(self, factory: Factory) -> None:
        outcome = PlanOutcome(
            state=PlanState.FAILED,
            done=["register"],
            undone=["deploy", "register"],
            results=self.results(),
            reason="The smoke test failed.",
            remedy="Look at its log.",
        )
        told = await self.report(factory, outcome)
        assert "Undone: deploy, register." in str(told["text"])
        assert "The smoke test failed. Look at its log." in str(told["text"])
        assert "answers with it" not in str(told["text"])
        assert "is registered" not in str(told["text"])
        assert len(told["citations"]) == 2  # type: ignore[arg-type]

    async def spent_on_planning(self, factory: Factory, plan_id: str) -> None:
        whose = Attribution(tenant="vision", plan_id=plan_id)
        charge = Charge(unit="tokens", subject="scripted", quantity=Decimal(1000), quantity_out=Decimal(0))
        await factory.metering.reserve(f"model/{plan_id}", charge, whose)
        await factory.metering.settle(f"model/{plan_id}", charge)

    async def end(self, factory: Factory, plan_id: str, each: Step) -> tuple[JsonObject, str]:
        """Do one step of a plan and report its end."""
        await self.spent_on_planning(factory, plan_id)
        result = await run(factory, call_of(each, plan_id=plan_id, key=f"{plan_id}/{each.id}"))
        outcome = PlanOutcome(state=PlanState.DONE, done=[each.id], results={each.id: result})
        told = await RecordActivities(factory).report_plan(ReportCall(plan=plan(each, id=plan_id), outcome=outcome))
        return result, str(told["text"])

    async def test_a_lease_that_another_plan_took_is_told_with_what_it_cost(self, factory: Factory) -> None:
        granted, taken = await self.end(factory, "plan-1", lease(slots=1, seconds=3600))
        reserved = (await factory.metering.cost(tenant="vision", plan_id="plan-1")).reserved
        planning = (await factory.metering.cost(tenant="vision", plan_id="plan-1")).spent
        assert reserved > 0
        assert f"{reserved:.6f} USD are reserved for it. Planning cost {planning:.6f} USD." in taken
        back = step("back", tool="leases.release", effect=Effect.WRITE, arguments={"lease_id": granted["lease_id"]})
        _, given = await self.end(factory, "plan-2", back)
        posted = await factory.metering.entries("vision", "plan-1")
        settled = sum(e.amount for e in posted if e.reservation == f"lease/{granted['lease_id']}" and e.credit == "spent")
        assert settled > 0
        assert f"slot-seconds and cost {settled:.6f} USD. Planning cost {planning:.6f} USD." in given

    async def test_a_lease_of_the_same_plan_is_told_apart_from_planning(self) -> None:
        lines = [
            CostLine(unit=unit, subject="x", quantity=Decimal(1), quantity_out=Decimal(0), amount=Decimal(amount))
            for unit, amount in (("slot_seconds", "0.25"), ("tokens", "0.5"))
        ]
        cost = Cost(currency="USD", spent=Decimal("0.75"), reserved=Decimal(0), lines=lines)
        assert money(cost, reserving=True) == ["It cost 0.750000 USD: 0.250000 for slots, 0.500000 for planning."]

    async def test_what_could_not_be_undone_is_said_aloud(self, factory: Factory) -> None:
        outcome = PlanOutcome(state=PlanState.FAILED, done=["deploy"], undo_failed=["deploy"], results=self.results(), reason="r")
        told = await self.report(factory, outcome)
        assert "NOT undone, a person must look: deploy." in str(told["text"])
        assert "answers with it at http://api/reader" in str(told["text"])
