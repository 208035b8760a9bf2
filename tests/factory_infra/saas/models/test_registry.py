"""Which provider a name in the settings opens."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.registry import PROVIDERS, chat_model
from factory_infra.settings import Settings


def test_none_is_no_model() -> None:
    assert chat_model(Settings(model="none")) is None


@pytest.mark.parametrize(
    ("model", "size"),
    [("embedded:qwen2.5-coder-0.5b", "small"), ("scripted:first-choice", "small"), ("openai:m", "large"), ("bedrock:a.b:0", "large")],
)
def test_each_provider_opens_under_its_name_without_connecting(model: str, size: str) -> None:
    opened = chat_model(Settings(model=model, model_base_url="http://127.0.0.1:9/v1"))
    assert opened is not None
    assert (opened.name, opened.size) == (model, size)
    assert model.partition(":")[0] in PROVIDERS


@pytest.mark.parametrize(("planner", "size"), [("playbook", "small"), ("free", "large")])
def test_the_planner_setting_decides_the_size(planner: str, size: str) -> None:
    opened = chat_model(Settings(model="scripted:first-choice", model_planner=planner))
    assert opened is not None
    assert opened.size == size


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (Settings(model="oracle:x"), "model_provider_unknown"),
        (Settings(model="embedded"), "model_provider_unknown"),
        (Settings(model="embedded:x", model_planner="wild"), "model_planner_unknown"),
        (Settings(model="openai:x"), "model_address_missing"),
    ],
)
def test_a_wrong_name_is_refused_with_a_remedy(settings: Settings, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        chat_model(settings)
    assert caught.value.error_code == code
    assert caught.value.remedy
