"""A message, its plan and the decision, through the API and a real Temporal server with scripted activities."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from temporalio.client import Client

from api.deps import House
from factory_infra.records.models import NewEvent
from factory_infra.records.service import Records
from tests.api.house import DIGEST, Doors
from tests.workflows.line import JsonObject, Script, development_server, plan, step, until, working
from tools.plan import Plan, PlanState
from tools.ports import Ports
from workflows import graphs
from workflows.activities.records import RecordActivities
from workflows.names import TASK_QUEUE

pytestmark = pytest.mark.stack


async def propose(ports: Ports, turn: JsonObject) -> JsonObject:
    """A graph that proposes one step for whatever it is told."""
    who = turn["who"]
    tenant = who["tenant"] if isinstance(who, dict) else None
    made = plan(step("a"), id=str(turn["plan_id"]), thread_id=str(turn["thread_id"]), tenant=tenant)
    return {"memory": {}, "plan": made.model_dump(mode="json")}


class RecordingScript(Script):
    """A script that keeps plans and events in the real records, so that the API finds them."""

    def __init__(self, records: Records, activities: RecordActivities) -> None:
        super().__init__()
        self._records = records
        self.on("write_event", "", self._event)
        self._activities = activities

    async def _event(self, argument: JsonObject) -> JsonObject:
        await self._records.write_event(NewEvent.model_validate(argument))
        return {}

    async def act(self, name: str, argument: JsonObject, default: JsonObject) -> JsonObject:
        """Keep a plan for real."""
        if name == "save_plan":
            return await self._activities.save_plan(Plan.model_validate(argument))
        return await super().act(name, argument, default)


@pytest.fixture
async def script(doors: Doors) -> AsyncIterator[Script]:
    """A server, a worker, and the application connected to them."""
    held: House = doors.app.state.house
    written = RecordingScript(doors.factory.records, RecordActivities(doors.factory))
    graphs.register("dispatch", propose)
    async with development_server() as client, working(client, written, TASK_QUEUE):
        doors.app.state.house = replace(held, temporal=client)
        yield written
        doors.app.state.house = held


def client_of(doors: Doors) -> Client:
    held: House = doors.app.state.house
    return held.temporal


async def proposed(doors: Doors, script: Script) -> tuple[str, str]:
    """Say something and return the plan's id and digest."""
    thread = (await doors.ask("POST", "/v1/threads", json={})).json()["id"]
    before = script.events().count("plan.proposed")
    for _ in range(2):
        answer = await doors.ask("POST", f"/v1/threads/{thread}/messages", json={"text": "do it", "message_id": "m-1"})
        assert answer.status_code == 202, answer.text
        assert answer.json()["message_id"] == "m-1"
    await until(lambda: script.events().count("plan.proposed") == before + 1)
    found = (await doors.ask("GET", "/v1/plans?state=proposed")).json()[0]
    assert found["thread_id"] == thread
    return found["id"], found["digest"]


async def test_a_plan_is_decided_once_and_only_as_it_was_read(doors: Doors, script: Script) -> None:
    name, digest = await proposed(doors, script)
    stale = await doors.ask("POST", f"/v1/plans/{name}/approve", "approver", json={"digest": DIGEST})
    assert (stale.status_code, stale.json()["code"]) == (409, "digest_mismatch")
    foreign = await doors.ask("POST", f"/v1/plans/{name}/approve", "stranger", json={"digest": digest})
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not_found")
    assert script.effects() == []
    approved = await doors.ask("POST", f"/v1/plans/{name}/approve", "approver", json={"digest": digest})
    assert (approved.status_code, approved.json()["state"]) == (200, "approved")
    outcome = await client_of(doors).get_workflow_handle(name, result_type=dict).result()
    assert outcome["state"] == PlanState.DONE
    assert script.effects() == ["run_step a"]
    again = await doors.ask("POST", f"/v1/plans/{name}/approve", "approver", json={"digest": digest})
    assert again.status_code in {404, 409}, again.text
    assert script.effects() == ["run_step a"]


async def test_a_refused_plan_is_not_done(doors: Doors, script: Script) -> None:
    name, digest = await proposed(doors, script)
    refused = await doors.ask("POST", f"/v1/plans/{name}/refuse", "approver", json={"reason": "Too dear."})
    assert (refused.status_code, refused.json()["state"]) == (200, "refused")
    outcome = await client_of(doors).get_workflow_handle(name, result_type=dict).result()
    assert (outcome["state"], outcome["reason"]) == ("refused", "Too dear.")
    late = await doors.ask("POST", f"/v1/plans/{name}/approve", "approver", json={"digest": digest})
    assert late.status_code in {404, 409}
    assert script.effects() == []
