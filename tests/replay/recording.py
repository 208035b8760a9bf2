"""Runs each workflow once and keeps its history. `python -m tests.replay.recording` writes them anew; with names behind it, only those.

A history is kept for every released form of a workflow: after a change that replays, leave them; after one that does not, the
change needs `workflow.patched`, or every plan that waits for its approval would be stuck at the next start of the worker.
"""

import asyncio
import json
import re
import sys
from collections.abc import Collection
from pathlib import Path

from temporalio.client import Client

from factory_infra.errors import EffectsStopped, InvalidInput
from tests.replay.drifting import LOOK, play_look
from tests.replay.pipelines import FIRED, RUN, STOPPED, play_pipelines
from tests.workflows.line import ANN, BOB, Line, Script, plan, step, time_skipping, until, working
from tools.plan import Effect, Plan, PlanState, Verdict
from tools.ports import JsonObject, Ports
from workflows import graphs
from workflows.definitions.plan import PlanWorkflow
from workflows.definitions.thread import ThreadWorkflow
from workflows.messages import Decision, ThreadInput, UserMessage

FOLDER = Path(__file__).with_name("histories")
QUEUE = "replay"
THREAD = "thread-replay"
PLAN = "plan-replay-1"
RECORDED = {
    "thread": THREAD,
    "plan": PLAN,
    "plan-gated": "plan-replay-2",
    "plan-edited": "plan-replay-3",
    "undo": "plan-replay-2-undo",
    "job": f"{PLAN}-train",
    "drift": LOOK,
    "pipeline": RUN,
    "pipeline-cancelled": STOPPED,
    "firing": FIRED,
}


def first_job() -> Plan:
    """Steps of every kind: an effect, a job, a gate, one that always runs."""
    lease_id = {"from_step": "lease", "field": "lease_id"}
    return plan(
        step("lease", arguments={"slots": 2}, effect=Effect.COSTLY),
        step("train", "lease", tool="training.run", agent="trainer", runs_as="job", arguments={"lease_id": lease_id}),
        step("release", "train", tool="leases.release", always=True, arguments={"lease_id": lease_id}),
        step("gate", "train", tool="deployments.gate", agent="deployer", effect=Effect.READ, gate=True),
        step("deploy", "gate", tool="deployments.deploy", agent="deployer"),
        id=PLAN,
        thread_id=THREAD,
    )


async def propose(ports: Ports, turn: JsonObject) -> JsonObject:
    """A graph that makes one call, writes one event and proposes the plan of the first job."""
    await ports.call("run_step", {"step": {"id": "read"}})
    await ports.emit("message.assistant", {"text": "Here is a plan."})
    return {"memory": {}, "plan": first_job().model_dump(mode="json")}


async def play(client: Client) -> None:
    """Play one conversation: a message, its plan, the approval, the end told in the thread."""
    script = Script()
    script.on("run_step", "lease", {"lease_id": "lease-1"})
    script.on("run_step", "gate", {"passed": True})
    async with working(client, script, QUEUE):
        line = Line(client, script, QUEUE)
        start = ThreadInput(thread_id=THREAD, tenant="vision")
        thread = await client.start_workflow(ThreadWorkflow.run, start, id=THREAD, task_queue=QUEUE)
        await thread.execute_update(ThreadWorkflow.send, UserMessage(id="m-1", text="Train.", who=ANN))
        await until(lambda: "plan.proposed" in script.events())
        handle = client.get_workflow_handle_for(PlanWorkflow.run, PLAN)
        await handle.execute_update(PlanWorkflow.decide, Decision(approve=True, digest=first_job().digest(), who=ANN))
        await handle.result()
        await until(lambda: script.events().count("message.assistant") == 2)
        failing = plan(*first_job().steps, id="plan-replay-2", thread_id=THREAD)
        script.on("run_step", "gate", {"passed": False, "value": 0.9, "threshold": 0.95})
        outcome = await line.approved(failing)
        await (await line.undo(failing, outcome)).result()
        await held_and_edited(line)


async def held_and_edited(line: Line) -> None:
    """Play a plan that two people approve, that is held, edited, approved again, stopped by the switch, and undone where it failed."""
    begun, free = asyncio.Event(), asyncio.Event()

    async def wait(_: JsonObject) -> JsonObject:
        begun.set()
        await asyncio.wait_for(free.wait(), 20)
        return {}

    two = Verdict(decision="approve", approvals=2)
    made = plan(step("a"), step("b", "a"), id="plan-replay-3", thread_id=THREAD, verdict=two)
    line.script.on("judge_plan", "", {"verdict": two.model_dump(mode="json")})
    line.script.on("run_step", "a", wait)
    line.script.on("run_step", "c", EffectsStopped("Every effect is stopped."), InvalidInput("No."))
    handle = await line.start(made)
    for who in (ANN, BOB):
        await line.decide(made, who=who)
    await asyncio.wait_for(begun.wait(), 20)
    await line.pause(made)
    told = await line.edit(made, step("a"), step("c", "a"))
    free.set()
    for who in (ANN, BOB):
        await line.decide(made, who=who, digest=told.digest)
    await until(lambda: line.script.events().count("plan.paused") == 2)
    await line.stands(made, PlanState.PAUSED)
    await line.effects_started(made)
    await handle.result()


async def write(names: Collection[str] = ()) -> None:
    """Play, and write the histories that are named, or all."""
    graphs.register("dispatch", propose)
    FOLDER.mkdir(exist_ok=True)
    async with time_skipping() as client:
        await play(client)
        await play_look(client, f"{QUEUE}-drift")
        await play_pipelines(client, f"{QUEUE}-pipelines")
        for name, workflow in RECORDED.items():
            if names and name not in names:
                continue
            history = await client.get_workflow_handle(workflow).fetch_history()
            kept = re.sub(r'"identity": "[^"]*"', '"identity": "worker"', json.dumps(history.to_json_dict()))
            kept = re.sub(r'"stackTrace": "(?:[^"\\]|\\.)*"', '"stackTrace": ""', kept)  # names this machine, and replays without
            (FOLDER / f"{name}.json").write_text(kept + "\n")


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1:]))
