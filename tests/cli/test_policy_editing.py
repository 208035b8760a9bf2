"""`lineshaft policy text | put | edit`: what is sent, and that an edit which is not taken is not lost."""

from pathlib import Path

import click
import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from api.client import ApiRefusal, JsonObject
from cli import policy_editing
from cli.policy import app
from tests.cli.control import Answers

READ: dict[str, JsonValue] = {"text": "version: '1'\n", "revision": "a" * 64, "source": "home"}


class Faster(Answers):
    """Somebody was faster."""

    def put(self, path: str, body: JsonObject) -> JsonObject:
        raise ApiRefusal(409, {"code": "revision_stale", "reason": "It was changed meanwhile.", "remedy": "Read it again."})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    answers = Answers({"/v1/policy/text": READ, "/v1/policy": {**READ, "revision": "b" * 64}})
    monkeypatch.setattr(policy_editing, "client_of", lambda _: answers)
    monkeypatch.chdir(tmp_path)
    return answers


def test_the_text_is_what_was_written(api: Answers, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["text", "--to", "mine.yaml"])
    assert "a" * 64 in told.stdout.replace("\n", "") and (tmp_path / "mine.yaml").read_text() == READ["text"]
    assert CliRunner().invoke(app, ["text"]).stdout.startswith("version: '1'\n")


def test_put_names_the_revision_that_was_read(api: Answers) -> None:
    Path("mine.yaml").write_text("version: '2'\n")
    assert CliRunner().invoke(app, ["put", "mine.yaml", "--revision", "a" * 64]).exit_code == 0
    assert api.asked == [("PUT", "/v1/policy", {"text": "version: '2'\n", "revision": "a" * 64})]


def test_edit_sends_what_the_editor_left(api: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "edit", lambda text, **_: f"{text}# mine\n")
    assert CliRunner().invoke(app, ["edit"]).exit_code == 0
    assert api.asked[-1] == ("PUT", "/v1/policy", {"text": f"{READ['text']}# mine\n", "revision": "a" * 64})


@pytest.mark.parametrize("left", [None, READ["text"]])
def test_an_editor_that_was_left_changes_nothing(api: Answers, monkeypatch: pytest.MonkeyPatch, left: str | None) -> None:
    monkeypatch.setattr(click, "edit", lambda text, **_: left)
    assert CliRunner().invoke(app, ["edit"]).exit_code == 0
    assert [method for method, _, _ in api.asked] == ["GET"]


def test_where_somebody_was_faster_the_words_are_kept(api: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_editing, "client_of", lambda _: Faster(api.answers))
    monkeypatch.setattr(click, "edit", lambda text, **_: "# mine\n")
    told = CliRunner().invoke(app, ["edit"])
    assert isinstance(told.exception, ApiRefusal) and policy_editing.KEPT.read_text() == "# mine\n"
