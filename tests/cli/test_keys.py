"""`lineshaft keys`: what is sent for each command, and that a secret is printed once and nothing else with it."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import keys
from tests.cli.control import Answers

SECRET = "ls_0a1b2c3d4e5f_" + "s" * 43
KEY: dict[str, JsonValue] = {
    "id": "0a1b2c3d4e5f",
    "tenant": "vision",
    "name": "app",
    "role": "user",
    "state": "active",
    "scopes": ["gateway"],
}
ISSUED: dict[str, JsonValue] = {"key": KEY, "secret": SECRET}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(keys, "client_of", lambda _: api)
    result = CliRunner().invoke(keys.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_make_sends_what_is_named_and_prints_the_secret_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/keys": ISSUED})
    words = ("--team", "vision", "--project", "reader", "--model", "fast", "--model", "best", "--scope", "gateway", "--days", "30")
    assert run(api, monkeypatch, "make", "app", *words) == SECRET + "\n"
    method, path, body = api.asked[0]
    assert (method, path) == ("POST", "/v1/keys") and str(body.pop("expires_at")).endswith("+00:00")
    assert body == {
        "name": "app",
        "tenant": "vision",
        "role": "user",
        "project": "reader",
        "models": ["fast", "best"],
        "scopes": ["gateway"],
    }


def test_make_leaves_out_what_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/keys": ISSUED})
    assert json.loads(run(api, monkeypatch, "make", "app", "--json")) == ISSUED
    assert api.asked == [("POST", "/v1/keys", {"name": "app", "role": "user"})]


def test_list_is_filtered_and_paged(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/keys": [KEY]})
    told = run(api, monkeypatch, "list", "--team", "vision", "--state", "active", "--limit", "5", "--offset", "10")
    assert "0a1b2c3d4e5f" in told and "active" in told
    assert api.asked == [("GET", "/v1/keys", {"tenant": "vision", "state": "active", "limit": 5, "offset": 10})]
    assert "No such key." in run(Answers({"/v1/keys": []}), monkeypatch, "list")


def test_rotate_prints_the_new_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/keys/0a1b2c3d4e5f/rotate": ISSUED})
    assert run(api, monkeypatch, "rotate", "0a1b2c3d4e5f", "--overlap", "3600") == SECRET + "\n"
    assert api.asked == [("POST", "/v1/keys/0a1b2c3d4e5f/rotate", {"overlap_seconds": 3600})]


def test_revoke_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/keys/0a1b2c3d4e5f": None})
    assert "0a1b2c3d4e5f is revoked" in run(api, monkeypatch, "revoke", "0a1b2c3d4e5f")
    assert api.asked == [("DELETE", "/v1/keys/0a1b2c3d4e5f", {})]
