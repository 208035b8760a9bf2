"""A job as a workflow: started once, watched to its end, found again after any crash, cancelled on demand."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.definitions.calls import call
    from workflows.messages import Cancellation, JobOutcome, StepCall


@workflow.defn(name="job")
class JobWorkflow:
    """One job of one step. The activity that starts it also watches it: started again, it finds the job by the step's key."""

    @workflow.init
    def __init__(self, request: StepCall) -> None:
        self._cancelled: Cancellation | None = None
        self._ended = False

    @workflow.run
    async def run(self, request: StepCall) -> JobOutcome:
        """Run the job to its end; a cancellation beside it ends its processes, and the watcher then sees the end."""
        canceller = asyncio.create_task(self._cancel_when_asked(request))
        outcome = JobOutcome.model_validate(await call("run_job", request.model_dump(mode="json"), request.step.summary))
        self._ended = True
        await canceller
        return outcome

    async def _cancel_when_asked(self, request: StepCall) -> None:
        await workflow.wait_condition(lambda: self._cancelled is not None or self._ended)
        if not self._ended:
            await call("cancel_job", request.model_dump(mode="json"), "cancel")

    @workflow.signal
    def cancel(self, cancellation: Cancellation) -> None:
        """End the job and every process that it started."""
        self._cancelled = cancellation
