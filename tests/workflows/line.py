"""The real workflows in the worker's own sandbox, with activities that do what a test's script says."""

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter
from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from tenacity import retry, retry_if_exception_type, stop_after_attempt

from factory_infra.errors import LineshaftError
from tools.plan import Effect, Plan, PlanState, Step, Verdict
from workflows.definitions.job import JobWorkflow
from workflows.definitions.lesson import LessonWorkflow
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.definitions.undo import UndoWorkflow
from workflows.failures import to_application_error
from workflows.messages import Cancellation, Decision, Edit, JobOutcome, Pause, PlanOutcome, PlanReport, PlanStatus, Resume, UndoInput, Who
from workflows.sandbox import sandbox

JsonObject = dict[str, JsonValue]
Act = JsonObject | LineshaftError | Callable[[JsonObject], Awaitable[JsonObject]]
WORKFLOWS: tuple[type, ...] = (ThreadWorkflow, PlanWorkflow, JobWorkflow, UndoWorkflow, LessonWorkflow)
START_LIMIT = timedelta(seconds=20)
ANN = Who(actor="ann (1)", role="approver", tenant="vision")
BOB = Who(actor="bob (2)", role="approver", tenant="vision")
EVE = Who(actor="eve (3)", role="user", tenant="vision")
STRANGER = Who(actor="bob (4)", role="approver", tenant="language")
ADMIN = Who(actor="root (5)", role="admin", tenant=None)


class Script:
    """What each activity does for each step, and a record of all that was called.

    An act is a result, an error to raise, or a coroutine function; a list of acts is used one an attempt, the last for ever.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, JsonObject]] = []
        self.acts: dict[tuple[str, str], list[Act]] = {}

    def on(self, name: str, step: str, *acts: Act) -> None:
        """Say what an activity does for a step ("" for activities without one)."""
        self.acts[name, step] = list(acts)

    def called(self, name: str) -> list[str]:
        """The steps for which an activity was called, in order."""
        return [step_of(argument) for each, argument in self.calls if each == name]

    def effects(self) -> list[str]:
        """Everything that was run, in the order in which it began."""
        return [
            f"{name} {step_of(argument)}" for name, argument in self.calls if name in {"run_step", "run_job", "undo_step", "cancel_job"}
        ]

    def events(self) -> list[str]:
        """The kinds of the events, with their step."""
        payloads = [(str(argument["kind"]), argument["payload"]) for name, argument in self.calls if name == "write_event"]
        return [f"{kind} {payload['step']}" if isinstance(payload, dict) and "step" in payload else kind for kind, payload in payloads]

    def event(self, kind: str) -> JsonObject:
        """The payload of the first event of a kind."""
        for name, argument in self.calls:
            if name == "write_event" and argument["kind"] == kind and isinstance(argument["payload"], dict):
                return argument["payload"]
        raise AssertionError(f"no event {kind} in {self.events()}")

    async def act(self, name: str, argument: JsonObject, default: JsonObject) -> JsonObject:
        """Do what the script says, else answer with the default."""
        self.calls.append((name, argument))
        acts = self.acts.get((name, step_of(argument)), [default])
        chosen = acts.pop(0) if len(acts) > 1 else acts[0]
        if isinstance(chosen, LineshaftError):
            raise to_application_error(chosen)
        return chosen if isinstance(chosen, dict) else await chosen(argument)

    def activities(self) -> list[Callable[..., Any]]:
        """Activities under the names that the workflows call."""
        report = PlanReport(text="told").model_dump(mode="json")
        defaults: dict[str, Callable[[JsonObject], JsonObject]] = {
            "save_plan": lambda _: {},
            "move_plan": lambda _: {},
            "report_plan": lambda _: report,
            "run_step": lambda argument: {"of": step_of(argument)},
            "verify_step": lambda _: {"verified": True},
            "undo_step": lambda argument: {"undone": True, "told": f"{step_of(argument)} undone"},
            "run_job": lambda argument: succeeded(argument),
            "cancel_job": lambda _: {},
            "save_approval": lambda _: {},
            "judge_plan": lambda _: {"verdict": Verdict(decision="approve").model_dump(mode="json")},
            "revise_plan": revised,
            "audit_plan": lambda _: {"verdict": "clean", "violations": 0, "findings": []},
            "propose_lesson": lambda _: {"lesson_id": "", "reason": "A test teaches nothing."},
            "read_situation": lambda _: {},
            "ask_model": lambda _: {"ok": True, "answer": {"content": "again", "tokens_in": 5, "tokens_out": 5}},
        }
        return [self._write_events, *(self._activity(name, default) for name, default in defaults.items())]

    @property
    def _write_events(self) -> Callable[..., Any]:
        """Events come in batches; the script and what it recorded know each by itself, as `write_event`."""

        @activity.defn(name="write_events")
        async def written(batch: dict[str, Any]) -> dict[str, Any]:
            for event in batch["events"]:
                await self.act("write_event", event, {})
            return {}

        return written

    def _activity(self, name: str, default: Callable[[JsonObject], JsonObject]) -> Callable[..., Any]:
        @activity.defn(name=name)
        async def scripted(argument: dict[str, Any]) -> dict[str, Any]:
            for event in argument.pop("events", []):
                await self.act("write_event", event, {})
            return await self.act(name, argument, default(argument))

        return scripted


def revised(argument: JsonObject) -> JsonObject:
    """The plan with the steps that were asked for, as they are."""
    known = Plan.model_validate(argument["plan"])
    steps = TypeAdapter(tuple[Step, ...]).validate_python(argument["steps"])
    return {"plan": known.model_copy(update={"steps": steps}).model_dump(mode="json")}


def step_of(argument: JsonObject) -> str:
    """The step that an activity is about."""
    step = argument.get("step")
    return str(step["id"]) if isinstance(step, dict) else ""


def succeeded(argument: JsonObject) -> JsonObject:
    """The end of a job that went well."""
    return JobOutcome(job_id="job-1", state="succeeded", result={"run_id": "r", "of": step_of(argument)}).model_dump(mode="json")


def step(identity: str, *after: str, **fields: Any) -> Step:
    """A step with an effect."""
    known = {"tool": "leases.acquire", "agent": "provisioner", "summary": identity, "effect": Effect.WRITE}
    return Step.model_validate({"id": identity, "after": after, **known, **fields})


def plan(*steps: Step, **fields: Any) -> Plan:
    """A plan of team vision, in a thread that does not run."""
    known = {
        "id": f"plan-{uuid.uuid4().hex[:12]}",
        "tenant": "vision",
        "thread_id": "thread-none",
        "requested_by": "ann",
        "request": "do it",
        "title": "T",
    }
    return Plan.model_validate({**known, "steps": steps, **fields})


# A server chooses its port itself and may lose it to a neighbour; on a cold disk it also starts slowly.
again = retry(retry=retry_if_exception_type(RuntimeError), stop=stop_after_attempt(3), reraise=True)


@asynccontextmanager
async def time_skipping() -> AsyncIterator[Client]:
    """A client of a server whose clock jumps over waits."""
    binary = Path(sys.executable).with_name("temporal-test-server")
    environment = await again(WorkflowEnvironment.start_time_skipping)(
        test_server_existing_path=str(binary), data_converter=pydantic_data_converter, test_server_startup_timeout=START_LIMIT
    )
    async with environment:
        yield environment.client


@asynccontextmanager
async def development_server() -> AsyncIterator[Client]:
    """A client of the server that the stack starts, without a file."""
    binary = Path(sys.executable).with_name("temporal")
    environment = await again(WorkflowEnvironment.start_local)(
        dev_server_existing_path=str(binary),
        data_converter=pydantic_data_converter,
        dev_server_log_level="error",
        dev_server_startup_timeout=START_LIMIT,
    )
    async with environment:
        yield environment.client


@asynccontextmanager
async def working(client: Client, script: Script, queue: str, workflows: Sequence[type] = WORKFLOWS) -> AsyncIterator[Worker]:
    """A worker of the real workflows and the scripted activities."""
    worker = Worker(client, task_queue=queue, workflows=workflows, activities=script.activities(), workflow_runner=sandbox())
    async with worker:
        yield worker


async def until(holds: Callable[[], bool], seconds_max: float = 60.0) -> None:
    """Wait until something holds, within a limit."""
    async with asyncio.timeout(seconds_max):
        while not holds():  # noqa: ASYNC110  (what is waited for is told by no event)
            await asyncio.sleep(0.01)


class Line:
    """One worker with its script, and how plans are started on it."""

    def __init__(self, client: Client, script: Script, queue: str) -> None:
        self.client = client
        self.script = script
        self.queue = queue

    async def start(self, plan: Plan, task_seconds: float = 10) -> WorkflowHandle[PlanWorkflow, PlanOutcome]:
        """Start a plan, as its thread does."""
        timeout = timedelta(seconds=task_seconds)
        return await self.client.start_workflow(PlanWorkflow.run, plan, id=plan.id, task_queue=self.queue, task_timeout=timeout)

    async def decide(self, plan: Plan, *, approve: bool = True, **changed: object) -> PlanStatus:
        """Approve or refuse a plan that has started. Raises ApplicationError where the workflow refuses the decision."""
        handle = self.client.get_workflow_handle_for(PlanWorkflow.run, plan.id)
        decision = Decision.model_validate({"approve": approve, "digest": plan.digest(), "who": ANN, **changed})
        try:
            return await handle.execute_update(PlanWorkflow.decide, decision)
        except WorkflowUpdateFailedError as error:
            raise error.cause from None

    async def update(self, plan: Plan, name: str, message: object) -> PlanStatus:
        """Send an update to a plan. Raises ApplicationError where the workflow refuses it."""
        handle = self.client.get_workflow_handle_for(PlanWorkflow.run, plan.id)
        try:
            status: PlanStatus = await handle.execute_update(name, message, result_type=PlanStatus)
        except WorkflowUpdateFailedError as error:
            raise error.cause from None
        return status

    async def pause(self, plan: Plan) -> PlanStatus:
        """Hold a plan."""
        return await self.update(plan, "pause", Pause(who=ANN, reason="Wait."))

    async def resume(self, plan: Plan) -> PlanStatus:
        """Let a plan go on."""
        return await self.update(plan, "resume", Resume(who=ANN))

    async def cancel(self, plan: Plan) -> PlanStatus:
        """End a plan."""
        return await self.update(plan, "cancel", Cancellation(who=ANN, reason="Changed my mind."))

    async def edit(self, plan: Plan, *steps: Step, digest: str = "", who: Who = ANN) -> PlanStatus:
        """Propose other steps for a plan."""
        return await self.update(plan, "edit", Edit(digest=digest or plan.digest(), steps=list(steps), who=who))

    async def effects_started(self, plan: Plan) -> None:
        """Tell a plan that effects may happen again."""
        await self.client.get_workflow_handle_for(PlanWorkflow.run, plan.id).signal(PlanWorkflow.effects_started)

    async def status(self, plan: Plan) -> PlanStatus:
        """Ask a plan where it is."""
        return await self.client.get_workflow_handle_for(PlanWorkflow.run, plan.id).query(PlanWorkflow.status)

    async def stands(self, plan: Plan, state: PlanState) -> PlanStatus:
        """Wait until a plan is in a state."""
        async with asyncio.timeout(15):
            while (found := await self.status(plan)).state is not state:  # noqa: ASYNC110  (told by no event)
                await asyncio.sleep(0.02)
        return found

    async def undo(self, plan: Plan, outcome: PlanOutcome) -> WorkflowHandle[UndoWorkflow, PlanOutcome]:
        """Begin the undo of a plan that ended."""
        asked = UndoInput(plan=plan, outcome=outcome, who=ANN, reason="Not wanted any more.")
        return await self.client.start_workflow(UndoWorkflow.run, asked, id=f"{plan.id}-undo", task_queue=self.queue)

    async def approved(self, plan: Plan) -> PlanOutcome:
        """Start a plan, approve it and return how it ended."""
        handle = await self.start(plan)
        await self.decide(plan)
        return await handle.result()
