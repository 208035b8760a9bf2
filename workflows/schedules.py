"""What runs by the clock: made at a worker's start, once however many workers start."""

from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
)

from workflows.names import TASK_QUEUE
from workflows.reconciling import EVERY_SECONDS, SCHEDULE, ReconcileInput


async def ensure_reconciling(client: Client, task_queue: str = TASK_QUEUE, every_seconds: int = EVERY_SECONDS) -> bool:
    """Make the schedule of the reconciliation unless it is there. Returns whether it was made now."""
    schedule = Schedule(
        action=ScheduleActionStartWorkflow("reconcile", ReconcileInput(), id=SCHEDULE, task_queue=task_queue),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=every_seconds))]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(SCHEDULE, schedule)
    except ScheduleAlreadyRunningError:
        return False
    return True
