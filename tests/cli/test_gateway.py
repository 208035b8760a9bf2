"""`lineshaft gateway check`, without a stack."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.gateway import app
from factory_infra.errors import InvalidInput

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "gateway.yaml"


def call(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments], obj=home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with the keys of the example."""
    secrets = tmp_path / "home" / "secrets"
    secrets.mkdir(parents=True)
    for name in ("vllm.key", "provider.key"):
        (secrets / name).write_text("the-secret-of-the-test")
    return secrets.parent


def test_the_example_for_a_person(home: Path) -> None:
    told = call(home, str(EXAMPLE))
    assert told.exit_code == 0, told.output
    assert "4 backends, 4 models" in told.stdout
    for word in ("http://10.0.0.5:8000/v1", "eu-central-1", "vllm/qwen-7b, eu/amazon.nova-lite-v1:0", "weighted", "research, vision"):
        assert word in told.stdout
    assert "There is no model 'all-minilm-l6-v2'" in told.stdout
    assert "the-secret-of-the-test" not in told.stdout


def test_the_example_for_a_program(home: Path) -> None:
    told = json.loads(call(home, str(EXAMPLE), "--json").stdout)
    assert (told["valid"], told["file"]) == (True, str(EXAMPLE))
    assert [each["backend"] for each in told["backends"]] == ["house", "vllm", "provider", "eu"]
    fast = next(each for each in told["models"] if each["model"] == "fast")
    assert (fast["route"], fast["choose"], fast["tenants"]) == (["vllm/qwen-7b", "eu/amazon.nova-lite-v1:0"], "weighted", None)
    assert "chat" in fast["can"] and "embeddings" not in fast["can"]


def test_the_file_that_counts_is_the_homes(home: Path) -> None:
    (home / "gateway.yaml").write_text("backends: {house: {kind: embedded}, spare: {kind: scripted}}\nmodels: {}\n")
    told = json.loads(call(home, "--json").stdout)
    assert told["file"] == str(home / "gateway.yaml")
    assert [note for note in told["notes"] if "spare" in note]


def test_without_a_file_the_settings_say_it(home: Path) -> None:
    told = json.loads(call(home, "--json").stdout)
    assert (told["file"], told["notes"]) == ("the settings", [])
    assert "default" in [each["model"] for each in told["models"]]


def test_a_wrong_file_is_exit_code_1_with_its_field(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(EXAMPLE.read_text().replace("choose: weighted", "choose: any"))
    wrong = call(home, str(path), "--json")
    told = json.loads(wrong.stdout)
    assert (wrong.exit_code, told["valid"], told["code"]) == (1, False, "gateway_invalid")
    assert str(path) in told["reason"] and "models.fast.choose" in told["reason"]
    raised = call(home, str(path)).exception
    assert isinstance(raised, InvalidInput) and raised.reason == told["reason"]


def test_a_missing_key_is_told_with_its_field(home: Path) -> None:
    (home / "secrets" / "provider.key").unlink()
    told = json.loads(call(home, str(EXAMPLE), "--json").stdout)
    assert "backends.provider.key_file" in told["reason"]
