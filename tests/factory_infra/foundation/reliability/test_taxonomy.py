"""The table of failures: what is in it, and what an unknown code gets."""

from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.reliability.taxonomy import failure_of, load_taxonomy

WANTED = (13, 31, 43, 45, 48, 61, 62, 63, 64, 69, 74, 79, 92, 94, 95, 119, 120)


@pytest.mark.parametrize("code", WANTED)
def test_every_xid_that_matters_is_in_it(code: int) -> None:
    assert failure_of(f"xid_{code}").code == f"xid_{code}"


@pytest.mark.parametrize(
    ("code", "severity", "action"),
    [
        ("xid_79", "failure", "replace"),
        ("xid_31", "note", "restart_job"),
        ("xid_95", "failure", "drain"),
        ("xid_119", "failure", "reset_gpu"),
        ("xid_92", "warning", "contact"),
        ("remap_failed", "failure", "replace"),
        ("xid_4711", "warning", "contact"),
        ("whatever", "warning", "contact"),
    ],
)
def test_what_a_code_means(code: str, severity: str, action: str) -> None:
    failure = failure_of(code)
    assert (failure.severity, failure.action) == (severity, action)


def test_a_program_that_fails_does_not_take_its_node_out() -> None:
    assert [each.code for each in load_taxonomy().values() if each.cause == "program" and each.doubtful] == []


def test_each_failure_takes_its_node_out() -> None:
    assert all(each.doubtful for each in load_taxonomy().values() if each.severity == "failure")


def test_a_broken_table_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    path.write_text("- {code: x, title: t, cause: gpu, severity: grave, action: none}")
    with pytest.raises(InvalidInput, match=r"table.yaml"):
        load_taxonomy(path)
