"""The control: workflows of the same names whose commands come in another order."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan
    from workflows.definitions.calls import call
    from workflows.definitions.job import JobWorkflow
    from workflows.definitions.plan import PlanWorkflow
    from workflows.definitions.thread import ThreadWorkflow
    from workflows.definitions.undo import UndoWorkflow
    from workflows.messages import JobOutcome, PlanMove, PlanOutcome, StepCall, ThreadInput, UndoInput


@workflow.defn(name="plan")
class AlteredPlan(PlanWorkflow):
    """Moves the plan before it keeps it."""

    @workflow.run
    async def run(self, plan: Plan) -> PlanOutcome:
        """One activity too many."""
        await call("move_plan", PlanMove(plan_id=plan.id, state=self._state).model_dump(mode="json"))
        return await super().run(plan)


@workflow.defn(name="job")
class AlteredJob(JobWorkflow):
    """Cancels before it begins."""

    @workflow.run
    async def run(self, request: StepCall) -> JobOutcome:
        """Another activity first."""
        await call("cancel_job", request.model_dump(mode="json"))
        return await super().run(request)


@workflow.defn(name="thread")
class AlteredThread(ThreadWorkflow):
    """Writes an event before it listens."""

    @workflow.run
    async def run(self, start: ThreadInput) -> None:
        """An event too many."""
        await self._events.write("message.assistant", {"text": "Welcome."})
        await super().run(start)


@workflow.defn(name="undo")
class AlteredUndo(UndoWorkflow):
    """Keeps the plan before it undoes it."""

    @workflow.run
    async def run(self, asked: UndoInput) -> PlanOutcome:
        """One activity too many."""
        await call("save_plan", asked.plan.model_dump(mode="json"))
        return await super().run(asked)
