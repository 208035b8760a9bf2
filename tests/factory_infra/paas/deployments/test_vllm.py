"""The blueprint of a language model behind vLLM: the cluster takes it, the gateway reads it, and no key is in it."""

import json

import pytest
from pydantic import JsonValue, TypeAdapter, ValidationError

from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.paas.deployments.vllm import VllmBlueprint, VllmOrder, blueprint
from factory_infra.saas.models.backends.spec import OpenAISpec
from tests.emulators.kubernetes.admission import admit
from tests.emulators.kubernetes.jobs import KIND
from tests.emulators.kubernetes.store import Store

POOL = KubernetesPool(name="cluster", storage_class="standard", tolerations=("nvidia.com/gpu",), node_selector={"gpu": "h100"})
Json = TypeAdapter(dict[str, JsonValue])


def drawn(**fields: object) -> VllmBlueprint:
    """A blueprint."""
    return blueprint(POOL, "vision", "chat", VllmOrder.model_validate({"model": "Qwen/Qwen2.5-7B-Instruct", "accelerators": 2, **fields}))


def container(made: VllmBlueprint) -> dict[str, JsonValue]:
    """vLLM's container."""
    [found] = [each for each in made.manifests if each["kind"] == "Deployment"]
    return dict(json.loads(json.dumps(found))["spec"]["template"]["spec"]["containers"][0])


def test_a_cluster_takes_every_object_of_it() -> None:
    store, kinds = Store(), {each.kind: each for each in KIND.values()}
    for manifest in drawn(gated=True).manifests:
        body = json.loads(json.dumps(manifest))
        admit(store, kinds[str(manifest["kind"])], "lineshaft-vision", body)
        if manifest["kind"] == "Deployment":
            spec = body["spec"]
            assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
            admit(store, kinds["Pod"], "lineshaft-vision", {"metadata": {"name": "x"}, "spec": spec["template"]["spec"]})
    assert [each["kind"] for each in drawn().manifests] == ["PersistentVolumeClaim", "Deployment", "Service"]


def test_the_words_of_vllm_say_what_was_asked_and_hold_no_key() -> None:
    made = container(drawn(context_tokens=8192, quantization="fp8", gated=True))
    words = made["args"]
    assert isinstance(words, list)
    for pair in (["--tensor-parallel-size", "2"], ["--max-model-len", "8192"], ["--quantization", "fp8"], ["--served-model-name", "chat"]):
        assert any(words[at : at + 2] == pair for at in range(len(words)))
    names = {str(each["name"]): each for each in json.loads(json.dumps(made["env"]))}
    assert "valueFrom" in names["VLLM_API_KEY"] and "valueFrom" in names["HF_TOKEN"] and "HF_TOKEN" not in json.dumps(container(drawn()))


def test_the_gateway_reads_its_entry() -> None:
    [(name, backend)] = Json.validate_python(drawn().gateway["backends"]).items()
    spec = OpenAISpec.model_validate({**Json.validate_python(backend), "name": name})
    assert spec.url == "http://vllm-chat.lineshaft-vision.svc:8000/v1"


@pytest.mark.parametrize("fields", [{"model": "a b"}, {"model": "--help"}, {"accelerators": 0}, {"memory_share": 1.0}, {"surprise": 1}])
def test_orders_that_cannot_be_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        drawn(**fields)
