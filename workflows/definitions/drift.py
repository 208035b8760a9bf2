"""The look for drift: monitors that are due are compared, and each alert without a plan gets one proposed."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from workflows.drifting import Answers, Comparison, DriftInput, DriftRound, DueMonitors, MonitorName

LIMIT = timedelta(minutes=5)
HEARTBEAT = timedelta(seconds=60)
AT_ONCE = 2
"""Comparing takes a core each."""
RETRY = RetryPolicy(initial_interval=timedelta(seconds=2), maximum_interval=timedelta(seconds=30), maximum_attempts=3)


@workflow.defn(name="drift")
class DriftWorkflow:
    """One look. A monitor that cannot be compared is told, and does not hold the others up; it is due again after its interval."""

    @workflow.run
    async def run(self, request: DriftInput) -> DriftRound:
        """Compare what is due, then propose what is missing."""
        due: DueMonitors = await workflow.execute_activity(
            "due_monitors", request, start_to_close_timeout=timedelta(seconds=30), retry_policy=RETRY, result_type=DueMonitors
        )
        room = asyncio.Semaphore(AT_ONCE)
        compared = await asyncio.gather(*(self._compared(each, room) for each in due.monitors))
        answers: Answers = await workflow.execute_activity(
            "answer_drift", start_to_close_timeout=LIMIT, heartbeat_timeout=HEARTBEAT, retry_policy=RETRY, result_type=Answers
        )
        return DriftRound(compared=list(compared), answers=answers.answers)

    async def _compared(self, monitor: MonitorName, room: asyncio.Semaphore) -> Comparison:
        async with room:
            try:
                found: Comparison = await workflow.execute_activity(
                    "check_monitor",
                    monitor,
                    start_to_close_timeout=LIMIT,
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RETRY,
                    summary=f"{monitor.tenant}/{monitor.name}",
                    result_type=Comparison,
                )
            except ActivityError as error:
                cause = error.cause
                told = cause.message if isinstance(cause, ApplicationError) else str(cause or error)
                return Comparison(tenant=monitor.tenant, name=monitor.name, error=told)
            return found
