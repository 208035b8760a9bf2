"""`lineshaft costs`: tables with their sums, JSON as it came, files as they came, and checks without a stack."""

import json
from pathlib import Path

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from cli import costs
from factory_infra.paas.optimization.focus import csv_lines, rows
from tests.cli.control import Answers
from tests.factory_infra.paas.optimization.test_focus_check import CHARGE

LINE: dict[str, JsonValue] = {"team": "vision", "pool": "h100", "unit": "slot_seconds", "charges": 2, "quantity": "3600", "amount": "2.5"}
ALLOCATION: dict[str, JsonValue] = {
    "since": "2026-11-01",
    "until": "2026-12-01",
    "currency": "USD",
    "lines": [LINE],
    "total": "2.5",
    "ledger_total": "2.5",
}
FINDING: dict[str, JsonValue] = {
    "id": "f-1",
    "kind": "lease_idle",
    "team": "vision",
    "subject": "lease-1",
    "title": "Release lease-1",
    "evidence": "No job has run on it for 45 min.",
    "saving_hourly": "2.5",
    "saving_left": "5",
    "state": "open",
    "blocked": "",
}
POINT: dict[str, JsonValue] = {"at": "2026-11-27T00:00:00Z", "mean": 3.0, "low": 2.0, "high": 4.0}
BACKTEST: dict[str, JsonValue] = {"windows": 8, "steps": 20, "error": 0.5, "error_naive": 1.0, "coverage": 0.81}
CAPACITY: dict[str, JsonValue] = {
    "pool": "h100",
    "history": 90,
    "bucket": "day",
    "words": "It is not full before 2026-12-24.",
    "teams": [{"team": "vision", "now": 2.0, "points": [POINT], "model": "theta", "backtest": BACKTEST}],
    "backtest": BACKTEST,
    "reserving": {"slots": 4, "hourly_cost": 6.0, "hourly_cost_on_demand": 9.0, "hourly_cost_peak": 8.0},
}
MIX: dict[str, JsonValue] = {
    "work": "made-up work, 7 days",
    "jobs": 12.0,
    "seeds": 3,
    "currency": "USD",
    "lines": [{"name": "spot", "cost": 1.0}],
    "words": "Simulated: spot costs 60 % less.",
}


def run(api: Answers, monkeypatch: pytest.MonkeyPatch, *words: str, code: int = 0) -> str:
    monkeypatch.setattr(costs, "client_of", lambda _: api)
    result = CliRunner().invoke(costs.app, list(words))
    assert result.exit_code == code, result.output
    return result.stdout


def test_allocation_is_a_table_with_the_ledgers_word(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/costs/allocation": ALLOCATION})
    told = run(api, monkeypatch, "allocation", "--by", "team,pool", "--month", "2026-11")
    assert "h100" in told and "2.5 USD; the ledger says the same" in told
    assert api.asked == [("GET", "/v1/costs/allocation", {"by": "team,pool", "month": "2026-11"})]
    assert json.loads(run(api, monkeypatch, "allocation", "--json")) == ALLOCATION
    unequal = Answers({"/v1/costs/allocation": {**ALLOCATION, "ledger_total": "3"}})
    assert "THE LEDGER SAYS 3" in run(unequal, monkeypatch, "allocation")


def test_findings_capacity_and_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Answers({"/v1/costs/findings": [FINDING], "/v1/costs/capacity": CAPACITY, "/v1/costs/mix": MIX})
    assert "lease-1" in run(api, monkeypatch, "findings", "--idle-minutes", "45")
    assert api.asked[-1][2]["idle_seconds"] == 2700
    told = run(api, monkeypatch, "capacity", "--pool", "h100")
    assert "0.500 slots off" in told and "81 % in the interval" in told and "best reserved: 4 slots" in told
    assert "simulated" in run(api, monkeypatch, "mix", "--days", "7", "--seeds", "3").lower()
    assert api.asked[-1][2] == {"days": 7, "seeds": 3}
    dismissed = Answers({"/v1/costs/findings/f-1/dismiss": FINDING})
    assert "for good" in run(dismissed, monkeypatch, "dismiss", "f-1", "--reason", "warm", "--for-good")
    assert dismissed.asked == [("POST", "/v1/costs/findings/f-1/dismiss", {"reason": "warm"})]


def test_an_export_is_written_and_checked_without_a_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = "".join(csv_lines(rows([CHARGE], "USD")))
    api, file = Answers({"/v1/costs/focus.csv": lines}), tmp_path / "focus.csv"
    assert run(api, monkeypatch, "focus") == lines
    run(api, monkeypatch, "focus", str(file), "--month", "2026-11")
    assert "0 violations" in run(api, monkeypatch, "check-focus", str(file))
    file.write_text(file.read_text().replace("Usage,", "Use,"))
    assert "allowed values" in run(api, monkeypatch, "check-focus", str(file), code=1)
