"""`lineshaft nodes`: what is asked, what is shown, and that a change is a plan of the platform."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import nodes
from tests.cli.control import Answers

NODE: dict[str, JsonValue] = {
    "pool": "h100",
    "name": "gpu-1",
    "health": "suspect",
    "accelerator": "H100",
    "accelerators_ok": 7,
    "accelerators": 8,
    "driver": "ok",
    "heartbeat_at": "2026-11-25T10:00:00Z",
    "reason": "The GPU has fallen off the bus on accelerator 3 (xid_79).",
    "gauges": [{"index": 0}],
}
RATE: dict[str, JsonValue] = {
    "hours": None,
    "hours_lower": 434.29,
    "hours_upper": None,
    "events": 0,
    "hours_watched": 1000,
    "note": "No failure.",
}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(nodes, "client_of", lambda _: api)
    result = CliRunner().invoke(nodes.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/nodes": [NODE]})
    assert "fallen off the bus" in run(api, monkeypatch, "list", "--pool", "h100", "--health", "suspect")
    assert api.asked[0][2] == {"pool": "h100", "health": "suspect", "limit": 100, "offset": 0}
    assert json.loads(run(api, monkeypatch, "list", "--json")) == [NODE]


def test_show(monkeypatch: pytest.MonkeyPatch) -> None:
    events: JsonValue = [{"at": "2026-11-25T10:00:00Z", "code": "xid_79", "recovered": False, "severity": "failure", "action": "replace"}]
    api = Answers({"/v1/nodes/h100/gpu-1": {"node": NODE, "incidents": [], "events": events, "moves": []}})
    shown = run(api, monkeypatch, "show", "h100", "gpu-1")
    assert "xid_79" in shown and "replace" in shown and "gauges" not in shown


@pytest.mark.parametrize(("verb", "tool"), [("drain", "nodes.drain"), ("resume", "nodes.resume")])
def test_a_change_is_a_plan_of_the_platform(monkeypatch: pytest.MonkeyPatch, verb: str, tool: str) -> None:
    carried: list[JsonValue] = []
    monkeypatch.setattr(nodes, "carried_out", lambda client, proposed, **_: carried.append(proposed["plan_id"]))
    api = Answers({"/v1/plans": {"plan_id": "plan-1"}})
    run(api, monkeypatch, verb, "h100", "gpu-1")
    ((method, path, body),) = api.asked
    assert (method, path, body["tenant"], carried) == ("POST", "/v1/plans", "platform", ["plan-1"])
    steps = body["steps"]
    assert isinstance(steps, list) and isinstance(steps[0], dict)
    assert (steps[0]["tool"], steps[0]["arguments"]) == (tool, {"pool": "h100", "name": "gpu-1"})


def test_reliability(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"subject": "pool h100", "nodes": 2, "accelerators": 16, "node_mtbf": RATE, "accelerator_mtbf": RATE, "mttr": RATE}
    api = Answers({"/v1/reliability": told})
    shown = run(api, monkeypatch, "reliability", "--pool", "h100", "--confidence", "0.9")
    assert "pool h100: 2 nodes, 16 accelerators" in shown and "434.29" in shown
    assert json.loads(run(api, monkeypatch, "reliability", "--json")) == told
