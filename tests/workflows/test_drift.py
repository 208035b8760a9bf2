"""From drift to a plan: looked for on a schedule, told once, proposed once under policy, and never in the way of the others."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from pydantic import JsonValue
from temporalio import activity
from temporalio.client import Client, Schedule, ScheduleAlreadyRunningError, ScheduleOverlapPolicy
from temporalio.worker import Worker

from agents.scope import check_plan, scope_of
from factory_infra.errors import NotFound
from factory_infra.factory import Factory
from factory_infra.paas.features.drift_models import Alert, Monitor, MonitorSpec, Past, Retraining
from factory_infra.paas.features.models import Feature, FeatureView, Key
from factory_infra.settings import Settings
from tests.parts import factory_with_slots
from tests.workflows.line import development_server
from tools.plan import Plan
from tools.spec import reference
from tools.toolbox import TOOLS
from workflows.activities.drift import DriftActivities
from workflows.activities.policy import PolicyActivities
from workflows.activities.records import RecordActivities
from workflows.definitions.drift import DriftWorkflow
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.drifting import SCHEDULE, Answers, Comparison, DriftInput, DriftRound, DueMonitors, MonitorName
from workflows.failures import to_application_error
from workflows.proposal import Starter
from workflows.retraining import plan_for
from workflows.sandbox import sandbox
from workflows.schedules import ensure_drift

pytestmark = pytest.mark.stack
NOW = datetime.now(UTC)
WANTED = Retraining(
    model_name="flowers", endpoint="flowers", features=("flowers",), label="names:species", train_seconds=86_400, accuracy_min=0.9
)
SPEC = MonitorSpec(
    name="garden",
    view="flowers",
    past=Past(start=NOW - timedelta(days=3), end=NOW - timedelta(days=1)),
    window_seconds=3600,
    retraining=WANTED,
)
FLOWERS = FeatureView(name="flowers", keys=(Key(name="plant", kind="int"),), features=(Feature(name="petal"),), timestamp="seen_at")
NAMES = FLOWERS.model_copy(update={"name": "names", "features": (Feature(name="species", kind="text"),)})


class Scripted:
    """Two monitors, one of which cannot be compared."""

    @activity.defn(name="due_monitors")
    async def due(self, request: DriftInput) -> DueMonitors:
        """Both."""
        return DueMonitors(monitors=[MonitorName(tenant="vision", name="a"), MonitorName(tenant="vision", name="b")])

    @activity.defn(name="check_monitor")
    async def check(self, request: MonitorName) -> Comparison:
        """The first is gone."""
        if request.name == "a":
            raise to_application_error(NotFound("Its view is gone."))
        return Comparison(tenant=request.tenant, name=request.name, verdict="drifted", alert_id="drift-1")

    @activity.defn(name="answer_drift")
    async def answer(self) -> Answers:
        """Nothing follows."""
        return Answers()


async def look(client: Client, queue: str) -> DriftRound:
    """Run one look."""
    found: DriftRound = await client.execute_workflow(DriftWorkflow.run, DriftInput(), id=f"look-{uuid.uuid4().hex[:8]}", task_queue=queue)
    return found


async def test_one_that_cannot_be_compared_does_not_hold_the_others_up(client: Client) -> None:
    script, queue = Scripted(), f"q-{uuid.uuid4().hex[:8]}"
    acts: list[Any] = [script.due, script.check, script.answer]
    async with Worker(client, task_queue=queue, workflows=[DriftWorkflow], activities=acts, workflow_runner=sandbox()):
        found = await look(client, queue)
    assert [(each.name, each.verdict, each.error) for each in found.compared] == [("a", "", "Its view is gone."), ("b", "drifted", "")]


def alert() -> Alert:
    return Alert(
        id="drift-0123456789abcdef",
        tenant="vision",
        monitor="garden",
        check_id="check-1",
        reason="1 of 1 features drifted: petal (PSI 2.00).",
        plan_id="",
        opened_at=NOW,
        closed_at=None,
        closed_because="",
    )


def monitor() -> Monitor:
    kept = {"tenant": "vision", "revision": 1, "enabled": True, "due_at": NOW, "checked_at": None, "verdict": "", "created_by": "a"}
    return Monitor.model_validate({**SPEC.model_dump(), **kept, "updated_at": NOW})


class TestPlan:
    @pytest.mark.parametrize("live", [True, False])
    def test_its_steps_can_be_run_within_its_own_scope(self, live: bool) -> None:
        plan = plan_for(alert(), monitor(), WANTED, live=live)
        assert plan.problem() == ""
        assert check_plan(plan.steps, scope_of(plan.steps)) is None
        for step in plan.steps:
            plain = {name: value for name, value in step.arguments.items() if reference(value) is None}
            fields = TOOLS[step.tool].arguments.model_fields
            assert set(step.arguments) <= set(fields)
            assert {name for name, field in fields.items() if field.is_required()} <= set(step.arguments)
            filled: dict[str, JsonValue] = {name: stand_in(name) for name in set(step.arguments) - set(plain)}
            TOOLS[step.tool].parse({**plain, **filled})

    def test_a_live_endpoint_gets_a_canary_and_the_monitor_its_new_past_last(self) -> None:
        steps = [step.id for step in plan_for(alert(), monitor(), WANTED, live=True).steps]
        assert steps == ["data", "lease", "train", "release", "register", "gate", "rollout", "promoted", "rebase"]
        assert [step.id for step in plan_for(alert(), monitor(), WANTED, live=False).steps][-3:] == ["deploy", "smoke", "rebase"]

    def test_the_same_alert_is_the_same_plan(self) -> None:
        first, second = (plan_for(alert(), monitor(), WANTED, live=True) for _ in range(2))
        assert first.digest() == second.digest()


def stand_in(name: str) -> JsonValue:
    """A value of the kind that an earlier step gives."""
    return 1 if name == "version" else "x"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def patient() -> AsyncIterator[Client]:
    """A server whose clock does not jump: a plan that waits for a person must not run out meanwhile."""
    async with development_server() as connected:
        yield connected


@pytest.fixture
async def starter(patient: Client, connected: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Starter]:
    """A worker of the real workflows and activities over a real factory, with a view that drifted."""

    async def undated(streams: dict[str, object]) -> dict[str, int | None]:
        return {}

    monkeypatch.setattr("factory_infra.paas.features.drift.onsets", undated)  # its process takes seconds, and has tests of its own
    factory, queue = factory_with_slots(connected, 2), f"q-{uuid.uuid4().hex[:8]}"
    await factory.tenants.create("vision", quota_slots=1, budget=Decimal(100))
    begun = Starter(factory, patient, queue)
    drift, records = DriftActivities(begun), RecordActivities(factory)
    acts: list[Any] = [drift.due, drift.check, drift.answer, PolicyActivities(factory).judge_plan]
    acts += [records.write_events, records.save_plan, records.move_plan, records.save_approval, records.report_plan]
    workflows = [DriftWorkflow, PlanWorkflow, ThreadWorkflow]
    async with Worker(patient, task_queue=queue, workflows=workflows, activities=acts, workflow_runner=sandbox()):
        yield begun
    await factory.close()


async def grow(factory: Factory, days: float, petal: float, key: str) -> None:
    """A hundred plants with their petals and their names."""
    view = await factory.features.define("vision", FLOWERS, "alice")
    names = await factory.features.define("vision", NAMES, "alice")
    at = [(NOW - timedelta(days=days, seconds=n)).isoformat() for n in range(100)]
    rows: list[dict[str, JsonValue]] = [{"plant": n, "seen_at": at[n], "petal": petal + n % 10} for n in range(100)]
    await factory.features.write(view, rows, key)
    await factory.features.write(names, [{"plant": n, "seen_at": at[n], "species": "ab"[n % 2]} for n in range(100)], f"{key}/names")


async def events(factory: Factory, thread_id: str) -> list[str]:
    return [event.kind for event in await factory.records.read_events(thread_id)]


async def test_drift_is_told_and_proposed_once(starter: Starter) -> None:
    factory = starter.factory
    await grow(factory, 2, 0, "past")
    await grow(factory, 0.01, 20, "now")
    await factory.drift.define("vision", SPEC, "alice")
    first = await look(starter.temporal, starter.task_queue)
    assert [(each.name, each.verdict, each.error) for each in first.compared] == [("garden", "drifted", "")]
    [found] = await factory.drift.book.alerts("vision")
    assert [(each.alert_id, each.plan_id) for each in first.answers] == [(found.id, f"plan-{found.id}")]
    again = await look(starter.temporal, starter.task_queue)
    assert (again.compared, again.answers) == ([], [])
    record = await factory.records.plan(found.plan_id, "vision")
    plan = Plan.model_validate(record.document)
    assert (record.state, plan.verdict is not None and plan.verdict.decision) == ("proposed", "approve")
    assert all(step.dry_run is None or step.dry_run.feasible for step in plan.steps)
    for _ in range(600):
        kinds = await events(factory, record.thread_id)
        if "plan.proposed" in kinds:
            break
        await asyncio.sleep(0.05)
    assert kinds.count("drift.found") == kinds.count("plan.proposed") == 1
    assert len(await factory.records.plans("vision")) == 1


async def test_a_plan_that_cannot_be_is_told_once_and_tried_again(starter: Starter) -> None:
    factory = starter.factory
    await factory.tenants.change("vision", quota_slots=0)
    await grow(factory, 2, 0, "past")
    await grow(factory, 0.01, 20, "now")
    await factory.drift.define("vision", SPEC, "alice")
    for _ in range(2):
        found = await look(starter.temporal, starter.task_queue)
        assert [each.plan_id for each in found.answers] == [""]
    [waiting] = await factory.drift.book.alerts("vision")
    kinds = await events(factory, f"thread-{waiting.id}")
    assert kinds == ["drift.found", "drift.unanswered"]
    await factory.tenants.change("vision", quota_slots=1)
    await look(starter.temporal, starter.task_queue)
    [answered] = await factory.drift.book.alerts("vision")
    assert answered.plan_id == f"plan-{waiting.id}"


class Schedules:
    """A server that keeps schedules by their names."""

    def __init__(self) -> None:
        self.made: dict[str, Schedule] = {}

    async def create_schedule(self, name: str, schedule: Schedule) -> None:
        """Keep one. Raises where it is there."""
        if name in self.made:
            raise ScheduleAlreadyRunningError
        self.made[name] = schedule


async def test_the_schedule_is_made_once_however_many_workers_start() -> None:
    server = Schedules()
    assert [await ensure_drift(server), await ensure_drift(server)] == [True, False]  # type: ignore[arg-type]
    [schedule] = server.made.values()
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    assert list(server.made) == [SCHEDULE]
