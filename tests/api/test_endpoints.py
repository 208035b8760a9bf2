"""Endpoints and roll-outs by their routes: asked, judged by feedback, held, aborted, kept by consent; behind the second wall."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import JsonValue

from factory_infra.paas.deployments.request_log import RequestLog
from factory_infra.paas.deployments.scaling import Scaler
from factory_infra.saas.models.transcripts.seal import seal_of
from tests.api.house import Doors
from tests.factory_infra.paas.deployments.fakes import FakeServing, Place

pytestmark = pytest.mark.stack
READER = "/v1/endpoints/vision/reader"


@pytest.fixture
async def place(doors: Doors, tmp_path: Path) -> AsyncIterator[Place]:
    """Team vision's endpoint `reader`, with servers in this process."""
    before, database = doors.app.state.house, doors.factory.database
    made = Place(database, tmp_path, FakeServing())
    log = RequestLog(database, seal_of(doors.factory.settings))
    made.deployments.traffic.keep = log.keep
    scaler = Scaler(database, made.deployments)
    factory = replace(doors.factory, deployments=made.deployments, rollouts=made.rollouts, scaler=scaler, request_log=log)
    doors.app.state.house = replace(before, factory=factory)
    await made.deploy()
    yield made
    doors.app.state.house = before
    await made.deployments.close()
    await log.close()


async def told(doors: Doors, method: str, path: str, who: str = "approver", **request: object) -> JsonValue:
    """The answer to a request that is let in."""
    answer = await doors.ask(method, path, who, **request)
    assert answer.is_success, answer.text
    found: JsonValue = answer.json() if answer.content else None
    return found


async def test_a_rollout_is_seen_fed_held_and_aborted(doors: Doors, place: Place) -> None:
    begun = await place.begin(shares=[1.0], requests_min=1000)
    await place.turn(begun.id)
    answer = await told(doors, "POST", f"{READER}/predict", "user", json={"rows": [[1.0]]})
    assert isinstance(answer, dict) and (answer["version"], answer["labels"]) == (2, ["right"])
    truth = {"model_name": "digits", "version": 2, "labels": ["right"], "truth": ["wrong"]}
    await told(doors, "POST", f"{READER}/feedback", "user", json=truth)
    assert (await doors.ask("POST", f"{READER}/feedback", "user", json={**truth, "truth": []})).status_code == 422
    await place.deployments.traffic.tally.write()
    report = await told(doors, "GET", f"/v1/rollouts/{begun.id}", "viewer")
    assert isinstance(report, dict) and isinstance(report["candidate"], dict)
    assert {name: report["candidate"][name] for name in ("requests", "labelled", "right")} == {"requests": 1, "labelled": 1, "right": 0}
    for verb, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
        found = await told(doors, "POST", f"/v1/rollouts/{begun.id}/{verb}", json={})
        assert isinstance(found, dict) and found["state"] == state
    listed = await told(doors, "GET", "/v1/rollouts?endpoint=reader&open_only=true", "viewer")
    assert listed == [] and (await doors.ask("POST", f"/v1/rollouts/{begun.id}/resume", "approver")).status_code == 409
    health = await told(doors, "GET", f"{READER}/health", "viewer")
    assert isinstance(health, dict) and health["state"] == "healthy"


async def test_requests_are_kept_by_an_approvers_consent_only(doors: Doors, place: Place) -> None:
    assert (await doors.ask("PUT", f"{READER}/consent", "user", json={"days": 1})).status_code == 403
    await told(doors, "PUT", f"{READER}/consent", json={"days": 1})
    place.deployments.traffic.routes.forget("vision", "reader")
    await told(doors, "POST", f"{READER}/predict", "user", json={"rows": [[1.0]]})
    await doors.app.state.house.factory.request_log.write()
    kept = await told(doors, "GET", f"{READER}/requests")
    assert isinstance(kept, list) and len(kept) == 1
    assert (await doors.ask("GET", f"{READER}/requests", "viewer")).status_code == 403
    await told(doors, "PUT", f"{READER}/consent", json={})
    assert await told(doors, "GET", f"{READER}/requests") == []


async def test_the_blueprint_of_vllm_needs_a_cluster(doors: Doors, place: Place) -> None:
    answer = await doors.ask("POST", f"{READER}/vllm", "user", json={"model": "a/b", "pool": "local"})
    assert (answer.status_code, answer.json()["code"]) == (422, "pool_serves_not")
