"""A job's workflow: cancelled when asked, and only then; lost ones are started again."""

import asyncio

import pytest
from temporalio.client import WorkflowHandle

from factory_infra.errors import Unavailable
from tests.workflows.line import ANN, JsonObject, Line, plan, step, succeeded
from workflows.definitions.job import JobWorkflow
from workflows.messages import Cancellation, JobOutcome, StepCall

pytestmark = pytest.mark.stack


def asked() -> StepCall:
    made = plan(step("train", tool="training.run", agent="trainer", runs_as="job"))
    return StepCall(
        plan_id=made.id,
        thread_id="t",
        tenant="vision",
        actor="ann",
        key=f"{made.id}/train",
        step=made.steps[0],
        arguments={"dataset": "digits"},
    )


async def start(line: Line) -> WorkflowHandle[JobWorkflow, JobOutcome]:
    request = asked()
    return await line.client.start_workflow(JobWorkflow.run, request, id=f"{request.plan_id}-train", task_queue=line.queue)


async def test_runs_to_its_end_and_cancels_nothing(line: Line) -> None:
    outcome = await (await start(line)).result()
    assert (outcome.state, outcome.result["run_id"]) == ("succeeded", "r")
    assert line.script.effects() == ["run_job train"]


async def test_a_lost_job_is_started_again_under_the_same_key(line: Line) -> None:
    request = asked()
    line.script.on("run_job", "train", Unavailable("Lost with its host."), succeeded({"step": {"id": "train"}}))
    outcome = await line.client.execute_workflow(JobWorkflow.run, request, id=f"{request.plan_id}-train", task_queue=line.queue)
    assert outcome.state == "succeeded"
    assert [argument["key"] for _, argument in line.script.calls] == [request.key] * 2


async def test_a_cancellation_ends_the_processes_once(line: Line) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def run(_: JsonObject) -> JsonObject:
        begun.set()
        await asyncio.wait_for(ended.wait(), 10)
        return JobOutcome(job_id="job-1", state="cancelled", code="cancelled", reason="It was.").model_dump(mode="json")

    async def cancel(_: JsonObject) -> JsonObject:
        ended.set()
        return {}

    line.script.on("run_job", "train", run)
    line.script.on("cancel_job", "train", Unavailable("Not there yet."), cancel)
    handle = await start(line)
    await asyncio.wait_for(begun.wait(), 10)
    for _ in range(2):
        await handle.signal(JobWorkflow.cancel, Cancellation(who=ANN))
    assert (await handle.result()).state == "cancelled"
    assert line.script.effects() == ["run_job train", "cancel_job train", "cancel_job train"]
