"""Executes a plan's steps: side by side where nothing orders them, each verified, undone backwards where one failed."""

import asyncio
from collections.abc import Callable

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


class Execution:
    """The run of one approved plan. States of steps: waiting, running, done, skipped, failed, undone."""

    def __init__(self, plan: Plan, actor: str, events: EventWriter, cancelled: Callable[[], str | None]) -> None:
        self._plan = plan
        self._actor = actor
        self._events = events
        self._cancelled = cancelled
        self._results: dict[str, JsonObject] = {}
        self._order: list[Step] = []
        self._jobs: set[str] = set()
        self._stop: tuple[PlanState, str, str, str] | None = None
        self.states: dict[str, str] = {step.id: "waiting" for step in plan.steps}

    async def run(self) -> PlanOutcome:
        """Run waves of ready steps until none is left; then undo, if the plan failed or was cancelled."""
        while ready := self._ready():
            await asyncio.gather(*(self._one(step) for step in ready))
        state, code, reason, remedy = self._stop or (PlanState.DONE, "", "", "")
        done = [step.id for step in self._order if self.states[step.id] == "done"]
        undone, undo_failed = await self._undo() if state in {PlanState.FAILED, PlanState.CANCELLED} else ([], [])
        return PlanOutcome(
            state=state,
            done=done,
            skipped=[name for name, each in self.states.items() if each == "skipped"],
            undone=undone,
            undo_failed=undo_failed,
            results=self._results,
            code=code,
            reason=reason,
            remedy=remedy,
        )

    async def stop(self) -> None:
        """Ask running jobs to end; the steps after them are skipped by `run`."""
        who = Who(actor=self._actor, role="", tenant=self._plan.tenant)
        for job in sorted(self._jobs):
            await workflow.get_external_workflow_handle(job).signal("cancel", Cancellation(who=who, reason="The plan was cancelled."))

    def _ready(self) -> list[Step]:
        """Steps whose predecessors have ended. After a stop only those marked always remain, if what they need was done."""
        if self._stop is None and (reason := self._cancelled()) is not None:
            self._stop = (PlanState.CANCELLED, "cancelled", reason, "")
        waiting = [step for step in self._plan.steps if self.states[step.id] == "waiting"]
        for step in waiting:
            if self._stop is not None and not (step.always and references(step) <= set(self._results)):
                self.states[step.id] = "skipped"
        ready = [step for step in waiting if self.states[step.id] == "waiting" and self._may_begin(step)]
        if waiting and not ready and self._stop is None:
            names = ", ".join(step.id for step in waiting)
            self._stop = (PlanState.FAILED, "plan_inconsistent", f"Steps wait for each other: {names}.", "Plan again.")
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
        except (ActivityError, ChildWorkflowError, ApplicationError) as error:
            await self._failed(step, *explain(error))
            return
        self.states[step.id] = "done"
        await self._events.write("step.done", {"step": step.id, "tool": step.tool, "agent": step.agent, "result": result})
        if step.gate and result.get("passed") is False:
            reason = f"{step.summary}: {result.get('value')} does not beat {result.get('threshold')}."
            self._stop = self._stop or (PlanState.GATED, "gated", reason, "What was live stays live; improve the model or lower the gate.")

    async def _failed(self, step: Step, code: str, reason: str, remedy: str) -> None:
        self.states[step.id] = "failed"
        told = self._cancelled()
        state = PlanState.CANCELLED if told is not None or code == "cancelled" else PlanState.FAILED
        reason = told or reason
        self._stop = self._stop or (state, code, reason, remedy)
        await self._events.write("step.failed", {"step": step.id, "tool": step.tool, "code": code, "reason": reason, "remedy": remedy})

    async def _effect(self, step: Step) -> JsonObject:
        request = self._request(step)
        if step.runs_as == "job":
            request.result = await self._job(request)
        else:
            request.result = await call("run_step", request.model_dump(mode="json"), f"{step.agent}: {step.summary}")
        self._results[step.id] = request.result
        self._order.append(step)  # from here on there is something to undo, even if the factory does not confirm it
        await call("verify_step", request.model_dump(mode="json"), f"verify {step.id}")
        return request.result

    def _request(self, step: Step) -> StepCall:
        """What an activity is told of a step: its arguments filled in, its key, and its result where there is one."""
        return StepCall(
            plan_id=self._plan.id,
            thread_id=self._plan.thread_id,
            tenant=self._plan.tenant,
            actor=self._actor,
            key=f"{self._plan.id}/{step.id}",
            step=step,
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
        name = f"{self._plan.id}-{request.step.id}"
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

    async def _undo(self) -> tuple[list[str], list[str]]:
        """Undo what was done, newest first. One that fails is told, and the others still are undone."""
        undone, failed = [], []
        for step in reversed(self._order):
            request = self._request(step)
            try:
                told = await call("undo_step", request.model_dump(mode="json"), f"undo {step.id}")
            except ActivityError as error:
                code, reason, remedy = explain(error)
                failed.append(step.id)
                payload: JsonObject = {"step": step.id, "code": code, "reason": reason, "remedy": remedy}
                await self._events.write("step.undo_failed", payload)
                continue
            if told["undone"]:
                undone.append(step.id)
                self.states[step.id] = "undone"
                await self._events.write("step.undone", {"step": step.id, "told": told["told"]})
        return undone, failed
