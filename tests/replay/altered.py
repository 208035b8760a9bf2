"""The control: workflows of the same names whose commands come in another order."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from tools.plan import Plan
    from workflows.access import AccessInput, AccessMove, AccessStands
    from workflows.definitions.access import AccessWorkflow
    from workflows.definitions.calls import call
    from workflows.definitions.drift import DriftWorkflow
    from workflows.definitions.job import JobWorkflow
    from workflows.definitions.pipeline import PipelineWorkflow
    from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
    from workflows.definitions.plan import PlanWorkflow
    from workflows.definitions.thread import ThreadWorkflow
    from workflows.definitions.undo import UndoWorkflow
    from workflows.drifting import DriftInput, DriftRound
    from workflows.messages import JobOutcome, PlanMove, PlanOutcome, StepCall, ThreadInput, UndoInput
    from workflows.pipelining import FiringInput, PipelineEnd, PipelineInput, Told


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


@workflow.defn(name="drift")
class AlteredDrift(DriftWorkflow):
    """Answers before it looks."""

    @workflow.run
    async def run(self, request: DriftInput) -> DriftRound:
        """One activity too early."""
        await workflow.execute_activity("answer_drift", start_to_close_timeout=timedelta(minutes=5))
        return await super().run(request)


@workflow.defn(name="pipeline")
class AlteredPipeline(PipelineWorkflow):
    """Moves a run before it is judged."""

    @workflow.run
    async def run(self, asked: PipelineInput) -> PipelineEnd:
        """One activity too many."""
        await self._move("asked")
        return await super().run(asked)


@workflow.defn(name="pipeline_firing")
class AlteredFiring(PipelineFiringWorkflow):
    """Waits before it fires."""

    @workflow.run
    async def run(self, asked: FiringInput) -> Told:
        """A timer too many."""
        await workflow.sleep(timedelta(seconds=1))
        return await super().run(asked)


@workflow.defn(name="access")
class AlteredAccess(AccessWorkflow):
    """Lapses before it is opened."""

    @workflow.run
    async def run(self, asked: AccessInput) -> AccessStands:
        """One activity too early."""
        await self._go(AccessMove(act="lapsed"))
        return await super().run(asked)
