"""Plays the steps of a run: side by side where nothing orders them, again where they may fail, undone where the run does."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from workflows.definitions.calls import call
    from workflows.definitions.lanes import Lane, Lanes
    from workflows.definitions.pipeline_calls import ask
    from workflows.failures import explain
    from workflows.messages import StepCall
    from workflows.pipelining import GateEnd, PipelineCall, PipelineInput, StepEnd, StepMove, StepOrder, Told, ToolEnd

EFFECTS_STOPPED = "effects_stopped"
STOPPED_WAIT = timedelta(seconds=5)
"""How often it is looked whether effects may happen again."""
LEASES_LOST_MAX = 3
GOOD = {"done", "cached"}
R = TypeVar("R")
Asking = Callable[[StepOrder, GateEnd], Awaitable[StepEnd]]


class Stop(NamedTuple):
    """Why a run goes no further."""

    state: str
    code: str
    reason: str
    remedy: str = ""


class Steps:
    """The steps of one run. States: waiting, running, asking, done, cached, failed, skipped, cancelled, undone."""

    def __init__(self, asked: PipelineInput, asking: Asking) -> None:
        self._asked = asked
        self._asking = asking
        self._lanes = Lanes(asked)
        self._room = asyncio.Semaphore(asked.at_once_max)
        self._calls: list[StepCall] = []
        self._running: dict[str, PipelineCall] = {}
        self._stops = 0
        self.states = {order.id: "waiting" for order in asked.steps}
        self.stop: Stop | None = None

    async def play(self) -> None:
        """Run everything that may run; afterwards no lease is held."""
        try:
            await asyncio.gather(*(self._one(order) for order in self._asked.steps))
        finally:
            await self._lanes.clear()

    async def cancel(self, stop: Stop) -> None:
        """Begin nothing more, and end the jobs that run."""
        self.stop = self.stop or stop
        await asyncio.gather(*(self._end_job(request) for request in list(self._running.values())))

    async def undo(self) -> tuple[list[str], list[str]]:
        """Undo what tools did, newest first; what cannot be undone is told, and the others still are undone."""
        undone, failed = [], []
        for request in reversed(self._calls):
            name = request.step.id
            act = partial(call, "undo_step", request.model_dump(mode="json"), f"undo {request.key}")
            try:
                told = await self._patient(act)
            except ActivityError as error:
                code, reason, remedy = explain(error)
                failed.append(name)
                await self._tell(name, "done", Told(code="undo_failed", reason=f"{code}: {reason}", remedy=remedy))
                continue
            if told["undone"]:
                undone.append(name)
                self.states[name] = "undone"
                await self._tell(name, "undone", Told(reason=str(told["told"])))
        return undone, failed

    async def _end_job(self, request: PipelineCall) -> None:
        """End a job; one that has not appeared yet is ended as soon as it has."""
        try:
            await ask("cancel_pipeline_step", request, Told, f"cancel {request.step}")
        except ActivityError as error:
            workflow.logger.warning("job of %s is not ended: %s", request.step, error)

    async def _one(self, order: StepOrder) -> None:
        await workflow.wait_condition(lambda: self.stop is not None or all(self._ended(name) for name in order.needs))
        if order.work == "gate":  # it waits for people, not for room
            await self._begun(order)
            return
        async with self._room:
            await self._begun(order)

    async def _begun(self, order: StepOrder) -> None:
        if self.stop is not None or not all(self.states[name] in GOOD for name in order.needs):
            self.states[order.id] = "skipped"
            await self._tell(order.id, "skipped", Told())
            return
        self.states[order.id] = "running"
        try:
            end = await self._acted(order)
        except ActivityError as error:
            code, reason, remedy = explain(error)
            end = StepEnd(state="failed", code=code, reason=reason, remedy=remedy)
            await self._tell(order.id, "failed", end)
        self._take_in(order, end)

    def _ended(self, name: str) -> bool:
        return self.states[name] not in {"waiting", "running", "asking"}

    def _take_in(self, order: StepOrder, end: StepEnd) -> None:
        """Note how a step ended; the first that ends badly ends the run."""
        if end.state in GOOD:
            self.states[order.id] = end.state
            return
        self.states[order.id] = "cancelled" if end.state == "cancelled" else "failed"
        state = "expired" if end.code == "expired" else end.state if end.state in {"gated", "cancelled"} else "failed"
        self.stop = self.stop or Stop(state, end.code, f"Step '{order.id}': {end.reason}", end.remedy)

    async def _acted(self, order: StepOrder) -> StepEnd:
        if order.long:
            await self._lanes.clear()
        if order.work == "data":
            request = self._request(order)
            return await self._patient(partial(ask, "run_pipeline_step", request, StepEnd, order.id, lasts=True))
        if order.work == "tool":
            return await self._tools(order)
        return await self._gate(order) if order.work == "gate" else await self._job(order)

    async def _gate(self, order: StepOrder) -> StepEnd:
        end = await ask("judge_pipeline_gate", self._request(order), GateEnd, order.id)
        if end.state != "done" or end.card is None:
            return end
        self.states[order.id] = "asking"
        answered = await self._asking(order, end)
        await self._tell(order.id, "done" if answered.state == "done" else "failed", answered)
        return answered

    async def _tools(self, order: StepOrder) -> StepEnd:
        """Call a step's tools one after another, each verified; what they did is undone where the run fails."""
        for number in range(order.calls):
            request = self._request(order).model_copy(update={"number": number})
            end = await self._patient(partial(ask, "run_pipeline_tool", request, ToolEnd, order.id, lasts=True))
            self._calls.append(end.call)  # from here on there is something to undo, even if the factory does not confirm it
            await self._patient(partial(call, "verify_step", end.call.model_dump(mode="json"), f"verify {order.id}"))
            if not end.passed:
                gated = StepEnd(state="gated", code="gated", reason=end.reason, remedy="What was live stays live.")
                await self._tell(order.id, "failed", gated)
                return gated
        done = StepEnd(state="done")
        await self._tell(order.id, "done", done)
        return done

    async def _job(self, order: StepOrder) -> StepEnd:
        """Run a job as often as it may be."""
        end = StepEnd(state="failed")
        for attempt in range(1, order.attempts + 1):
            end = await self._attempt(order, attempt)
            if end.state != "failed" or not end.again or self.stop is not None:
                return end
            if order.wait_seconds and attempt < order.attempts:
                await self._paused(timedelta(seconds=order.wait_seconds))
        return end

    async def _paused(self, limit: timedelta) -> None:
        try:
            await workflow.wait_condition(lambda: self.stop is not None, timeout=limit)
        except TimeoutError:
            return

    async def _attempt(self, order: StepOrder, attempt: int) -> StepEnd:
        """One attempt: without a lease where what it would leave is known, else on one."""
        lane = self._lanes.free(order)
        for _ in range(LEASES_LOST_MAX + 1):
            end = await self._on(order, attempt, lane)
            if end.state not in {"needs_lease", "lease_lost"}:
                return end
            if self.stop is not None:
                end = StepEnd(state="cancelled", code="cancelled", reason="The run was ended before it began.")
                await self._tell(order.id, "cancelled", end)
                return end
            lane = await self._patient(partial(self._lanes.take, order))
        end = StepEnd(state="failed", code="lease_lost", reason="Its leases were ended again and again.", remedy="lineshaft leases list")
        await self._tell(order.id, "failed", end)
        return end

    async def _on(self, order: StepOrder, attempt: int, lane: Lane | None) -> StepEnd:
        """Act on a lane, and give it on."""
        try:
            end = await self._run_job(order, attempt, lane.lease_id if lane else "")
        except ActivityError:
            if lane is not None:
                self._lanes.put(lane)
            raise
        if lane is not None and end.state == "lease_lost":
            await self._lanes.drop(lane)
        elif lane is not None:
            self._lanes.put(lane)
        return end

    async def _run_job(self, order: StepOrder, attempt: int, lease_id: str) -> StepEnd:
        """Run the activity that does and watches the job. A stop of every effect ends the job; afterwards it is another one."""
        while True:
            request = self._request(order).model_copy(update={"attempt": attempt, "lease_id": lease_id, "stops": self._stops})
            self._running[order.id] = request
            try:
                return await ask("run_pipeline_step", request, StepEnd, order.id, lasts=True)
            except ActivityError as error:
                if explain(error)[0] != EFFECTS_STOPPED or self.stop is not None:
                    raise
            finally:
                self._running.pop(order.id, None)
            self._stops += 1
            await self._paused(STOPPED_WAIT)

    async def _patient(self, act: Callable[[], Awaitable[R]]) -> R:
        """Act; while an administrator has stopped every effect, wait and act anew."""
        while True:
            try:
                return await act()
            except ActivityError as error:
                if explain(error)[0] != EFFECTS_STOPPED:
                    raise
            await workflow.sleep(STOPPED_WAIT)

    def _request(self, order: StepOrder) -> PipelineCall:
        asked = self._asked
        return PipelineCall(run_id=asked.run_id, tenant=asked.tenant, actor=asked.actor, thread_id=asked.thread_id, step=order.id)

    async def _tell(self, step: str, state: str, told: Told) -> None:
        """Write where a step is, as only this workflow can know."""
        said = {"code": told.code, "reason": told.reason, "remedy": told.remedy}
        await ask("move_pipeline_step", StepMove(run_id=self._asked.run_id, step=step, state=state, **said), Told, f"{step} {state}")
