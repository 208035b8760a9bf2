"""The gateway's file: strict, and its errors say where."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.models.backends.openai import OpenAIBackend
from factory_infra.saas.models.routing.config import Setup
from factory_infra.saas.models.routing.targets import Targets
from factory_infra.settings import Settings

EXAMPLE = Path(__file__).parents[5] / "docs" / "examples" / "gateway.yaml"
GOOD = """
backends: {house: {kind: embedded}}
models:
  fast: {route: [{backend: house, model: m}]}
"""


def refused(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        Setup.parse(text, "gateway.yaml")
    assert caught.value.error_code == "gateway_invalid"
    assert "gateway.yaml" in caught.value.reason
    return caught.value.reason


class TestFile:
    def test_the_example_is_good(self, settings: Settings) -> None:
        setup = Setup.read(EXAMPLE)
        assert {spec.kind for spec in setup.backends.values()} >= {"embedded", "openai", "bedrock"}
        secrets = settings.secrets_dir
        secrets.mkdir(parents=True)
        for name in ("vllm.key", "provider.key"):
            (secrets / name).write_text("secret\n")
        targets = Targets.build(setup, settings, PriceBook.load(), lambda: 0.0)
        assert set(targets.models) == set(setup.models)

    def test_the_documents_example_is_good(self) -> None:
        told = (EXAMPLE.parents[1] / "gateway.md").read_text()
        assert set(Setup.parse(told.split("```yaml\n")[1].split("```")[0], "gateway.md").models) == {"fast"}

    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("[]", "a mapping"),
            ("a: {", "not YAML"),
            (GOOD + "more: 1", "at more"),
            (GOOD.replace("kind: embedded", "kind: magic"), "at backends.house"),
            (GOOD.replace("kind: embedded", "kind: embedded, url: x"), "at backends.house.embedded.url"),
            (GOOD.replace("backend: house", "backend: mill"), "models.fast.route.0.backend: there is no backend 'mill'"),
            (GOOD.replace("model: m}", "model: m, weight: 0}"), "at models.fast.route.0.weight"),
            (GOOD.replace("model: m}", "model: m, weight: '3'}"), "at models.fast.route.0.weight"),
            (GOOD.replace("[{backend: house, model: m}]", "[]"), "at models.fast.route"),
            (GOOD.replace("[{backend: house, model: m}]", "[{backend: house, model: m}, {backend: house, model: m}]"), "twice"),
            (GOOD.replace("m}]}", "m}], choose: best}"), "at models.fast.choose"),
            (GOOD.replace("m}]}", "m}], retries: {attempts_max: 0}}"), "at models.fast.retries.attempts_max"),
            (GOOD.replace("m}]}", "m}], cache_seconds: -1}"), "at models.fast.cache_seconds"),
            (GOOD.replace("m}]}", "m}], deadline_seconds: .nan}"), "at models.fast.deadline_seconds"),
            (GOOD.replace("fast:", "'fast ':"), "at models.fast"),
            (GOOD + "  fast: {route: [{backend: house, model: n}]}", "given twice"),
        ],
    )
    def test_an_error_names_the_field(self, text: str, place: str) -> None:
        assert place in refused(text)

    def test_the_file_that_is_set_counts_whether_it_is_there_or_not(self, settings: Settings, tmp_path: Path) -> None:
        settings.home.mkdir(parents=True)
        (settings.home / "gateway.yaml").write_text(GOOD)
        assert set(Setup.load(settings).models) == {"fast"}
        with pytest.raises(InvalidInput, match=r"nowhere\.yaml"):
            Setup.load(settings.model_copy(update={"gateway": tmp_path / "nowhere.yaml"}))

    def test_other_targets_are_another_version(self) -> None:
        versions = {
            Setup.parse(text, "").version_of("fast")
            for text in (GOOD, GOOD.replace("model: m", "model: n"), GOOD.replace("kind: embedded", "kind: embedded, deadline_seconds: 9"))
        }
        assert len(versions) == 3

    def test_attempts_are_as_many_as_targets_and_at_least_two(self) -> None:
        three = "[{backend: house, model: a}, {backend: house, model: b}, {backend: house, model: c}]"
        assert Setup.parse(GOOD, "").models["fast"].attempts_max == 2
        assert Setup.parse(GOOD.replace("[{backend: house, model: m}]", three), "").models["fast"].attempts_max == 3


class TestDefault:
    @pytest.mark.parametrize(
        ("model", "backend", "kind"),
        [
            ("embedded:qwen2.5-coder-0.5b", "house", "embedded"),
            ("openai:gpt", "openai", "openai"),
            ("bedrock:amazon.nova-lite-v1:0", "bedrock", "bedrock"),
            ("scripted:first-choice", "scripted", "scripted"),
        ],
    )
    def test_the_settings_model_answers_to_its_name_and_as_default(self, settings: Settings, model: str, backend: str, kind: str) -> None:
        here = settings.model_copy(update={"model": model, "model_base_url": "http://127.0.0.1:9/v1"})
        setup = Setup.load(here)
        name = "scripted" if kind == "scripted" else model.partition(":")[2]
        assert set(setup.models) == {name, "default", "all-minilm-l6-v2"}
        assert setup.models["default"].route[0].backend == backend
        assert setup.backends[backend].kind == kind
        assert setup.backends[backend].title == backend

    @pytest.mark.parametrize("model", ["none", "obedient:x"])
    def test_without_a_model_for_the_gateway_there_are_embeddings(self, settings: Settings, model: str) -> None:
        assert set(Setup.load(settings.model_copy(update={"model": model})).models) == {"all-minilm-l6-v2"}

    def test_a_scripted_model_is_priced_and_shown_as_one(self, settings: Settings) -> None:
        setup = Setup.load(settings.model_copy(update={"model": "scripted:first-choice"}))
        assert {each.route[0].subject for name, each in setup.models.items() if name != "all-minilm-l6-v2"} == {"scripted"}

    def test_a_model_without_an_address_is_refused(self, settings: Settings) -> None:
        with pytest.raises(InvalidInput) as caught:
            Setup.load(settings.model_copy(update={"model": "openai:x"}))
        assert caught.value.error_code == "model_address_missing"

    async def test_the_settings_key_goes_to_the_default_backend_only(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        keys: list[SecretStr | None] = []
        monkeypatch.setattr(OpenAIBackend, "__init__", lambda self, spec, settings, secret: keys.append(secret))
        monkeypatch.setattr(OpenAIBackend, "abilities", lambda *_: __import__("types").SimpleNamespace(can=frozenset()))
        here = settings.model_copy(update={"model": "openai:x", "model_base_url": "http://127.0.0.1:9/v1", "model_key": SecretStr("own")})
        Targets.build(Setup.load(here), here, PriceBook.load(), lambda: 0.0)
        settings.home.mkdir(parents=True)
        text = "backends: {o: {kind: openai, url: 'http://127.0.0.1:9/v1'}}\nmodels: {x: {route: [{backend: o, model: x}]}}"
        (settings.home / "gateway.yaml").write_text(text)
        Targets.build(Setup.load(here), here, PriceBook.load(), lambda: 0.0)
        assert [key and key.get_secret_value() for key in keys] == ["own", None]
