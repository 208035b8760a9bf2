"""`lineshaft isolation`: what is said of an audit that holds, and of one that does not."""

import json
from typing import Self

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner, Result

from cli import isolation
from tests.cli.control import Answers


def report(*, refused: bool) -> dict[str, JsonValue]:
    attempt: JsonValue = {
        "door": "read_logs",
        "through": "host",
        "tried": "read its log",
        "refused": refused,
        "by": "Permission denied" if refused else "",
    }
    wall: JsonValue = {"name": "files", "state": "up" if refused else "missing", "note": ""}
    about: JsonValue = {
        "pool": "local",
        "attacker": "a",
        "victim": "b",
        "at": "2026-01-01T00:00:00Z",
        "walls": [wall],
        "attempts": [attempt],
    }
    return {"id": "audit-1", "asked_by": "ann", "holds": refused, "report": about}


class Doors(Answers):
    """Also answers with lists, and takes the place of the client's class."""

    def post_list(self, path: str, body: dict[str, JsonValue] | None = None) -> list[dict[str, JsonValue]]:
        found = self._answer("POST", path, body or {})
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    def __call__(self, url: str, key: str, *, timeout_seconds: float) -> Self:
        return self


def run(monkeypatch: pytest.MonkeyPatch, api: Doors, *words: str) -> Result:
    monkeypatch.setattr(isolation, "ApiClient", api)
    monkeypatch.setattr(isolation, "access", lambda settings: ("http://127.0.0.1:9", "key"))
    monkeypatch.setattr(isolation, "client_of", lambda _: api)
    return CliRunner().invoke(isolation.app, list(words))


@pytest.mark.parametrize(("refused", "code"), [(True, 0), (False, isolation.EXIT_HOLES)])
def test_an_audit_ends_as_it_came_out(monkeypatch: pytest.MonkeyPatch, refused: bool, code: int) -> None:
    api = Doors({"/v1/isolation/audits": [report(refused=refused)]})
    done = run(monkeypatch, api, "audit", "--team", "a", "--against", "b", "--pool", "local")
    assert done.exit_code == code, done.output
    assert api.asked == [("POST", "/v1/isolation/audits", {"attacker": "a", "victim": "b", "pool": "local"})]
    assert ("read its log" in done.stdout) is not refused
    assert ("nothing came through" in done.stdout) is refused


def test_a_report_is_shown_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, Doors({"/v1/isolation/audits/audit-1": report(refused=True)}), "show", "audit-1")
    assert "Permission denied" in done.stdout


def test_audits_and_walls_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    walls = [{"pool": "local", "walls": [{"name": "files", "state": "up", "note": ""}]}, {"pool": "gpus", "walls": [], "note": "away"}]
    api = Doors({"/v1/isolation/audits": [report(refused=True)], "/v1/isolation/walls": walls})
    assert "audit-1" in run(monkeypatch, api, "list").stdout
    assert json.loads(run(monkeypatch, api, "list", "--json").stdout)[0]["id"] == "audit-1"
    told = run(monkeypatch, api, "walls").stdout
    assert "files" in told
    assert "away" in told
