"""`lineshaft accelerators` without an account and without a stack."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from factory_infra.errors import InvalidInput

RUN = CliRunner()


def call(home: Path, *words: str) -> str:
    result = RUN.invoke(app, ["--home", str(home), "accelerators", *words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_find_prints_a_table_and_how_old_it_is(tmp_path: Path) -> None:
    told = call(tmp_path, "find", "--gpu", "H100", "--count", "8", "--spot")
    assert "p5.48xlarge" in told and "~" in told and "list price snapshot" in told and "estimate" in told


def test_find_prints_json(tmp_path: Path) -> None:
    found = json.loads(call(tmp_path, "find", "--gpu", "L40S", "--count", "8", "--min-network", "400", "--json"))
    assert [each["offer"]["machine"] for each in found["offers"]] == ["g6e.48xlarge"] and found["at"]


def test_the_catalogue_is_listed(tmp_path: Path) -> None:
    assert {each["type"] for each in json.loads(call(tmp_path, "list", "--json"))} >= {"H100", "Trainium2", "Inferentia2"}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("find", "--gpu", "H1000"), "accelerator_unknown"),
        (("find", "--kind", "tpu"), "accelerator_unknown"),
        (("find", "--count", "0"), "accelerator_count_invalid"),
        (("find", "--spot", "--reserved"), "invalid_input"),
        (("refresh", "--pool", "local"), "not_offered"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        call(tmp_path, *words)
    assert refused.value.error_code == code
