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

from workflows.drifting import EVERY_SECONDS as DRIFT_SECONDS
from workflows.drifting import SCHEDULE as DRIFT
from workflows.drifting import DriftInput
from workflows.names import TASK_QUEUE
from workflows.reconciling import EVERY_SECONDS, SCHEDULE, ReconcileInput


async def ensure_reconciling(client: Client, task_queue: str = TASK_QUEUE, every_seconds: int = EVERY_SECONDS) -> bool:
    """Make the schedule of the reconciliation unless it is there. Returns whether it was made now."""
    action = ScheduleActionStartWorkflow("reconcile", ReconcileInput(), id=SCHEDULE, task_queue=task_queue)
    return await ensured(client, SCHEDULE, action, every_seconds)


async def ensure_drift(client: Client, task_queue: str = TASK_QUEUE, every_seconds: int = DRIFT_SECONDS) -> bool:
    """Make the schedule of the look for drift unless it is there. Returns whether it was made now."""
    action = ScheduleActionStartWorkflow("drift", DriftInput(), id=DRIFT, task_queue=task_queue)
    return await ensured(client, DRIFT, action, every_seconds)


async def ensured(client: Client, name: str, action: ScheduleActionStartWorkflow, every_seconds: int) -> bool:
    """Make a schedule unless it is there; a run that is not over lets the next one fall out."""
    schedule = Schedule(
        action=action,
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=timedelta(seconds=every_seconds))]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP),
    )
    try:
        await client.create_schedule(name, schedule)
    except ScheduleAlreadyRunningError:
        return False
    return True
