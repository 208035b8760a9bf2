"""How workflows call activities: names, time limits and retries in one place."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from workflows.messages import JsonObject

# A part that is away for ten minutes is waited for; what cannot succeed is not tried again at all.
RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=15), maximum_attempts=45
)
HEARTBEAT = timedelta(seconds=8)
"""A worker that dies is noticed after this long: every activity that lasts beats more often."""

LIMITS = {
    "ask_model": timedelta(minutes=6),
    "run_step": timedelta(minutes=10),
    "run_job": timedelta(hours=24),
}
QUICK = {"save_plan", "move_plan", "save_approval", "write_events", "judge_plan", "read_situation"}
"""A few statements to the database, without a beat: a worker that dies in one of them holds its plan up for no longer than this."""
QUICK_LIMIT = timedelta(seconds=20)
BEATING = {"ask_model", "run_step", "run_job", "undo_step"}


SHORT_READS = {"call_tool"}
"""Run as local activities: a read of the factory that answers in milliseconds needs no queue of its own."""


async def call(name: str, argument: JsonObject, summary: str = "") -> JsonObject:
    """Run an activity and return its result. Raises ActivityError once retries make no sense any more."""
    if name in SHORT_READS:
        limit = timedelta(seconds=30)
        read: JsonObject = await workflow.execute_local_activity(
            name, argument, start_to_close_timeout=limit, retry_policy=RETRY, result_type=dict
        )
        return read
    result: JsonObject = await workflow.execute_activity(
        name,
        argument,
        start_to_close_timeout=QUICK_LIMIT if name in QUICK else LIMITS.get(name, timedelta(minutes=2)),
        heartbeat_timeout=HEARTBEAT if name in BEATING else None,
        retry_policy=RETRY,
        summary=summary or None,
        result_type=dict,
    )
    return result
