"""Executes a plan's steps: side by side where nothing orders them, each verified, undone backwards where one failed."""

import asyncio
from typing import NamedTuple, Protocol

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from pydantic import JsonValue

    from tools.plan import Plan, PlanState, Step, references
    from workflows.definitions.calls import call
    from workflows.definitions.events import EventWriter
    from workflows.definitions.job import JobWorkflow
    from workflows.failures import explain
    from workflows.messages import Cancellation, JobOutcome, JsonObject, PlanOutcome, StepCall, Who

EFFECTS_STOPPED = "effects_stopped"
FAILURES = (ActivityError, ChildWorkflowError, ApplicationError)


class Stop(NamedTuple):
    """Why an execution goes no further."""

    state: PlanState
    code: str
    reason: str
    remedy: str = ""


class Owner(Protocol):
    """Whose steps they are: what an execution asks of its workflow."""

    def stopping(self) -> Stop | None:
        """Why it should stop, None while it should not."""
        ...

    async def hold(self) -> None:
        """Return when the next step may begin: at once, or when a held plan goes on or is ended."""
        ...

    async def effects_stopped(self, reason: str) -> None:
        """Return when effects may happen again."""
        ...


class Execution:
    """The run of one approved plan. States of steps: waiting, running, done, skipped, failed, undone."""

    def __init__(self, plan: Plan, actor: str, events: EventWriter, owner: Owner) -> None:
        self._plan = plan
        self._actor = actor
        self._events = events
        self._owner = owner
        self._results: dict[str, JsonObject] = {}
        self._order: list[Step] = []
        self._jobs: set[str] = set()
        self._attempts: dict[str, int] = {}
        self._stop: Stop | None = None
        self.ending = False
        self.states: dict[str, str] = {step.id: "waiting" for step in plan.steps}

    @classmethod
    def restored(cls, plan: Plan, outcome: PlanOutcome, actor: str, events: EventWriter, owner: Owner) -> "Execution":
        """The execution as it ended, for an undo: what was done and is not undone yet."""
        execution = cls(plan, actor, events, owner)
        execution._results = dict(outcome.results)
        by_id = {step.id: step for step in plan.steps}
        standing = [name for name in outcome.order or outcome.done if name in by_id and name not in outcome.undone]
        execution._order = [by_id[name] for name in standing]
        execution.states.update(dict.fromkeys(standing, "done"))
        return execution

    async def run(self) -> PlanOutcome:
        """Run waves of ready steps until none is left; then undo, if the plan failed or was cancelled."""
        while True:
            await self._owner.hold()
            ready = self._ready()
            if not ready:
                break
            await asyncio.gather(*(self._one(step) for step in ready))
        self.ending = True
        stop = self._stop or Stop(PlanState.DONE, "", "")
        done = [step.id for step in self._order if self.states[step.id] == "done"]
        order = [step.id for step in self._order]
        undone, undo_failed = await self.undo() if stop.state in {PlanState.FAILED, PlanState.CANCELLED} else ([], [])
        return PlanOutcome(
            state=PlanState.ESCALATED if undo_failed else stop.state,
            done=done,
            order=order,
            skipped=[name for name, each in self.states.items() if each == "skipped"],
            undone=undone,
            undo_failed=undo_failed,
            results=self._results,
            code=stop.code,
            reason=stop.reason,
            remedy=stop.remedy,
        )

    def replace(self, plan: Plan) -> None:
        """Go on with a revision of the plan: steps that ended keep their state."""
        self._plan = plan
        self.states = {step.id: self.states.get(step.id, "waiting") for step in plan.steps}

    async def stop(self) -> None:
        """Ask running jobs to end; the steps after them are skipped by `run`."""
        who = Who(actor=self._actor, role="", tenant=self._plan.tenant)
        for job in sorted(self._jobs):
            await workflow.get_external_workflow_handle(job).signal("cancel", Cancellation(who=who, reason="The plan was cancelled."))

    def _ready(self) -> list[Step]:
        """Steps whose predecessors have ended. After a stop only those marked always remain, if what they need was done."""
        self._stop = self._stop or self._owner.stopping()
        waiting = [step for step in self._plan.steps if self.states[step.id] == "waiting"]
        for step in waiting:
            if self._stop is not None and not (step.always and references(step) <= set(self._results)):
                self.states[step.id] = "skipped"
        ready = [step for step in waiting if self.states[step.id] == "waiting" and self._may_begin(step)]
        if waiting and not ready and self._stop is None:
            names = ", ".join(step.id for step in waiting)
            self._stop = Stop(PlanState.FAILED, "plan_inconsistent", f"Steps wait for each other: {names}.", "Plan again.")
            return self._ready()
        return ready

    def _may_begin(self, step: Step) -> bool:
        """Whether every step that this one comes after has ended, one way or another."""
        return all(self.states.get(name) not in {"waiting", "running"} for name in {*step.after, *references(step)})

    async def _one(self, step: Step) -> None:
        self.states[step.id] = "running"
        await self._events.write("step.started", {"step": step.id, "tool": step.tool, "agent": step.agent, "summary": step.summary})
        try:
            result = await self._effect(step)
        except FAILURES as error:
            await self._failed(step, *explain(error))
            return
        self.states[step.id] = "done"
        await self._events.write("step.done", {"step": step.id, "tool": step.tool, "agent": step.agent, "result": result})
        if step.gate and result.get("passed") is False:
            reason = f"{step.summary}: {result.get('value')} does not beat {result.get('threshold')}."
            self._stop = self._stop or Stop(
                PlanState.GATED, "gated", reason, "What was live stays live; improve the model or lower the gate."
            )

    async def _failed(self, step: Step, code: str, reason: str, remedy: str) -> None:
        self.states[step.id] = "failed"
        told = self._owner.stopping() or Stop(PlanState.CANCELLED if code == "cancelled" else PlanState.FAILED, code, reason, remedy)
        self._stop = self._stop or told
        payload: JsonObject = {"step": step.id, "tool": step.tool, "code": code, "reason": told.reason, "remedy": remedy}
        await self._events.write("step.failed", payload)

    async def _effect(self, step: Step) -> JsonObject:
        result = await self._acted(step)
        self._results[step.id] = result
        self._order.append(step)  # from here on there is something to undo, even if the factory does not confirm it
        await call("verify_step", self._request(step).model_dump(mode="json"), f"verify {step.id}")
        return result

    async def _acted(self, step: Step) -> JsonObject:
        """Act; while an administrator has stopped every effect, wait and then act anew."""
        while True:
            request = self._request(step)
            try:
                if step.runs_as == "job":
                    return await self._job(request)
                return await call("run_step", request.model_dump(mode="json"), f"{step.agent}: {step.summary}")
            except FAILURES as error:
                code, reason, _ = explain(error)
                if code != EFFECTS_STOPPED or self._owner.stopping() is not None:
                    raise
                self._attempts[step.id] = self._attempts.get(step.id, 1) + (step.runs_as == "job")
                await self._owner.effects_stopped(reason)
                if self._owner.stopping() is not None:
                    raise

    def _request(self, step: Step) -> StepCall:
        """What an activity is told of a step: its arguments filled in, its key, and its result where there is one."""
        attempt = self._attempts.get(step.id, 1)
        return StepCall(
            plan_id=self._plan.id,
            thread_id=self._plan.thread_id,
            tenant=self._plan.tenant,
            project=self._plan.project,
            actor=self._actor,
            key=f"{self._plan.id}/{step.id}" + (f"/{attempt}" if attempt > 1 else ""),
            step=step,
            scope=self._plan.scope,
            arguments=self._filled(step),
            result=self._results.get(step.id, {}),
        )

    def _filled(self, step: Step) -> JsonObject:
        filled: JsonObject = {}
        for name, value in step.arguments.items():
            filled[name] = self._referred(name, value) if isinstance(value, dict) and "from_step" in value else value
        return filled

    def _referred(self, name: str, value: JsonObject) -> JsonValue:
        result, field = self._results.get(str(value["from_step"]), {}), str(value["field"])
        if field not in result:
            reason = f"'{name}' needs '{field}' of step '{value['from_step']}', which has no such result."
            raise ApplicationError(reason, type="plan_inconsistent", non_retryable=True)
        return result[field]

    async def _job(self, request: StepCall) -> JsonObject:
        """Run the job as a workflow of its own; one that is started anew after a stop of effects has a name of its own."""
        name = request.key.replace("/", "-")
        self._jobs.add(name)
        try:
            outcome: JobOutcome = await workflow.execute_child_workflow(
                JobWorkflow.run, request, id=name, static_summary=request.step.summary[:200]
            )
        finally:
            self._jobs.discard(name)
        if outcome.state != "succeeded":
            details = {"code": outcome.code, "reason": outcome.reason, "remedy": outcome.remedy}
            raise ApplicationError(outcome.reason, details, type=outcome.code, non_retryable=True)
        return outcome.result

    async def undo(self) -> tuple[list[str], list[str]]:
        """Undo what was done, newest first. One that fails is told with the exact state, and the others still are undone."""
        undone, failed = [], []
        for step in reversed(self._order):
            request = self._request(step)
            try:
                told = await self._undone(request)
            except ActivityError as error:
                code, reason, remedy = explain(error)
                failed.append(step.id)
                payload: JsonObject = {"step": step.id, "code": code, "reason": reason, "remedy": remedy}
                await self._events.write("step.undo_failed", {**payload, "arguments": request.arguments, "result": request.result})
                continue
            if told["undone"]:
                undone.append(step.id)
                self.states[step.id] = "undone"
                await self._events.write("step.undone", {"step": step.id, "told": told["told"]})
        return undone, failed

    async def _undone(self, request: StepCall) -> JsonObject:
        """Undo one step; an undo is an effect too and waits while every effect is stopped."""
        while True:
            try:
                return await call("undo_step", request.model_dump(mode="json"), f"undo {request.step.id}")
            except ActivityError as error:
                code, reason, _ = explain(error)
                if code != EFFECTS_STOPPED:
                    raise
                await self._owner.effects_stopped(reason)
