"""How a workflow writes events: in order, once each, by a local activity."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import JsonObject


class EventWriter:
    """Numbers the events of one workflow; the number is part of the key, so a replay or a retry writes none twice."""

    def __init__(self, *, tenant: str | None, thread_id: str, plan_id: str = "", sequence: int = 0) -> None:
        self._tenant = tenant
        self._thread_id = thread_id
        self._plan_id = plan_id
        self.sequence = sequence

    async def write(self, kind: str, payload: JsonObject, *, plan_id: str | None = None) -> None:
        """Append one event to the thread's stream."""
        self.sequence += 1
        event: JsonObject = {
            "key": f"{workflow.info().workflow_id}/{self.sequence}",
            "tenant": self._tenant,
            "thread_id": self._thread_id,
            "plan_id": self._plan_id if plan_id is None else plan_id,
            "kind": kind,
            "payload": payload,
        }
        await workflow.execute_local_activity("write_event", event, start_to_close_timeout=timedelta(seconds=30))
