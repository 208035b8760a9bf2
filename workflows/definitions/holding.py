"""How a plan is held and let go on: by a person, or by the switch that stops every effect."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from tools.plan import PlanState
    from workflows.definitions.calls import call
    from workflows.definitions.events import EventWriter
    from workflows.messages import PlanMove, PlanOutcome


class Holding:
    """Whether a plan is held, by whom, and for how long it was in all."""

    def __init__(self, plan_id: str, events: EventWriter) -> None:
        self._plan_id = plan_id
        self._events = events
        self._since: datetime | None = None
        self._past = timedelta(0)
        self.by_switch = False

    @property
    def held(self) -> bool:
        """Whether nothing may begin now."""
        return self._since is not None

    async def begin(self, actor: str, reason: str, *, by_switch: bool = False) -> None:
        """Hold; one that is held already stays held by whom it was."""
        if self._since is not None:
            return
        self._since, self.by_switch = workflow.now(), by_switch
        await self._move(PlanState.PAUSED)
        await self._events.write("plan.paused", {"actor": actor, "reason": reason})

    async def end(self, actor: str) -> None:
        """Let go on; one that is not held stays so."""
        if self._since is None:
            return
        self._past += workflow.now() - self._since
        self._since, self.by_switch = None, False
        await self._move(PlanState.RUNNING)
        await self._events.write("plan.resumed", {"actor": actor})

    async def wait(self, given_up: Callable[[], bool]) -> None:
        """Return when it is not held, or when there is nothing left to hold."""
        await workflow.wait_condition(lambda: not self.held or given_up())

    async def ended_within(self, running: "asyncio.Task[PlanOutcome]", seconds_max: float) -> bool:
        """Whether an execution ends within so many seconds, those in which it was held left out."""
        began = workflow.now()
        while not running.done():
            left = timedelta(seconds=seconds_max) - (workflow.now() - began - self._past)
            if self.held:
                await workflow.wait_condition(lambda: not self.held or running.done())
            elif left <= timedelta(0):
                return False
            else:
                try:
                    await workflow.wait_condition(lambda: running.done() or self.held, timeout=left)
                except TimeoutError:
                    continue
        return True

    async def _move(self, state: PlanState) -> None:
        move = PlanMove(plan_id=self._plan_id, state=state)
        await call("move_plan", move.model_dump(mode="json"), state.value)
