"""`lineshaft policy`, without a stack."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.policy import app
from factory_infra.errors import InvalidInput, LineshaftError

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
STRICT = str(EXAMPLES / "policy-strict.yaml")
PLANS = [str(path) for path in sorted((EXAMPLES / "plans").glob("*.json"))]
NOON, NIGHT = "2026-11-24T12:00:00", "2026-11-24T23:30:00"


def call(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), obj=home)


def decisions(result: Result) -> list[tuple[str, str]]:
    return [(row["verdict"]["decision"], row["verdict"]["code"]) for row in json.loads(result.stdout)]


def test_the_examples_under_the_strict_policy(tmp_path: Path) -> None:
    told = call(tmp_path, "test", *PLANS, "--policy", STRICT, "--at", NOON, "--json")
    assert decisions(told) == [
        ("run", ""),
        ("approve", ""),
        ("approve", ""),
        ("approve", ""),
        ("refuse", "policy_refused"),
        ("refuse", "effect_mismatch"),
    ]
    retire = json.loads(told.stdout)[3]["verdict"]
    assert (retire["approvals"], retire["requester_may_approve"]) == (2, False)


def test_at_night_the_same_lease_is_refused(tmp_path: Path) -> None:
    assert decisions(call(tmp_path, "test", PLANS[1], "--policy", STRICT, "--at", NIGHT, "--json")) == [("refuse", "policy_refused")]


def test_the_examples_under_the_shipped_policy(tmp_path: Path) -> None:
    told = call(tmp_path, "test", *PLANS, "--at", NOON, "--json")
    assert [decision for decision, _ in decisions(told)] == ["run", "approve", "approve", "approve", "approve", "refuse"]


def test_a_person_reads_each_step_with_its_rule(tmp_path: Path) -> None:
    told = call(tmp_path, "test", PLANS[3], "--policy", STRICT, "--at", NOON).stdout
    for word in ("deployments.retire", "destructive", "approve", "two-people-for-destruction", "not by who asked"):
        assert word in told


def test_the_homes_policy_counts(tmp_path: Path) -> None:
    shutil.copy(STRICT, tmp_path / "policy.yaml")
    told = json.loads(call(tmp_path, "test", PLANS[1], "--at", NOON, "--json").stdout)
    assert told[0]["verdict"]["policy"].startswith("strict-1 ")


class TestShow:
    def test_what_applies_to_a_team(self, tmp_path: Path) -> None:
        shown = json.loads(call(tmp_path, "show", "--policy", STRICT, "--tenant", "research", "--json").stdout)
        assert (shown["defaults"]["costly"]["then"], shown["bounds"]["money_max"], shown["own"]) == ("run", "20", ["costly"])

    def test_for_a_person(self, tmp_path: Path) -> None:
        told = call(tmp_path, "show", "--policy", STRICT).stdout
        assert "no-plan-above-100" in told and "money above 100" in told and "research" in told
        assert "from shipped" in call(tmp_path, "show").stdout


class TestCheck:
    def test_a_good_file(self, tmp_path: Path) -> None:
        assert "7 rules, 1 teams" in call(tmp_path, "check", STRICT).stdout

    def test_a_slip_in_a_tools_name_is_noted(self, tmp_path: Path) -> None:
        path = tmp_path / "p.yaml"
        path.write_text(Path(STRICT).read_text().replace("tool: leases.acquire", "tool: leases.aquire"))
        assert "leases.aquire" in call(tmp_path, "check", str(path)).stdout

    def test_a_broken_file_is_an_error_and_so_is_testing_with_it(self, tmp_path: Path) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(Path(STRICT).read_text().replace("then: run", "then: walk"))
        for arguments in (("check", str(path)), ("test", PLANS[1], "--policy", str(path)), ("test", PLANS[1]), ("show",)):
            result = call(tmp_path, *arguments)
            assert isinstance(result.exception, LineshaftError), arguments
            assert result.exception.error_code == "policy_invalid"
            assert "then" in result.exception.reason


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"id": "p", "steps": 3}'])
def test_a_file_that_holds_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    result = call(tmp_path, "test", str(path))
    assert isinstance(result.exception, InvalidInput)
    assert str(path) in result.exception.reason


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = call(tmp_path, "test", "nowhere/plan.json", "--policy", STRICT)
    assert isinstance(result.exception, InvalidInput)
    assert "nowhere/plan.json" in result.exception.reason
