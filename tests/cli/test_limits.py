"""`lineshaft limits`: what is sent for each command, and what is said."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import limits
from tests.cli.control import Answers

LIMIT: dict[str, JsonValue] = {
    "id": "vision:tokens:day",
    "tenant": "vision",
    "resource": "tokens",
    "window": "day",
    "cap": "9",
    "used": "7",
}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(limits, "client_of", lambda _: api)
    result = CliRunner().invoke(limits.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (("tokens", "9", "--per", "day"), {"resource": "tokens", "window": "day", "project": "", "key_id": ""}),
        (("money", "9"), {"resource": "money", "window": "month", "project": "", "key_id": ""}),
        (("parallel", "9", "--project", "reader"), {"resource": "parallel", "window": "now", "project": "reader", "key_id": ""}),
        (("requests", "9", "--per", "minute", "--key", "k"), {"resource": "requests", "window": "minute", "project": "", "key_id": "k"}),
    ],
)
def test_set(monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], sent: dict[str, JsonValue]) -> None:
    api = Answers({"/v1/limits": LIMIT})
    assert "vision:tokens:day" in run(api, monkeypatch, "set", "vision", *words)
    assert api.asked == [("PUT", "/v1/limits", {"tenant": "vision", "cap": "9", **sent})]


def test_a_negative_cap_reaches_the_api_which_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/limits": LIMIT})
    run(api, monkeypatch, "set", "vision", "tokens", "--per", "day", "--", "-1")
    assert api.asked[0][2]["cap"] == "-1"


def test_list_and_remove(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/limits": [LIMIT], "/v1/limits/vision:tokens:day": None})
    assert "vision:tokens:day" in run(api, monkeypatch, "list", "--team", "vision", "--key", "k")
    assert json.loads(run(api, monkeypatch, "list", "--json")) == [LIMIT]
    assert "is removed" in run(api, monkeypatch, "remove", "vision:tokens:day")
    assert [asked[:2] for asked in api.asked] == [("GET", "/v1/limits")] * 2 + [("DELETE", "/v1/limits/vision:tokens:day")]
