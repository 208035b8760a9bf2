"""`lineshaft training`: the plan that is proposed, runs side by side, environments of this host."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import training
from cli.listing import JsonObject
from factory_infra.errors import InvalidInput
from factory_infra.paas.training.environments.service import Environments
from tests.cli.control import Answers

COMPARISON: JsonObject = {
    "runs": [],
    "metrics": [{"name": "accuracy", "values": [0.5, 0.75], "differs": True, "best": "b"}],
    "parameters": [{"name": "C", "values": ["1", None], "differs": True, "best": None}],
    "environment": [{"name": "python", "values": ["3.11", "3.11"], "differs": False, "best": None}],
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An API that answers from a table."""
    made = Answers({})
    monkeypatch.setattr(training, "client_of", lambda _: made)
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(training.app, list(words))


def test_a_blueprint_becomes_a_plan(api: Answers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: list[list[JsonObject]] = []

    def propose(client: Answers, tenant: str | None, title: str, steps: list[JsonObject]) -> JsonObject:
        found.append(steps)
        return {"plan_id": "p", "digest": "d"}

    monkeypatch.setattr(training, "propose", propose)
    monkeypatch.setattr(training, "carried_out", lambda *_, **__: None)
    order = tmp_path / "order.yaml"
    order.write_text("steps: 10\nrank: 2\n")
    words = [
        "run",
        "lora",
        "sayings",
        "--file",
        str(order),
        "--set",
        "steps=20",
        "--set",
        "base=/models/tiny",
        "--register",
        "--slots",
        "2",
    ]
    done = call(*words)
    assert done.exit_code == 0, done.output
    [steps] = found
    assert [step["id"] for step in steps] == ["lease", "train", "release", "register"]
    given = steps[1]["arguments"]
    assert isinstance(given, dict) and given["order"] == {"steps": 20, "rank": 2, "base": "/models/tiny"}
    assert isinstance(call("run", "ddp", "m", "--set", "epochs").exception, InvalidInput)


def test_runs_are_put_side_by_side(api: Answers) -> None:
    api.answers = {"/v1/training/compare": COMPARISON}
    shown = call("compare", "a", "b").stdout
    assert "accuracy" in shown and "0.75" in shown and "yes" in shown
    assert json.loads(call("compare", "a", "b", "--json").stdout) == COMPARISON


def test_runs_and_blueprints_are_listed(api: Answers) -> None:
    run: JsonObject = {"run_id": "r", "experiment": "digits", "name": "trial 1", "status": "FINISHED", "metrics": {"value": 0.123456}}
    blueprint: JsonObject = {"name": "ddp", "environment": "torch", "nodes_max": 64, "description": "d", "order": {}}
    api.answers = {"/v1/training/runs": [run], "/v1/training/blueprints": [blueprint], "/v1/training/runs/r": run}
    assert "value=0.1235" in call("runs", "--study", "s").stdout
    assert "torch" in call("blueprints").stdout
    assert "trial 1" in call("show", "r").stdout


def test_environments_of_this_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training, "here", lambda context: Environments(tmp_path))
    shown = call("environments", "list").stdout
    assert "torch" in shown and "lora" in shown and "ray" in shown
    assert "not installed" in call("environments", "remove", "torch").stdout
    assert isinstance(call("environments", "install", "cuda").exception, InvalidInput)
