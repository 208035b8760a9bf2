"""`lineshaft features`: what is sent, and how answers are shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import features, monitors
from factory_infra.errors import InvalidInput
from tests.cli.control import Answers

VIEW = {
    "tenant": "vision",
    "name": "customers",
    "version": 2,
    "keys": [{"name": "customer", "kind": "int"}],
    "features": [{"name": "spent", "kind": "float", "dimensions": None, "description": ""}],
    "ttl_seconds": None,
    "provider": "feast_local",
}
REPORT = {"verdict": "drifted", "reason": "1 of 1 features drifted: spent (PSI 2.00).", "rows_before": 100, "rows_now": 90, "features": []}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An API that answers from a table."""
    made = Answers({})
    for module in (features, monitors):
        monkeypatch.setattr(module, "client_of", lambda _: made)
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(features.app, list(words))


def test_a_definition_is_read_from_yaml(api: Answers, tmp_path: Path) -> None:
    file = tmp_path / "view.yaml"
    file.write_text("name: customers\nkeys: [{name: customer, kind: int}]\nfeatures: [{name: spent}]\ntimestamp: seen_at\n")
    api.answers = {"/v1/features/views?tenant=vision": VIEW}
    done = call("define", str(file), "--team", "vision")
    assert done.exit_code == 0, done.output
    assert "customers@2 of team vision" in done.stdout
    [(method, _, body)] = api.asked
    assert (method, body["timestamp"]) == ("POST", "seen_at")
    file.write_text("- not a definition")
    assert isinstance(call("define", str(file)).exception, InvalidInput)


def test_rows_are_written_in_parts_under_keys_that_stay(api: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "WRITE_ROWS", 2)
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(json.dumps({"customer": n}) for n in range(5)))
    api.answers = {"/v1/features/views/customers/rows": {"rows": 2, "view": "customers", "version": 2}}
    assert call("write", "customers", str(file), "--backfill").exit_code == 0
    first = [body for _, _, body in api.asked]
    assert [len(body["rows"]) for body in first if isinstance(body["rows"], list)] == [2, 2, 1]
    assert {body["online"] for body in first} == {False}
    api.asked.clear()
    call("write", "customers", str(file))
    assert [body["key"] for _, _, body in api.asked] == [body["key"] for body in first]
    assert len({str(body["key"]) for body in first}) == 3


@pytest.mark.parametrize("text", ["", "nonsense", "[1, 2]", '{"a": 1}\n[]'])
def test_a_file_without_rows_is_refused(api: Answers, tmp_path: Path, text: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(text)
    assert isinstance(call("write", "customers", str(file)).exception, InvalidInput)
    assert api.asked == []


def test_a_reading_takes_keys_of_their_kinds(api: Answers) -> None:
    row = {"keys": {"customer": 7}, "values": {"spent": 1.5}, "state": "found", "event_at": "2026-11-25T08:00:00Z"}
    api.answers = {"/v1/features/views/customers": {"view": VIEW}, "/v1/features/views/customers/read": {"rows": [row]}}
    done = call("read", "customers", "customer=7")
    assert done.exit_code == 0, done.output
    assert "1.5" in done.stdout
    assert api.asked[-1][2] == {"entities": [{"customer": 7}]}
    assert isinstance(call("read", "customers", "city=Bern").exception, InvalidInput)


def test_lists_show_names_and_pages(api: Answers) -> None:
    api.answers = {"/v1/features/views": [VIEW]}
    done = call("list", "--team", "vision", "--limit", "5", "--offset", "10")
    assert "spent" in done.stdout
    assert api.asked[0][2] == {"tenant": "vision", "every": False, "limit": 5, "offset": 10}
    assert json.loads(call("list", "--json").stdout)[0]["version"] == 2


def test_drift_ends_a_check_with_an_error(api: Answers) -> None:
    found = {"check": {"report": REPORT}, "alert": {"id": "drift-1", "plan_id": "plan-drift-1"}}
    api.answers = {"/v1/features/monitors/buyers/check": found}
    done = call("check", "buyers")
    assert done.exit_code == monitors.EXIT_DRIFT
    assert "plan-drift-1" in done.stdout
    assert "PSI 2.00" in done.stdout
    calm = {"check": {"report": {**REPORT, "verdict": "stable"}}, "alert": None}
    api.answers = {"/v1/features/monitors/buyers/check": calm}
    assert call("check", "buyers").exit_code == 0


def test_a_monitor_is_changed_with_its_revision(api: Answers, tmp_path: Path) -> None:
    file = tmp_path / "buyers.yaml"
    file.write_text("name: buyers\nview: customers\nwindow_seconds: 60\npast: {start: 2026-01-01T00:00:00Z, end: 2026-01-02T00:00:00Z}\n")
    api.answers = {"/v1/features/monitors/buyers": {"name": "buyers", "every_seconds": 3600, "revision": 3}}
    done = call("watch", str(file), "--revision", "2")
    assert done.exit_code == 0, done.output
    [(method, _, body)] = api.asked
    assert (method, body["revision"]) == ("PUT", 2)
    assert isinstance(body["spec"], dict)
    assert "2026-01-01" in str(body["spec"]["past"])
