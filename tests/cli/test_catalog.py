"""`lineshaft catalog`: what is sent, and how answers are shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import catalog
from factory_infra.errors import InvalidInput
from tests.cli.control import Answers

ENTRY = {
    "id": "model/vision/reader/3",
    "kind": "model",
    "name": "reader",
    "version": "3",
    "owner": "ann (1)",
    "badges": [{"name": "quality", "value": "accuracy 98.0%", "level": "good", "basis": ""}],
    "tags": ["digits"],
    "description": "Reads digits.",
}
REQUEST = {"id": "access-1", "entry_id": ENTRY["id"], "state": "granted", "expires_at": "2026-12-01T00:00:00Z"}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """An API that answers from a table."""
    made = Answers({"/v1/catalog": [ENTRY], "/v1/catalog/model/vision/reader/3": ENTRY})
    monkeypatch.setattr(catalog, "client_of", lambda _: made)
    return made


def call(*words: str) -> Result:
    return CliRunner().invoke(catalog.app, list(words))


def test_a_search_sends_its_conditions_and_shows_badges(api: Answers) -> None:
    told = call("search", "who reads digits", "--kind", "model", "--badge", "quality:good", "--team", "vision")
    assert "accuracy 98.0%" in told.output
    assert api.asked == [
        ("GET", "/v1/catalog", {"q": "who reads digits", "kind": "model", "badge": "quality:good", "limit": 10, "tenant": "vision"})
    ]
    assert json.loads(call("search", "x", "--json").output) == [ENTRY]


def test_an_entry_is_shown_by_its_id(api: Answers) -> None:
    assert "reader" in call("show", "model/vision/reader/3").output
    assert catalog.path_of("/v1/catalog", "model/v/手 ?") == "/v1/catalog/model/v/%E6%89%8B%20%3F"


def test_a_document_is_put_with_its_text(api: Answers, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("kind: document\nname: guide\n")
    (tmp_path / "t.md").write_text("# Hello")
    api.answers = {"/v1/catalog": {"id": "document/vision/guide"}}
    assert "document/vision/guide is listed" in call("put", str(tmp_path / "e.yaml"), "--text", str(tmp_path / "t.md")).output
    assert api.asked[0][2] == {"kind": "document", "name": "guide", "text": "# Hello"}


def test_a_blueprint_is_used_with_its_slots(api: Answers) -> None:
    api.answers = {"/v1/catalog-uses": {"id": "plan-1", "state": "proposed"}}
    assert "plan-1 is proposed" in call("use", "pipeline/shared/b", "--set", "a=1", "--set", "b=x=y", "--key", "k").output
    assert api.asked[0][2] == {"entry_id": "pipeline/shared/b", "values": {"a": "1", "b": "x=y"}, "key": "k"}
    assert isinstance(call("use", "x", "--set", "nothing").exception, InvalidInput)


def test_access_is_asked_for_and_decided(api: Answers) -> None:
    api.answers = {"/v1/access-requests": REQUEST, "/v1/access-requests/access-1/approve": REQUEST, "/v1/access-requests/share": REQUEST}
    assert "is granted until" in call("access", "ask", ENTRY["id"], "--reason", "r").output  # type: ignore[arg-type]
    assert "is granted" in call("access", "approve", "access-1").output
    assert "is granted" in call("access", "share", "x", "--to", "pricing").output
    assert [path for _, path, _ in api.asked] == list(api.answers)
