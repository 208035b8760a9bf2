"""`lineshaft validation`: this host without a stack, and what is sent where there is one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import validation
from factory_infra.errors import InvalidInput
from tests.cli.control import Answers


def call(home: Path, *words: str) -> Result:
    return CliRunner().invoke(validation.app, list(words), obj=home)


class TestThisHost:
    def test_a_baseline_from_it_finds_no_drift(self, tmp_path: Path) -> None:
        assert "no baseline" in call(tmp_path, "baseline").stdout
        assert call(tmp_path, "baseline", "--from-node").exit_code == 0
        told = call(tmp_path, "check", "--json")
        assert told.exit_code == 0, told.output
        [report] = json.loads(told.stdout)
        assert (report["baseline"], report["drift"]) == ("local.yaml", [])

    def test_drift_ends_with_an_error(self, tmp_path: Path) -> None:
        file = tmp_path / "baselines" / "local.yaml"
        file.parent.mkdir()
        file.write_text("software: {kernel: {exact: '1.0'}}\n")
        told = call(tmp_path, "check")
        assert told.exit_code == validation.EXIT_DRIFT
        assert "1.0" in told.stdout

    def test_one_that_is_there_is_not_overwritten(self, tmp_path: Path) -> None:
        call(tmp_path, "baseline", "--from-node")
        refused = call(tmp_path, "baseline", "--from-node")
        assert isinstance(refused.exception, InvalidInput)
        assert call(tmp_path, "baseline", "--from-node", "--force").exit_code == 0


def test_a_burn_in_is_a_plan_of_three_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = {"plan_id": "plan-1", "state": "proposed", "title": "Burn in", "price_low": "0", "price_high": "1", "currency": "EUR"}
    api = Answers({"/v1/plans": told})
    monkeypatch.setattr(validation, "client_of", lambda _: api)
    done = call(tmp_path, "burn-in", "--team", "vision", "--pool", "gpus", "--slots", "8", "--only", "matmul, all_reduce")
    assert done.exit_code == 0, done.output
    assert "lineshaft plans approve plan-1" in done.stdout


def test_the_report_names_unfit_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"pool": "gpus", "node": "n3", "fitness": "unfit", "reasons": ["matmul is slow"]}
    monkeypatch.setattr(validation, "client_of", lambda _: Answers({"/v1/validation/nodes": [row]}))
    done = call(tmp_path, "report")
    assert "unfit" in done.stdout
    assert "matmul is slow" in done.stdout
