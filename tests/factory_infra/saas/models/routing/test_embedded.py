"""Which weights the model server loads: what the settings name, or what the gateway's file leads to."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.routing.embedded import embedded_model
from factory_infra.saas.models.server import open_chat
from factory_infra.saas.models.server_app import ChatOff
from factory_infra.settings import Settings

FILE = """
backends:
  house: {kind: embedded}
  lab: {kind: openai, url: "http://127.0.0.1:9/v1"}
models:
  all-minilm-l6-v2: {route: [{backend: house, model: all-minilm-l6-v2}]}
  far: {route: [{backend: lab, model: qwen2.5-coder-0.5b}]}
  large: {route: [{backend: lab, model: big}, {backend: house, model: qwen2.5-coder-1.5b}]}
  small: {route: [{backend: house, model: qwen2.5-coder-0.5b}]}
"""


def with_file(settings: Settings, model: str, text: str = FILE) -> Settings:
    """Settings whose home has a gateway's file."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "gateway.yaml").write_text(text)
    return settings.model_copy(update={"model": model})


@pytest.mark.parametrize(
    ("model", "loaded"),
    [
        ("embedded:qwen2.5-coder-0.5b", "qwen2.5-coder-0.5b"),
        ("gateway:small", "qwen2.5-coder-0.5b"),
        ("gateway:large", "qwen2.5-coder-1.5b"),
        ("gateway:far", "qwen2.5-coder-1.5b"),
        ("none", "qwen2.5-coder-1.5b"),
    ],
)
def test_a_route_to_the_embedded_model_has_it_loaded(settings: Settings, model: str, loaded: str) -> None:
    assert embedded_model(with_file(settings, model)) == loaded


def test_nothing_is_loaded_where_nothing_leads_to_it(settings: Settings) -> None:
    assert embedded_model(settings) is None
    assert embedded_model(settings.model_copy(update={"model": "gateway:any"})) is None
    off = open_chat(settings)
    assert isinstance(off, ChatOff) and off.code == "model_not_embedded"


def test_the_server_looks_for_the_weights_that_a_route_names(settings: Settings) -> None:
    off = open_chat(with_file(settings, "gateway:large"))
    assert isinstance(off, ChatOff) and off.code == "weights_missing" and "1.5b" in off.reason
    broken = with_file(settings, "gateway:large", "backends: 7")
    with pytest.raises(InvalidInput):
        embedded_model(broken)
    off = open_chat(broken)
    assert isinstance(off, ChatOff) and off.code == "gateway_invalid"
