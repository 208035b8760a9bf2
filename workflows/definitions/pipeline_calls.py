"""How the workflow of a run calls its activities: names, limits and retries in one place."""

from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.definitions.calls import HEARTBEAT, RETRY

M = TypeVar("M", bound=BaseModel)
QUICK = timedelta(seconds=20)
LONG = timedelta(days=30)
"""A step's job has a limit of its own, which its runner keeps; this only bounds what nobody watches any more."""


async def ask(name: str, argument: BaseModel, result: type[M], summary: str = "", *, lasts: bool = False) -> M:
    """Run an activity. Raises ActivityError once retries make no sense any more.

    Args:
        name: of the activity.
        argument: what it is told.
        result: what it answers.
        summary: for whoever looks at the workflow.
        lasts: whether it may last; then it beats.
    """
    found: M = await workflow.execute_activity(
        name,
        argument,
        start_to_close_timeout=LONG if lasts else QUICK,
        heartbeat_timeout=HEARTBEAT if lasts else None,
        retry_policy=RETRY,
        summary=summary[:200] or None,
        result_type=result,
    )
    return found
