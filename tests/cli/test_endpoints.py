"""`lineshaft endpoints`: what is proposed, what is asked of the API, and what is said."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner, Result

from cli import endpoints
from tests.cli.control import Answers

ROLLOUT: dict[str, JsonValue] = {
    "id": "ro-1",
    "tenant": "vision",
    "endpoint": "digits",
    "state": "promoted",
    "reason": "digits version 2 answers all requests.",
    "ended_at": "2026-11-25T00:00:00Z",
}
SIDE: dict[str, JsonValue] = {"requests": 20, "errors": 0, "latency_p95_ms": 4.2}
ME: dict[str, JsonValue] = {"tenant": "vision"}


def call(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setattr(endpoints, "client_of", lambda _: api)
    return CliRunner().invoke(endpoints.app, list(words))


def report(**changed: JsonValue) -> dict[str, JsonValue]:
    return {"rollout": {**ROLLOUT, **changed}, "moves": [], "candidate": SIDE, "live": SIDE}


def test_a_rollout_is_a_plan_whose_second_step_is_a_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/plans": {"plan_id": "plan-1", "digest": "d"}})
    told: list[JsonValue] = []
    monkeypatch.setattr(endpoints, "carried_out", lambda client, proposed, **how: told.append(proposed))
    words = ["rollout", "digits", "digits", "2", "--share", "0.1", "--share", "0.5", "--latency-p95-ms-max", "50", "--tenant", "vision"]
    assert call(api, monkeypatch, *words).exit_code == 0
    [(method, path, body)] = api.asked
    begins, ends = json.loads(json.dumps(body["steps"]))
    assert (method, path, body["tenant"], begins["tool"], ends["tool"]) == (
        "POST",
        "/v1/plans",
        "vision",
        "deployments.rollout",
        "deployments.watch_rollout",
    )
    assert begins["arguments"]["shares"] == [0.1, 0.5] and begins["arguments"]["latency_p95_ms_max"] == 50.0
    assert ends["gate"] is True and ends["arguments"] == {"rollout_id": {"from_step": "rollout", "field": "rollout_id"}}


def test_lists_are_filtered_paged_and_json(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/rollouts": [ROLLOUT]})
    found = call(api, monkeypatch, "rollouts", "--open", "--endpoint", "digits", "--limit", "5", "--json")
    assert json.loads(found.stdout) == [ROLLOUT]
    assert api.asked == [("GET", "/v1/rollouts", {"endpoint": "digits", "open_only": True, "limit": 5, "offset": 0})]


@pytest.mark.parametrize(("state", "code"), [("promoted", 0), ("finished", 0), ("rolled_back", 1), ("failed", 1), ("aborted", 1)])
def test_watch_ends_with_the_rollout(monkeypatch: pytest.MonkeyPatch, state: str, code: int) -> None:
    found = call(Answers({"/v1/rollouts/ro-1": report(state=state)}), monkeypatch, "watch", "ro-1")
    assert found.exit_code == code and state in found.stdout and "candidate" in found.stdout


@pytest.mark.parametrize(("words", "body"), [(["pause"], {}), (["resume"], {}), (["abort", "--reason", "No."], {"reason": "No."})])
def test_a_rollout_is_moved_by_hand(monkeypatch: pytest.MonkeyPatch, words: list[str], body: dict[str, JsonValue]) -> None:
    api = Answers({f"/v1/rollouts/ro-1/{words[0]}": ROLLOUT})
    assert call(api, monkeypatch, words[0], "ro-1", *words[1:]).exit_code == 0
    assert api.asked == [("POST", f"/v1/rollouts/ro-1/{words[0]}", body)]


def test_the_own_team_is_meant_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/me": ME, "/v1/endpoints/vision/digits/health": {"state": "down", "servers": []}})
    assert call(api, monkeypatch, "health", "digits").exit_code == 1


def test_consent_is_shown_given_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/endpoints/vision/digits/consent": {"days": None}})
    for words in ([], ["--days", "30"], ["--stop"]):
        assert call(api, monkeypatch, "consent", "digits", "--tenant", "vision", *words).exit_code == 0
    methods = [(method, body.get("days")) for method, _, body in api.asked]
    assert methods == [("GET", None), ("PUT", 30), ("PUT", None)]


def test_the_blueprint_of_vllm_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/endpoints/vision/chat/vllm": {"manifests": []}})
    found = call(api, monkeypatch, "vllm", "chat", "--model", "a/b", "--gpus", "2", "--tenant", "vision")
    assert json.loads(found.stdout) == {"manifests": []} and api.asked[0][2]["accelerators"] == 2
