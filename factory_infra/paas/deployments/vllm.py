"""The blueprint of a language model behind vLLM in a Kubernetes cluster: manifests, the commands around them, and the gateway's entry."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.names import label_value, labels, namespace_of, slug

PORT = 8000
START_SECONDS_MAX = 3600
PROBE_SECONDS = 10
CACHE_DIR = "/cache"
MODEL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$"
JsonObject = dict[str, JsonValue]


class VllmOrder(BaseModel):
    """Which model, on what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(pattern=MODEL_PATTERN, description="A model of the Hugging Face hub, such as Qwen/Qwen2.5-7B-Instruct, or a folder.")
    pool: str = Field(default="", max_length=40, description="A Kubernetes cluster; the default pool if left out.")
    image: str = Field(default="vllm/vllm-openai:v0.11.0", max_length=255)
    accelerators: int = Field(default=1, ge=1, le=16, description="GPUs of one replica: the model is cut over them.")
    replicas: int = Field(default=1, ge=1, le=64)
    context_tokens: int | None = Field(default=None, ge=256, le=10_000_000, description="What the model has where left out.")
    dtype: Literal["auto", "bfloat16", "float16"] = "auto"
    quantization: Literal["awq", "gptq", "fp8"] | None = None
    memory_share: float = Field(default=0.9, gt=0.1, le=0.98, description="Of a GPU's memory that vLLM may take.")
    memory_gib: int = Field(default=32, ge=4, le=4096, description="Of the host's memory.")
    gated: bool = Field(default=False, description="The hub asks for a token before it gives the weights out.")


class VllmBlueprint(BaseModel):
    """What would be made, and what to do with it. Nothing is."""

    namespace: str
    manifests: list[JsonObject]
    commands: list[str]
    """In this order; keys come from files that only you can read."""
    gateway: JsonObject
    """Of the gateway's file: a backend, and a virtual model that leads to it."""


def blueprint(pool: KubernetesPool, tenant: str, name: str, order: VllmOrder) -> VllmBlueprint:
    """Draw the blueprint of a team's endpoint. The cluster needs NVIDIA's device plug-in, or what the pool calls a slot."""
    namespace, called = namespace_of(pool, tenant), f"vllm-{slug(name, 40)}"
    address = f"http://{called}.{namespace}.svc:{PORT}/v1"
    target: JsonObject = {"backend": called, "model": name}
    secrets = [f"kubectl -n {namespace} create secret generic {called}-key --from-file=api-key=vllm.key"]
    if order.gated:
        secrets.append(f"kubectl -n {namespace} create secret generic {called}-hub --from-file=token=hub.token")
    return VllmBlueprint(
        namespace=namespace,
        manifests=[
            each for each in (claim(pool, tenant, called), deployment(pool, tenant, name, order), service(pool, tenant, called)) if each
        ],
        commands=[
            *secrets,
            f"kubectl -n {namespace} apply -f {called}.json",
            f"kubectl -n {namespace} rollout status deployment/{called} --timeout={START_SECONDS_MAX}s",
        ],
        gateway={
            "backends": {called: {"kind": "openai", "url": address, "key_file": "vllm.key", "usage_in_stream": True}},
            "models": {name: {"route": [target]}},
        },
    )


def deployment(pool: KubernetesPool, tenant: str, name: str, order: VllmOrder) -> JsonObject:
    """The servers: a new one is up before an old one goes."""
    called = f"vllm-{slug(name, 40)}"
    marks = marks_of(pool, tenant, called)
    pod: JsonObject = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 120,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "cache", **cache(pool, called)}, {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}],
        "containers": [container(pool, name, order)],
        **({"nodeSelector": {**pool.node_selector}} if pool.node_selector else {}),
        **({"tolerations": [{"key": key, "operator": "Exists"} for key in pool.tolerations]} if pool.tolerations else {}),
        **({"runtimeClassName": pool.runtime_class} if pool.runtime_class else {}),
    }
    spec: JsonObject = {
        "replicas": order.replicas,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "progressDeadlineSeconds": START_SECONDS_MAX,
        "selector": {"matchLabels": {"app.kubernetes.io/name": called}},
        "template": {"metadata": {"labels": {**marks}}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(pool, tenant, called), "spec": spec}


def container(pool: KubernetesPool, name: str, order: VllmOrder) -> JsonObject:
    """vLLM's own server."""
    called = f"vllm-{slug(name, 40)}"
    resource = pool.resource if pool.resource not in ("", "cpu") else "nvidia.com/gpu"
    key: JsonObject = {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": {"name": f"{called}-key", "key": "api-key"}}}
    hub: JsonObject = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": f"{called}-hub", "key": "token"}}}
    probe: JsonObject = {"httpGet": {"path": "/health", "port": PORT}, "periodSeconds": PROBE_SECONDS}
    return {
        "name": "vllm",
        "image": order.image,
        "args": [*arguments(name, order)],
        "env": [{"name": "HF_HOME", "value": CACHE_DIR}, key, *([hub] if order.gated else [])],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "volumeMounts": [{"name": "cache", "mountPath": CACHE_DIR}, {"name": "shm", "mountPath": "/dev/shm"}],  # noqa: S108 - the pod's own
        "resources": {
            "requests": {"cpu": "4", "memory": f"{order.memory_gib}Gi", resource: str(order.accelerators)},
            "limits": {"memory": f"{order.memory_gib}Gi", resource: str(order.accelerators)},
        },
        # Weights are fetched and loaded before it answers at all; only then is silence a failure.
        "startupProbe": {**probe, "failureThreshold": math.ceil(START_SECONDS_MAX / PROBE_SECONDS)},
        "readinessProbe": {**probe, "failureThreshold": 3},
        "livenessProbe": {**probe, "failureThreshold": 6},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def arguments(name: str, order: VllmOrder) -> list[str]:
    """vLLM's words. The key is no argument: those are seen by everybody on the node."""
    words = ["--model", order.model, "--served-model-name", name, "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104 - in its own pod
    words += [
        "--tensor-parallel-size",
        str(order.accelerators),
        "--dtype",
        order.dtype,
        "--gpu-memory-utilization",
        f"{order.memory_share:g}",
    ]
    words += ["--max-model-len", str(order.context_tokens)] if order.context_tokens is not None else []
    return words + (["--quantization", order.quantization] if order.quantization is not None else [])


def service(pool: KubernetesPool, tenant: str, called: str) -> JsonObject:
    """The name under which the gateway finds it."""
    ports: list[JsonValue] = [{"name": "http", "port": PORT, "targetPort": PORT}]
    spec: JsonObject = {"selector": {"app.kubernetes.io/name": called}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(pool, tenant, called), "spec": spec}


def claim(pool: KubernetesPool, tenant: str, called: str) -> JsonObject:
    """Where weights stay between starts; nothing where the pool has no storage class."""
    if not pool.storage_class:
        return {}
    spec: JsonObject = {
        "accessModes": [pool.storage_access],
        "storageClassName": pool.storage_class,
        "resources": {"requests": {"storage": f"{pool.storage_gib}Gi"}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta(pool, tenant, called), "spec": spec}


def cache(pool: KubernetesPool, called: str) -> JsonObject:
    """The volume for weights."""
    return {"persistentVolumeClaim": {"claimName": called}} if pool.storage_class else {"emptyDir": {}}


def marks_of(pool: KubernetesPool, tenant: str, called: str) -> dict[str, str]:
    """Labels of what is the endpoint's."""
    return labels(pool, tenant) | {"app.kubernetes.io/name": label_value(called)}


def meta(pool: KubernetesPool, tenant: str, called: str) -> JsonObject:
    """Name, namespace and labels."""
    return {"name": called, "namespace": namespace_of(pool, tenant), "labels": {**marks_of(pool, tenant, called)}}
