"""The gateway's file on backends: strict, by kind."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backend import ChatBackend, EmbeddingsBackend, SpeechBackend, TranscriptionBackend, UsageRecall
from factory_infra.saas.models.backends.registry import BACKENDS, build, secret_of
from factory_infra.saas.models.backends.spec import BackendSpec, OpenAISpec, named
from factory_infra.settings import Settings

SPEC: TypeAdapter[BackendSpec] = TypeAdapter(BackendSpec)
SPECS: dict[str, dict[str, Any]] = {
    "openai": {"url": "http://10.0.0.5:8000/v1", "key_file": "vllm.key", "usage_in_stream": False},
    "embedded": {},
    "deployment": {"team": "vision", "endpoint": "chat"},
    "scripted": {"script": "first-choice"},
    "bedrock": {"region": "eu-central-1", "endpoint_url": None, "guardrail": {"id": "g", "version": "1"}},
    "sagemaker": {"region": "us-gov-east-1"},
    "aws_speech": {"bucket": "speech", "voices": {"alloy": "Joanna"}},
}


@pytest.mark.parametrize("kind", BACKENDS)
async def test_every_kind_is_built_without_connecting(kind: str, settings: Settings) -> None:
    backend = build(named(SPEC.validate_python({"kind": kind, **SPECS[kind]}), "mine"), settings, None)
    assert backend.name == "mine"
    assert isinstance(backend, SpeechBackend if kind == "aws_speech" else ChatBackend)
    assert backend.abilities("m").context_tokens > 0
    await backend.close()


def test_what_each_kind_serves_beyond_chat(settings: Settings) -> None:
    extras = (EmbeddingsBackend, TranscriptionBackend, SpeechBackend, UsageRecall)
    found = {
        kind: [
            extra.__name__
            for extra in extras
            if isinstance(build(SPEC.validate_python({"kind": kind, **SPECS[kind]}), settings, None), extra)
        ]
        for kind in BACKENDS
    }
    assert found == {
        "openai": ["EmbeddingsBackend", "TranscriptionBackend", "SpeechBackend", "UsageRecall"],
        "embedded": ["EmbeddingsBackend", "UsageRecall"],
        "deployment": [],
        "scripted": ["EmbeddingsBackend"],
        "bedrock": ["EmbeddingsBackend"],
        "sagemaker": [],
        "aws_speech": ["TranscriptionBackend", "SpeechBackend"],
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"kind": "unknown"},
        {"kind": "openai"},
        {"kind": "openai", "url": "file:///etc/passwd"},
        {"kind": "openai", "url": "http://user:pass@host/v1"},
        {"kind": "openai", "url": "http://host/v1?key=x"},
        {"kind": "openai", "url": "http://host/v1", "key_file": "../keys"},
        {"kind": "openai", "url": "http://host/v1", "key": "sk-x"},
        {"kind": "openai", "url": "http://host/v1", "deadline_seconds": 0},
        {"kind": "openai", "url": "http://host/v1", "usage_recall": "yes"},
        {"kind": "openai", "url": "http://host/v1", "abilities": {"m": {"add": ["flying"]}}},
        {"kind": "bedrock", "region": "Europe"},
        {"kind": "aws_speech", "bucket": "No Bucket"},
    ],
)
def test_a_broken_spec_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SPEC.validate_python(broken)


def test_a_key_comes_from_the_secrets_folder(settings: Settings, tmp_path: Path) -> None:
    spec = OpenAISpec(kind="openai", url="http://host/v1", key_file="up.key")
    with pytest.raises(InvalidInput, match=r"up\.key"):
        secret_of(spec, settings)
    settings.secrets_dir.mkdir(parents=True)
    (settings.secrets_dir / "up.key").write_text(" s3cret\n")
    found = secret_of(spec, settings)
    assert found is not None
    assert found.get_secret_value() == "s3cret"
    assert secret_of(OpenAISpec(kind="openai", url="http://host/v1"), settings) is None
    (settings.secrets_dir / "up.key").write_text("\n")
    with pytest.raises(InvalidInput, match="holds no key"):
        secret_of(spec, settings)


def test_overrides_of_a_model_go_before_those_of_all(settings: Settings) -> None:
    spec = OpenAISpec.model_validate(
        {"kind": "openai", "url": "http://h/v1", "abilities": {"*": {"remove": ["images"]}, "seer": {"context_tokens": 5}}}
    )
    backend = build(spec, settings, None)
    assert "images" not in backend.abilities("m").can
    assert "images" in backend.abilities("seer").can
    assert backend.abilities("seer").context_tokens == 5
