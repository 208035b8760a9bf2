"""Runs of pipelines with activities that do what a script says: what their histories are recorded from."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from factory_infra.errors import EffectsStopped
from tests.workflows.line import ANN, JsonObject, plan, step
from tools.plan import Effect, Step, Verdict
from workflows.definitions.ballot import Ballot
from workflows.definitions.pipeline import PipelineWorkflow
from workflows.definitions.pipeline_firing import PipelineFiringWorkflow
from workflows.failures import to_application_error
from workflows.messages import Cancellation, Decision, StepCall
from workflows.pipelining import FiringInput, GateEnd, Opening, PipelineEnd, PipelineInput, StepEnd, StepOrder, ToolEnd
from workflows.sandbox import sandbox

RUN, STOPPED, FIRED = "pr-replay-1", "pr-replay-2", "pipeline-tr-replay"
CARD = plan(step("live"), id=RUN, verdict=Verdict(decision="approve"))


class Parts:
    """What each activity does. A step's ends are used one an attempt, the last for ever."""

    def __init__(self) -> None:
        self.ends: dict[str, list[StepEnd]] = {}
        self.stops: set[str] = set()
        self.begun, self.free = asyncio.Event(), asyncio.Event()

    def activities(self) -> list[Callable[..., Any]]:
        """Under the names that the workflows call."""
        told: JsonObject = {"code": "", "reason": "", "remedy": ""}
        fixed: dict[str, JsonObject] = {
            "open_pipeline_run": Opening(plan=CARD, decision="ask").model_dump(mode="json"),
            "move_pipeline_run": told,
            "move_pipeline_step": told,
            "judge_pipeline_gate": GateEnd(state="done", card=CARD).model_dump(mode="json"),
            "run_step": {"lease_id": "lease-1", "state": "active"},
            "verify_step": {"verified": True},
            "undo_step": {"undone": True, "told": "back"},
            "save_approval": {},
            "fire_pipeline_trigger": told,
        }
        return [self._step, self._tool, self._cancel, *(scripted(name, answer) for name, answer in fixed.items())]

    @property
    def _step(self) -> Callable[..., Any]:
        @activity.defn(name="run_pipeline_step")
        async def acted(call: dict[str, Any]) -> dict[str, Any]:
            name = str(call["step"])
            if not call["lease_id"] and name != "data":
                return StepEnd(state="needs_lease").model_dump(mode="json")
            if name in self.stops:
                self.stops.discard(name)
                raise to_application_error(EffectsStopped("Every effect is stopped."))
            if name == "long":
                self.begun.set()
                await asyncio.wait_for(self.free.wait(), 30)
                return StepEnd(state="cancelled", code="cancelled", reason="Ended.").model_dump(mode="json")
            ends = self.ends.get(name, [StepEnd(state="done")])
            return (ends.pop(0) if len(ends) > 1 else ends[0]).model_dump(mode="json")

        return acted

    @property
    def _tool(self) -> Callable[..., Any]:
        @activity.defn(name="run_pipeline_tool")
        async def acted(call: dict[str, Any]) -> dict[str, Any]:
            named = Step(id=str(call["step"]), tool="registry.register", agent="pipeline", summary="", effect=Effect.WRITE)
            key = f"{call['run_id']}/{call['step']}/{call['number']}"
            request = StepCall(plan_id=RUN, thread_id="t", tenant="vision", actor="ann", key=key, step=named, arguments={}, result={"v": 1})
            return ToolEnd(call=request).model_dump(mode="json")

        return acted

    @property
    def _cancel(self) -> Callable[..., Any]:
        @activity.defn(name="cancel_pipeline_step")
        async def acted(call: dict[str, Any]) -> dict[str, Any]:
            self.free.set()
            return {"code": "", "reason": "", "remedy": ""}

        return acted


def scripted(name: str, answer: JsonObject) -> Callable[..., Any]:
    """An activity that always answers alike."""

    @activity.defn(name=name)
    async def acted(argument: dict[str, Any]) -> dict[str, Any]:
        return json.loads(json.dumps(answer))  # type: ignore[no-any-return]

    return acted


def order(name: str, work: str, *needs: str, **fields: object) -> StepOrder:
    """What a workflow is told of a step."""
    return StepOrder.model_validate({"id": name, "work": work, "needs": needs, **fields})


def asked(run_id: str, *steps: StepOrder) -> PipelineInput:
    """A run of team vision."""
    return PipelineInput(run_id=run_id, tenant="vision", actor="ann (1)", thread_id="thread-replay", title="replay", steps=list(steps))


async def decide(handle: WorkflowHandle[PipelineWorkflow, PipelineEnd]) -> None:
    """Say yes to what is asked now, once it is."""
    async with asyncio.timeout(30):
        while not (await handle.query(PipelineWorkflow.status)).asking:  # noqa: ASYNC110  (told by no event)
            await asyncio.sleep(0.02)
    await handle.execute_update(PipelineWorkflow.decide, Decision(approve=True, digest=Ballot(CARD).digest, who=ANN))


async def play_pipelines(client: Client, queue: str) -> tuple[PipelineEnd, PipelineEnd]:
    """Play a run with steps of every kind, one that is cancelled after a tool, and a firing."""
    parts = Parts()
    parts.ends["tried"] = [StepEnd(state="failed", code="job_failed", reason="No.", again=True), StepEnd(state="done")]
    parts.ends["lost"] = [StepEnd(state="lease_lost"), StepEnd(state="done")]
    parts.stops.add("known")
    workflows = [PipelineWorkflow, PipelineFiringWorkflow]
    async with Worker(client, task_queue=queue, workflows=workflows, activities=parts.activities(), workflow_runner=sandbox()):
        whole = asked(
            RUN,
            order("data", "data"),
            order("known", "job", "data"),
            order("tried", "job", "data", attempts=2, wait_seconds=1),
            order("lost", "job", "known"),
            order("ask", "gate", "lost", "tried", asks=True, long=True),
            order("live", "tool", "ask", calls=2),
        )
        first = await client.start_workflow(PipelineWorkflow.run, whole, id=RUN, task_queue=queue)
        await decide(first)
        await decide(first)
        stopped = asked(STOPPED, order("tool", "tool"), order("long", "job", "tool"), order("never", "job", "long"))
        second = await client.start_workflow(PipelineWorkflow.run, stopped, id=STOPPED, task_queue=queue)
        await decide(second)
        await asyncio.wait_for(parts.begun.wait(), 30)
        await second.execute_update(PipelineWorkflow.cancel, Cancellation(who=ANN, reason="Enough."))
        await client.execute_workflow(PipelineFiringWorkflow.run, FiringInput(trigger_id="tr-replay"), id=FIRED, task_queue=queue)
        return await first.result(), await second.result()
