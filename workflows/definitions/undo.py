"""The undo of a plan that ended, asked for by a person."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from tools.plan import PlanState
    from workflows.definitions.ending import tell_end
    from workflows.definitions.events import EventWriter
    from workflows.definitions.execution import Execution, Stop
    from workflows.definitions.holding import Holding
    from workflows.messages import PlanOutcome, UndoInput


@workflow.defn(name="undo")
class UndoWorkflow:
    """Undoes what stands of a plan, newest first; what cannot be undone is handed to a person."""

    @workflow.init
    def __init__(self, asked: UndoInput) -> None:
        plan = asked.plan
        key = workflow.info().run_id[:8]
        self._events = EventWriter(tenant=plan.tenant, thread_id=plan.thread_id, plan_id=plan.id, run_id=plan.id, suffix=f"/{key}")
        self._holding = Holding(plan.id, self._events)

    @workflow.run
    async def run(self, asked: UndoInput) -> PlanOutcome:
        """Undo, and tell how the plan stands now."""
        plan, outcome = asked.plan, asked.outcome
        await self._events.write("plan.undoing", {"actor": asked.who.actor, "reason": asked.reason})
        execution = Execution.restored(plan, outcome, asked.who.actor, self._events, self)
        undone, failed = await execution.undo()
        ended = outcome.model_copy(
            update={
                "state": PlanState.ESCALATED if failed else PlanState.UNDONE,
                "undone": [*outcome.undone, *undone],
                "undo_failed": failed,
                "code": "undo_failed" if failed else "undone",
                "reason": asked.reason or f"Undone by {asked.who.actor}.",
            }
        )
        await tell_end(plan, ended, None, self._events)
        return ended

    def stopping(self) -> Stop | None:
        """Nothing stops an undo."""
        return None

    async def hold(self) -> None:
        """Return when effects may happen."""
        await self._holding.wait(lambda: False)

    async def effects_stopped(self, reason: str) -> None:
        """Hold until effects may happen again."""
        await self._holding.begin("administrator", reason, by_switch=True)
        await self._holding.wait(lambda: False)

    @workflow.signal
    async def effects_started(self) -> None:
        """Hear that an administrator lets effects happen again."""
        await self._holding.end("administrator")
