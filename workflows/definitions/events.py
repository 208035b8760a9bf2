"""How a workflow writes events: in order, once each, by a local activity."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.messages import JsonObject


class EventWriter:
    """Numbers the events of one workflow; the number is part of the key, so a replay or a retry writes none twice."""

    def __init__(  # noqa: PLR0913  (what every event carries)
        self, *, tenant: str | None, thread_id: str, plan_id: str = "", run_id: str = "", sequence: int = 0, suffix: str = ""
    ) -> None:
        self._suffix = suffix
        self.run_id = run_id
        self._tenant = tenant
        self._thread_id = thread_id
        self._plan_id = plan_id
        self._noted: list[JsonObject] = []
        self.sequence = sequence

    def note(self, kind: str, payload: JsonObject, *, plan_id: str | None = None) -> None:
        """Keep an event until it is taken or flushed: what an agent does is told in batches, for each write costs a step milliseconds."""
        self.sequence += 1
        event: JsonObject = {
            "key": f"{workflow.info().workflow_id}{self._suffix}/{self.sequence}",
            "tenant": self._tenant,
            "thread_id": self._thread_id,
            "plan_id": self._plan_id if plan_id is None else plan_id,
            "run_id": self.run_id,
            "kind": kind,
            "payload": payload,
        }
        self._noted.append(event)

    def take(self) -> list[JsonObject]:
        """Hand over what was noted, for an activity that writes it before it does anything else."""
        noted, self._noted = self._noted, []
        return noted

    async def flush(self) -> None:
        """Append what was noted to the thread's stream, in order."""
        noted = self.take()
        if noted:
            batch: JsonObject = {"events": list(noted)}
            await workflow.execute_local_activity("write_events", batch, start_to_close_timeout=timedelta(seconds=30))

    async def write(self, kind: str, payload: JsonObject, *, plan_id: str | None = None) -> None:
        """Append one event to the thread's stream now, after all that were noted."""
        self.note(kind, payload, plan_id=plan_id)
        await self.flush()
