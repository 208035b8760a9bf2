"""The workflow of a lesson: evaluate, ask where a person is to have the last word, settle."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.worker import Worker

from workflows.definitions.lesson import LessonWorkflow
from workflows.learning import LessonDecision, LessonInput, LessonOutcome
from workflows.sandbox import sandbox

pytestmark = pytest.mark.stack


class Told:
    """Activities that answer as told, and what they were asked."""

    def __init__(self, proposal: str = "L-1", **verdict: object) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.proposal, self.verdict = proposal, {"promote": True, "reason": "as good as before", **verdict}

    def activities(self) -> list[Any]:
        @activity.defn(name="propose_lesson")
        async def propose(request: dict[str, Any]) -> dict[str, Any]:
            self.calls.append(("propose", request))
            return {"lesson_id": self.proposal, "reason": "why not"}

        @activity.defn(name="evaluate_lesson")
        async def evaluate(request: dict[str, Any]) -> dict[str, Any]:
            self.calls.append(("evaluate", request))
            return self.verdict

        @activity.defn(name="settle_lesson")
        async def settle(request: dict[str, Any]) -> dict[str, Any]:
            self.calls.append(("settle", request))
            state = "promoted" if request["promote"] else "dropped"
            return {"lesson_id": request["lesson_id"], "state": state, "reason": request["reason"]}

        return [propose, evaluate, settle]


@asynccontextmanager
async def learning(client: Client, told: Told, **request: str) -> AsyncIterator[WorkflowHandle[LessonWorkflow, LessonOutcome]]:
    queue = f"q-{uuid.uuid4().hex[:8]}"
    async with Worker(client, task_queue=queue, workflows=[LessonWorkflow], activities=told.activities(), workflow_runner=sandbox()):
        given = LessonInput.model_validate({"tenant": "vision", **request})
        yield await client.start_workflow(LessonWorkflow.run, given, id=queue, task_queue=queue)


async def test_a_plan_that_teaches_nothing_ends_it(client: Client) -> None:
    told = Told(proposal="")
    async with learning(client, told, plan_id="p") as handle:
        outcome = await handle.result()
    assert outcome == LessonOutcome(reason="why not")
    assert told.calls == [("propose", {"plan_id": "p", "tenant": "vision"})]


@pytest.mark.parametrize(("promote", "state"), [(True, "promoted"), (False, "dropped")])
async def test_the_evaluation_decides(client: Client, promote: bool, state: str) -> None:
    told = Told(promote=promote)
    async with learning(client, told, lesson_id="L-9") as handle:
        outcome = await handle.result()
    assert (outcome.lesson_id, outcome.state) == ("L-9", state)
    assert [name for name, _ in told.calls] == ["evaluate", "settle"]


async def test_what_is_settled_already_is_left(client: Client) -> None:
    told = Told(open=False, state="removed")
    async with learning(client, told, lesson_id="L-9") as handle:
        assert (await handle.result()).state == "removed"


async def decide(handle: WorkflowHandle[LessonWorkflow, LessonOutcome], *, promote: bool) -> None:
    for _ in range(200):
        try:
            await handle.execute_update(LessonWorkflow.decide, LessonDecision(promote=promote, by="ann"))
        except WorkflowUpdateFailedError:
            continue
        return
    raise AssertionError("it never asked")


@pytest.mark.parametrize(("promote", "state"), [(True, "promoted"), (False, "dropped")])
async def test_a_person_has_the_last_word_where_asked(client: Client, promote: bool, state: str) -> None:
    told = Told(ask=True)
    async with learning(client, told, plan_id="p") as handle:
        await decide(handle, promote=promote)
        assert (await handle.result()).state == state
    assert told.calls[-1][1]["by"] == "ann"


async def test_nobody_is_asked_about_what_failed(client: Client) -> None:
    told = Told(ask=True, promote=False)
    async with learning(client, told, plan_id="p") as handle:
        assert (await handle.result()).state == "dropped"


async def test_without_a_word_in_seven_days_it_is_dropped(client: Client) -> None:
    told = Told(ask=True)
    async with learning(client, told, plan_id="p") as handle:
        outcome = await handle.result()
    assert outcome.state == "dropped" and "nobody decided" in outcome.reason
