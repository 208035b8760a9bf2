"""`lineshaft studies`: the plan that is proposed, and how answers are shown."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner, Result

from cli import studies
from cli.listing import JsonObject
from tests.cli.control import Answers

STUDY: JsonObject = {
    "id": "study-1",
    "name": "digits",
    "state": "finished",
    "best_value": 0.97,
    "best_number": 3,
    "code": "trials_max",
    "reason": "All 4 trials were made.",
    "spec": {"name": "digits"},
}
REPORT: JsonObject = {
    "study": STUDY,
    "best": {"number": 3, "parameters": {"hidden": 32}, "run_id": "f" * 32},
    "trials": {"complete": 3, "pruned": 1},
    "slot_hours": 0.25,
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An API that answers from a table."""
    made = Answers({})
    monkeypatch.setattr(studies, "client_of", lambda _: made)
    return made


@pytest.fixture
def proposed(api: Answers, monkeypatch: pytest.MonkeyPatch) -> list[list[JsonObject]]:
    """The steps of plans that were proposed."""
    found: list[list[JsonObject]] = []

    def propose(client: Answers, tenant: str | None, title: str, steps: list[JsonObject]) -> JsonObject:
        found.append(steps)
        return {"plan_id": "p", "digest": "d"}

    monkeypatch.setattr(studies, "propose", propose)
    monkeypatch.setattr(studies, "carried_out", lambda *_, **__: None)
    return found


def call(*words: str) -> Result:
    return CliRunner().invoke(studies.app, list(words))


def arguments(step: JsonObject) -> JsonObject:
    """What a step is called with."""
    given = step["arguments"]
    assert isinstance(given, dict)
    return given


def test_a_study_becomes_a_plan_that_leases_searches_registers_and_gives_back(proposed: list[list[JsonObject]], tmp_path: Path) -> None:
    file = tmp_path / "digits.yaml"
    file.write_text("name: digits\nslots_per_trial: 2\nbounds: {parallel: 3, seconds_max: 600}\nprogram: {kind: command, argv: [p]}\n")
    done = call("start", str(file), "--register", "reader")
    assert done.exit_code == 0, done.output
    [steps] = proposed
    assert [step["id"] for step in steps] == ["lease", "search", "end", "register", "release"]
    assert (arguments(steps[0])["slots"], arguments(steps[0])["seconds"]) == (6, 900)
    study: JsonValue = arguments(steps[1])["study"]
    assert isinstance(study, dict) and study["name"] == "digits"
    assert arguments(steps[3])["run_id"] == {"from_step": "end", "field": "run_id"}
    assert steps[-1]["always"] is True and steps[-1]["after"] == ["register"]


def test_on_a_lease_that_is_held_nothing_is_leased_or_given_back(proposed: list[list[JsonObject]], tmp_path: Path) -> None:
    file = tmp_path / "digits.json"
    file.write_text('{"name": "digits"}')
    assert call("start", str(file), "--lease", "lease-9").exit_code == 0
    assert [step["id"] for step in proposed[0]] == ["search", "end"]
    assert arguments(proposed[0][0])["lease_id"] == "lease-9"


def test_what_is_there_is_shown_and_told_as_json(api: Answers) -> None:
    api.answers = {
        "/v1/studies": [STUDY],
        "/v1/studies/study-1": REPORT,
        "/v1/studies/study-1/trials": [
            {"number": 3, "state": "complete", "value": 0.97, "parameters": {"hidden": 32}, "reports": [{"step": 1}], "job_id": "j"}
        ],
    }
    assert "digits" in call("list").stdout and "0.97" in call("list").stdout
    shown = call("show", "study-1").stdout
    assert "trials_max" in shown and '"hidden": 32' in shown and "f" * 32 in shown
    assert json.loads(call("show", "study-1", "--json").stdout) == REPORT
    assert "complete" in call("trials", "study-1").stdout


def test_waiting_ends_with_the_study(api: Answers) -> None:
    api.answers = {"/v1/studies/study-1": REPORT}
    assert call("wait", "study-1").exit_code == 0
    nothing: JsonObject = {**REPORT, "study": {**STUDY, "state": "failed", "best_value": None}}
    api.answers = {"/v1/studies/study-1": nothing}
    assert call("wait", "study-1").exit_code == 1


def test_a_study_is_stopped(api: Answers) -> None:
    api.answers = {"/v1/studies/study-1/stop": {**STUDY, "state": "stopping"}}
    assert "stopping" in call("stop", "study-1", "--reason", "enough").stdout
    assert api.asked[-1][2] == {"reason": "enough"}
