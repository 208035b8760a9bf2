"""`lineshaft organisations, projects, members, roles, accounts, quotas, audit, teams`: what is sent, and what is said."""

import json
from types import ModuleType

import pytest
import typer
from pydantic import JsonValue
from typer.testing import CliRunner, Result

from cli import audit, members, organisations, quotas, teams
from tests.cli.control import Answers

ROW: dict[str, JsonValue] = {"id": "r-1", "name": "reader", "title": "Читатель", "revision": 2, "secret": "ls_x", "tenant": "vision"}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, of: tuple[ModuleType, typer.Typer], *words: str) -> Result:
    monkeypatch.setattr(of[0], "client_of", lambda _: api)
    return CliRunner().invoke(of[1], list(words))


class TestStructure:
    @pytest.mark.parametrize(
        ("of", "words", "sent"),
        [
            (
                (organisations, organisations.app),
                ("make", "acme", "--title", "Акме"),
                ("POST", "/v1/organisations", {"name": "acme", "title": "Акме"}),
            ),
            (
                (organisations, organisations.projects),
                ("make", "reader", "--team", "vision"),
                ("POST", "/v1/projects", {"tenant": "vision", "name": "reader", "title": ""}),
            ),
            (
                (members, members.app),
                ("add", "oidc:ann", "--team", "vision", "--role", "operator"),
                ("POST", "/v1/members", {"subject": "oidc:ann", "role": "operator", "title": "", "tenant": "vision", "project": ""}),
            ),
            (
                (members, members.roles),
                ("make", "janitor", "--team", "vision", "--permission", "jobs:*", "--permission", "*:read"),
                (
                    "POST",
                    "/v1/roles",
                    {"name": "janitor", "permissions": ["jobs:*", "*:read"], "counts_as": "viewer", "tenant": "vision", "title": ""},
                ),
            ),
            (
                (members, members.accounts),
                ("key", "vision", "nightly", "--days", "2"),
                ("POST", "/v1/accounts/vision/nightly/keys", {"days": 2.0}),
            ),
            (
                (quotas, quotas.app),
                ("set", "vision", "gpus", "4"),
                ("PUT", "/v1/quotas", {"tenant": "vision", "pool": "gpus", "accelerator": "", "slots_max": 4}),
            ),
        ],
    )
    def test_is_sent_as_said(
        self,
        monkeypatch: pytest.MonkeyPatch,
        of: tuple[ModuleType, typer.Typer],
        words: tuple[str, ...],
        sent: tuple[str, str, dict[str, JsonValue]],
    ) -> None:
        api = Answers({sent[1]: ROW})
        result = run(api, monkeypatch, of, *words)
        assert result.exit_code == 0, result.output
        assert api.asked == [sent]

    def test_a_list_is_a_table_or_json(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Answers({"/v1/projects": [ROW]})
        of = (organisations, organisations.projects)
        assert "Читатель" in run(api, monkeypatch, of, "list", "--team", "vision", "--limit", "5").stdout
        assert json.loads(run(api, monkeypatch, of, "list", "--json").stdout) == [ROW]
        assert api.asked[0] == ("GET", "/v1/projects", {"tenant": "vision", "limit": 5, "offset": 0})

    def test_a_secret_is_the_last_line_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Answers({"/v1/accounts/vision/nightly/keys": ROW})
        assert run(api, monkeypatch, (members, members.accounts), "key", "vision", "nightly").stdout == "ls_x\n"

    def test_a_quota_is_removed_by_its_whole_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = "/v1/quotas?tenant=vision&pool=a+b&accelerator=h100"
        api = Answers({path: None})
        assert run(api, monkeypatch, (quotas, quotas.app), "remove", "vision", "a b", "--accelerator", "h100").exit_code == 0
        assert api.asked == [("DELETE", path, {})]

    def test_a_team_is_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Answers({"/v1/tenants/vision": None})
        assert "is closed" in run(api, monkeypatch, (teams, teams.app), "close", "vision").stdout


class TestAudit:
    def test_export_is_what_the_api_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        api = Answers({"/v1/audit.csv": "seq,at\r\n1,x\r\n", "/v1/audit.jsonl": '{"seq":1}\n'})
        assert run(api, monkeypatch, (audit, audit.app), "export", "--csv").stdout.split() == ["seq,at", "1,x"]
        assert run(api, monkeypatch, (audit, audit.app), "export").stdout == '{"seq":1}\n'

    @pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
    def test_verify_ends_as_the_log_holds(self, monkeypatch: pytest.MonkeyPatch, holds: bool, code: int) -> None:
        api = Answers({"/v1/audit/verify": {"holds": holds, "head": "5:abc"}})
        result = run(api, monkeypatch, (audit, audit.app), "verify", "--head", "4:x")
        assert (result.exit_code, "5:abc" in result.stdout) == (code, True)
        assert api.asked == [("GET", "/v1/audit/verify", {"head": "4:x"})]
