"""The programs that go with a job as texts: what they refuse names its line, what they measure is right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from factory_infra.paas.training.pipelines.work import PROGRAMS

RULES = {"columns": {}, "rows_min": 1, "rows_max": None, "only": False}


def play(name: str, folder: Path, rows: str, rules: dict[str, object]) -> tuple[int, dict[str, object]]:
    """Run a program as its job does: the exit code, and what it left."""
    (folder / "rows.csv").write_text(rows)
    (folder / "rules.json").write_text(json.dumps(rules))
    code = subprocess.run([sys.executable, "-I", str(PROGRAMS / f"{name}.py")], cwd=folder, capture_output=True, check=False).returncode
    file = folder / ("refusal.json" if code else "result.json")
    return code, json.loads(file.read_text())


@pytest.mark.parametrize(
    ("rows", "rule", "told"),
    [
        ("a\n1\n\nx\n", {"kind": "number"}, "line 4: column 'a' has 'x', which is no number"),
        ("a\n1\nnan\n", {"min": 0}, "line 3: column 'a' has 'nan', which is no number"),
        ("a,b\n1,1\n,2\n", {}, "line 3: column 'a' has nothing"),
        ("a\n1\n9\n", {"max": 5}, "line 3: column 'a' has 9, more than 5"),
        ('a\n"x\ny"\nz\n', {"one_of": ["x\ny"]}, "line 4: column 'a' has 'z'"),
        ("a\nx\nx\n", {"unique": True}, "line 3: column 'a' has 'x' again, as in line 2"),
        ("b\n1\n", {}, "line 1: there is no column 'a'"),
        ("a\n1,2\n", {}, "line 2: it has 2 fields, the header has 1"),
    ],
)
def test_the_first_row_that_breaks_a_rule_is_named(tmp_path: Path, rows: str, rule: dict[str, object], told: str) -> None:
    code, left = play("validate", tmp_path, rows, {**RULES, "columns": {"a": rule}})
    assert (code, left["code"]) == (1, "data_invalid")
    assert told in str(left["reason"])


def test_rows_that_hold_are_counted(tmp_path: Path) -> None:
    assert play("validate", tmp_path, "a\n1\n2\n", {**RULES, "columns": {"a": {"kind": "number"}}}) == (0, {"rows": 2, "columns": 1})


def test_predictions_are_measured(tmp_path: Path) -> None:
    rows = "t,p\na,a\na,a\na,b\nb,b\nc,a\n"
    code, left = play("evaluate", tmp_path, rows, {"truth": "t", "predicted": "p"})
    # by hand: f1 of a is 4/6, of b 2/3, of c 0
    assert (code, left) == (0, {"accuracy": 0.6, "f1_macro": pytest.approx((4 / 6 + 2 / 3 + 0) / 3), "rows": 5})
