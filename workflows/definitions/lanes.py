"""The leases of a run: taken when a job needs one, used again by the next, and given back when nobody needs them."""

from datetime import datetime, timedelta
from typing import NamedTuple

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from tools.plan import Effect, Step
    from workflows.definitions.calls import call
    from workflows.messages import JsonObject, StepCall
    from workflows.pipelining import PipelineInput, StepOrder

TERM_SECONDS_MIN = 300
TERM_SECONDS_MAX = 604_800
SPARE_SECONDS = 30
AGENT = "pipeline"


class Lane(NamedTuple):
    """A lease that the run holds."""

    lease_id: str
    pool: str
    slots: int
    until: datetime


class Lanes:
    """Each lane serves one job at a time. Its lease is reserved in the ledger before and settled after, as in a plan."""

    def __init__(self, asked: PipelineInput) -> None:
        self._asked = asked
        self._free: list[Lane] = []
        self._number = 0

    def free(self, order: StepOrder) -> Lane | None:
        """Take a lane that is free, large enough and lasts long enough; the smallest of them."""
        until = workflow.now() + timedelta(seconds=order.seconds + SPARE_SECONDS)
        fit = [lane for lane in self._free if lane.pool == order.pool and lane.slots >= order.slots and lane.until >= until]
        if not fit:
            return None
        chosen = min(fit, key=lambda lane: lane.slots)
        self._free.remove(chosen)
        return chosen

    async def take(self, order: StepOrder) -> Lane:
        """Return a free lane, or lease a new one. Raises ActivityError where it is refused."""
        if (lane := self.free(order)) is not None:
            return lane
        await self._give_back([lane for lane in self._free if lane.pool == order.pool])
        self._number += 1
        seconds = min(max(2 * order.seconds, TERM_SECONDS_MIN) + SPARE_SECONDS, TERM_SECONDS_MAX)
        arguments: JsonObject = {
            "slots": order.slots,
            "purpose": self._asked.title[:200],
            "seconds": seconds,
            "pool": order.pool,
            "wait_seconds": order.queue_seconds,
        }
        found = await call("run_step", self._request(f"lane-{self._number}", "leases.acquire", Effect.COSTLY, arguments), "lease")
        waits = order.queue_seconds if found.get("state") != "active" else 0
        return Lane(str(found["lease_id"]), order.pool, order.slots, workflow.now() + timedelta(seconds=seconds + waits))

    def put(self, lane: Lane) -> None:
        """Leave a lane to the next job."""
        self._free.append(lane)

    async def drop(self, lane: Lane) -> None:
        """Give back a lane that is of no use any more."""
        await self._give_back([lane])

    async def clear(self) -> None:
        """Give back every lane that nobody uses now."""
        await self._give_back(list(self._free))

    async def _give_back(self, lanes: list[Lane]) -> None:
        for lane in lanes:
            if lane in self._free:
                self._free.remove(lane)
            request = self._request(f"free-{lane.lease_id}", "leases.release", Effect.WRITE, {"lease_id": lane.lease_id})
            try:
                await call("run_step", request, "release")
            except ActivityError as error:  # its term ends it; the ledger then settles it by its record
                workflow.logger.warning("lease %s is not given back: %s", lane.lease_id, error)

    def _request(self, name: str, tool: str, effect: Effect, arguments: JsonObject) -> JsonObject:
        asked = self._asked
        step = Step(id=name, tool=tool, agent=AGENT, summary=name, arguments=arguments, effect=effect)
        request = StepCall(
            plan_id=asked.run_id,
            thread_id=asked.thread_id,
            tenant=asked.tenant,
            actor=asked.actor,
            key=f"{asked.run_id}/{name}",
            step=step,
            arguments=arguments,
            project=asked.project,
        )
        return request.model_dump(mode="json")
