"""What an agent's step costs on top of its model and its tool: python -m benchmarks.agent_step prints milliseconds.

A step is one model call and one tool call. Both are activities that answer at once, so what is left is the durable core itself:
the product's thread workflow, its graph, its events, against a real Temporal development server with a file.
"""

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop
from temporalio import activity
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from agents.graph import dispatch
from agents.planning.interface import Facts, TeamFact
from agents.state import Situation
from cli.stack.parts import TEMPORAL_ENVIRONMENT, TEMPORAL_OPTIONS
from workflows import graphs
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.messages import JsonObject, ThreadInput, UserMessage, Who
from workflows.sandbox import sandbox
from workflows.worker import spare_collector

QUEUE = "benchmark"
GOAL_MILLISECONDS = 15.0


class Instant:
    """Activities that answer at once: a model that asks for a tool so many times, and a tool with nothing to say."""

    def __init__(self) -> None:
        self.rounds = 0
        self.finished = asyncio.Event()

    @activity.defn(name="read_situation")
    async def read_situation(self, request: JsonObject) -> JsonObject:
        """A team, and a model that plans freely."""
        team = TeamFact(name="vision", quota_slots=1, quota_slots_used=0)
        facts = Facts(home_team="vision", teams=[team], datasets=[], slot_kind="cpu", slots_total=1, slots_free=1)
        return Situation(facts=facts, model="scripted:instant", planner="free").model_dump(mode="json")

    @activity.defn(name="ask_model")
    async def ask_model(self, request: JsonObject) -> JsonObject:
        """A scope where one is asked for, a tool call while rounds are left, then words."""
        call = request["call"]
        if isinstance(call, dict) and call.get("schema") is not None:
            scope = json.dumps({"tools": [], "objects": []})
            return {"ok": True, "answer": {"content": scope, "tokens_in": 1, "tokens_out": 1, "model": "instant"}}
        self.rounds -= 1
        calls: list[JsonObject] = [{"id": f"call-{self.rounds}", "name": "tenants_show", "arguments": {}}] if self.rounds >= 0 else []
        answer: JsonObject = {
            "content": "" if calls else "done",
            "tool_calls": list(calls),
            "tokens_in": 1,
            "tokens_out": 1,
            "model": "instant",
        }
        return {"ok": True, "answer": answer}

    @activity.defn(name="call_tool")
    async def call_tool(self, request: JsonObject) -> JsonObject:
        """Nothing, successfully."""
        return {"outcome": "ok", "result": {}}

    @activity.defn(name="write_events")
    async def write_events(self, batch: dict[str, list[JsonObject]]) -> JsonObject:
        """Notice the end of a turn."""
        if any(event["kind"] == "turn.done" for event in batch["events"]):
            self.finished.set()
        return {}


async def turn_seconds(client: Client, instant: Instant, rounds: int) -> float:
    """Time one turn of so many steps, in a thread of its own."""
    instant.rounds, name = rounds, f"thread-{time.monotonic_ns()}"
    instant.finished.clear()
    message = UserMessage(id=name, text="go", who=Who(actor="benchmark", role="user", tenant="vision"))
    start = WithStartWorkflowOperation(
        ThreadWorkflow.run,
        ThreadInput(thread_id=name, tenant="vision"),
        id=name,
        task_queue=QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
    )
    began = time.perf_counter()
    await client.execute_update_with_start_workflow(ThreadWorkflow.send, message, start_workflow_operation=start)
    await asyncio.wait_for(instant.finished.wait(), 60)
    return time.perf_counter() - began


@dataclass(frozen=True)
class StepTime:
    """Milliseconds of a step: from the quickest turns, as `timeit` advises, and the median, with what else a shared machine was doing."""

    quickest: float
    median: float


async def measure(rounds: int = 10, repeats: int = 25) -> StepTime:
    """Time turns with steps against turns without, in one run."""
    instant = Instant()
    os.environ.update(TEMPORAL_ENVIRONMENT)  # the server below inherits it, as the stack's does
    graphs.register("dispatch", dispatch)
    with tempfile.TemporaryDirectory() as folder:
        async with (
            await WorkflowEnvironment.start_local(
                data_converter=pydantic_data_converter,
                dev_server_existing_path=str(Path(sys.executable).with_name("temporal")),
                dev_server_database_filename=str(Path(folder) / "temporal.db"),
                dev_server_extra_args=[option for option in TEMPORAL_OPTIONS if option not in ("--log-level", "warn")],
                dev_server_startup_timeout=timedelta(seconds=60),
            ) as environment,
            Worker(
                environment.client,
                task_queue=QUEUE,
                workflows=[ThreadWorkflow, PlanWorkflow],
                activities=[instant.read_situation, instant.ask_model, instant.call_tool, instant.write_events],
                workflow_runner=sandbox(),
            ),
        ):
            await turn_seconds(environment.client, instant, rounds)
            spare_collector()
            empty, full = [], []
            for _ in range(repeats):
                empty.append(await turn_seconds(environment.client, instant, 0))
                full.append(await turn_seconds(environment.client, instant, rounds))
    steps = [(long - short) / rounds * 1000 for long, short in zip(full, empty, strict=True)]
    return StepTime(quickest=(min(full) - min(empty)) / rounds * 1000, median=statistics.median(steps))


if __name__ == "__main__":
    found = uvloop.run(measure())
    print(json.dumps({"agent_step_milliseconds": round(found.quickest, 2), "median": round(found.median, 2), "goal": GOAL_MILLISECONDS}))
