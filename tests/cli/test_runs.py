"""`lineshaft runs`: what is sent for each command, and what is said."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import runs
from tests.cli.control import Answers

RUN: dict[str, JsonValue] = {
    "id": "plan-1-1",
    "tenant": "vision",
    "state": "running",
    "actor": "ann",
    "title": "Train.",
    "model_calls": 2,
    "tokens": 9,
}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(runs, "client_of", lambda _: api)
    result = CliRunner().invoke(runs.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_shows_what_may_still_do_something(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/runs": [RUN]})
    assert "plan-1-1" in run(api, monkeypatch, "list", "--state", "open", "--tenant", "vision")
    assert api.asked == [("GET", "/v1/runs", {"tenant": "vision", "state": "open", "limit": 20})]
    assert json.loads(run(api, monkeypatch, "list", "--json")) == [RUN]


def test_show_tells_how_far_it_went(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "running" in run(Answers({"/v1/runs/plan-1-1": RUN}), monkeypatch, "show", "plan-1-1")


def test_kill_names_the_run_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/runs/plan-1-1/kill": RUN})
    assert "plan-1-1 is being ended" in run(api, monkeypatch, "kill", "plan-1-1", "--reason", "It loops.")
    assert api.asked == [("POST", "/v1/runs/plan-1-1/kill", {"reason": "It loops."})]


@pytest.mark.parametrize(("word", "stopped", "said"), [("stop-effects", True, "every effect is stopped"), ("start-effects", False, "may")])
def test_the_switch_is_turned_and_told(monkeypatch: pytest.MonkeyPatch, word: str, stopped: bool, said: str) -> None:
    api = Answers({"/v1/switch": {"stopped": stopped, "reason": "Smoke.", "actor": "root", "at": None}})
    assert said in run(api, monkeypatch, word, "--reason", "Smoke.")
    assert api.asked == [("PUT", "/v1/switch", {"stopped": stopped, "reason": "Smoke."})]
    assert "Smoke." in run(api, monkeypatch, "switch")
