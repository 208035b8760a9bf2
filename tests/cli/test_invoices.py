"""`lineshaft invoice`: a table, CSV as it came, or JSON."""

import json

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import invoices
from factory_infra.errors import InvalidInput
from tests.cli.control import Answers

LINE: dict[str, JsonValue] = {
    "project": "reader",
    "model": "fast",
    "unit": "tokens",
    "calls": 3,
    "quantity": "10",
    "amount": "0.000000000001",
}
INVOICE: dict[str, JsonValue] = {
    "tenant": "vision",
    "since": "2026-11-01",
    "until": "2026-12-01",
    "currency": "USD",
    "lines": [LINE],
    "total": "0.000000000001",
}
CSV = "tenant,project,amount\nvision,[red]reader,0.000000000001\n"


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr(invoices, "client_of", lambda _: api)
    result = CliRunner().invoke(invoices.app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_table_with_the_total_to_the_last_digit(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/invoices": INVOICE})
    told = run(api, monkeypatch, "--team", "vision", "--month", "2026-11", "--by", "project,model")
    assert "attempts" in told and "calls" not in told
    assert "reader" in told and "until before 2026-12-01: 0.000000000001 USD" in told
    assert api.asked == [("GET", "/v1/invoices", {"tenant": "vision", "month": "2026-11", "by": "project,model"})]
    assert "Nothing was spent." in run(Answers({"/v1/invoices": {**INVOICE, "lines": []}}), monkeypatch)


def test_csv_and_json_as_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/invoices": INVOICE, "/v1/invoices.csv": CSV})
    assert run(api, monkeypatch, "--csv") == CSV
    assert json.loads(run(api, monkeypatch, "--json")) == INVOICE


def test_not_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invoices, "client_of", lambda _: Answers({}))
    result = CliRunner().invoke(invoices.app, ["--csv", "--json"])
    assert isinstance(result.exception, InvalidInput)
