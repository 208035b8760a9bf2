"""Whether the gateway would start with its file, asked without a stack."""

from pathlib import Path

import pytest

from cli.stack.gateway_file import check_gateway, source_of
from factory_infra.errors import InvalidInput
from factory_infra.settings import Settings

KEYED = """
backends: {vllm: {kind: openai, url: "http://127.0.0.1:1/v1", key_file: vllm.key}}
models: {fast: {route: [{backend: vllm, model: qwen}]}}
"""
SPEAKING = """
backends: {house: {kind: embedded, abilities: {"*": {add: [speech]}}}}
models: {fast: {route: [{backend: house, model: qwen}]}}
"""


def told(settings: Settings, text: str) -> InvalidInput:
    """What is said of a file in the home."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "gateway.yaml").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        check_gateway(settings)
    assert caught.value.error_code == "gateway_invalid"
    assert str(settings.home / "gateway.yaml") in caught.value.reason
    return caught.value


def test_without_a_file_it_is_the_settings(settings: Settings) -> None:
    assert set(check_gateway(settings).models) == {"all-minilm-l6-v2"}
    assert source_of(settings) == "the settings"


def test_a_wrong_field_is_named(settings: Settings) -> None:
    assert "backends.vllm.openai.deadline_second" in told(settings, KEYED.replace("key_file", "deadline_seconds_max")).reason


def test_a_key_that_is_missing_or_empty_is_named(settings: Settings) -> None:
    missing = told(settings, KEYED)
    assert "at backends.vllm.key_file: The key file 'vllm.key'" in missing.reason
    assert str(settings.secrets_dir) in missing.remedy
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "vllm.key").write_text("\n")
    assert "backends.vllm.key_file" in told(settings, KEYED).reason
    (settings.secrets_dir / "vllm.key").write_text("k")
    assert [live.id for live in check_gateway(settings).models["fast"].lives] == ["vllm/qwen"]


def test_an_ability_that_a_backend_cannot_have(settings: Settings) -> None:
    assert "'house' cannot do speech" in told(settings, SPEAKING).reason


def test_a_file_that_is_set_and_not_there(settings: Settings, tmp_path: Path) -> None:
    settings.gateway = tmp_path / "none.yaml"
    with pytest.raises(InvalidInput, match=r"none\.yaml") as caught:
        check_gateway(settings)
    assert caught.value.error_code == "gateway_invalid"
