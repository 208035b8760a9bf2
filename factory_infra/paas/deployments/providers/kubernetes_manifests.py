"""What a server becomes in a cluster: a Deployment and a Service, or an InferenceService of KServe, with the model beside it."""

import base64
from dataclasses import dataclass

from factory_infra.foundation.pools.kubernetes import Manifest
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.names import digest, job_name, label_value, labels, namespace_of
from factory_infra.paas.deployments.providers.wire import Order
from factory_infra.paas.registry.models import ModelVersion

SERVER = "lineshaft.io/server"
ENDPOINT = "lineshaft.io/endpoint"
SERVER_ID = "lineshaft.io/server-id"
KSERVE = "serving.kserve.io"
RAW = {f"{KSERVE}/deploymentMode": "RawDeployment"}
PART_BYTES = 700 * 1024
"""A ConfigMap holds 1 MiB, and base64 takes a third more."""
SERVED_DIR, OPEN_DIR = "/lineshaft/served", "/lineshaft/open"
PORT_FIRST, PORTS = 20_000, 10_000
"""A port of its own for each server: on a node without network of its own two may stand side by side."""
GRACE_SECONDS = 30
USER = 1000
START = (
    'cd "$OPEN" && cat "$SERVED"/model.* > model.onnx && cat "$SERVED"/holdout.* > holdout.json && cp "$SERVED/serve.json" . '
    '&& cp "$SERVED/token" .token && exec python3 -P -m factory_infra.paas.deployments.providers.serve'
)


@dataclass(frozen=True)
class Served:
    """What one server answers with."""

    endpoint: str
    version: ModelVersion
    job_id: str
    token: str
    model: bytes
    holdout: bytes


class ServerManifests:
    """Builds everything of one server.

    Args:
        pool: where it runs.
        kserve: whether KServe looks after it.
    """

    def __init__(self, pool: KubernetesPool, served: Served, *, kserve: bool) -> None:
        self._pool, self._served, self._kserve = pool, served, kserve
        self.name = job_name(served.job_id)
        self.namespace = namespace_of(pool, served.version.tenant)
        self.port = port_of(self.name)
        self.core = f"/api/v1/namespaces/{self.namespace}"

    def head(self) -> Manifest:
        """The object that owns all others of the server."""
        made = self._object("apps/v1", "Deployment", self.name, spec=self._deployment())
        if self._kserve:
            made = self._object(f"{KSERVE}/v1beta1", "InferenceService", self.name, spec={"predictor": self._pod()})
        meta = dict(self._meta(self.name)) | {"annotations": {SERVER_ID: self._served.job_id} | (RAW if self._kserve else {})}
        return {**made, "metadata": meta}

    def parts(self, owner_uid: str) -> list[tuple[str, Manifest]]:
        """Collections and what goes into them; removed with the head."""
        version, kind = (f"{KSERVE}/v1beta1", "InferenceService") if self._kserve else ("apps/v1", "Deployment")
        owner = [{"apiVersion": version, "kind": kind, "name": self.name, "uid": owner_uid}]
        order = Order(
            model_path="model.onnx",
            holdout_path="holdout.json",
            model_name=self._served.version.model_name,
            version=self._served.version.version,
            host="0.0.0.0",  # noqa: S104 - in its own pod, behind its token
            port=self.port,
        )
        secret = {"serve.json": encoded(order.model_dump_json().encode()), "token": encoded(self._served.token.encode())}
        found: list[tuple[str, Manifest]] = [
            (f"{self.core}/secrets", self._object("v1", "Secret", f"{self.name}-order", owner, type="Opaque", data=secret)),
            *((f"{self.core}/configmaps", part) for part in self._files(owner)),
            (f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/networkpolicies", self._door(owner)),
        ]
        if not self._kserve:
            spec = {"selector": {SERVER: self.name}, "ports": [{"name": "http", "port": self.port, "targetPort": self.port}]}
            found.append((f"{self.core}/services", self._object("v1", "Service", self.name, owner, spec=spec)))
        return found

    def _files(self, owner: list[dict[str, str]]) -> list[Manifest]:
        return [
            self._object("v1", "ConfigMap", name, owner, binaryData={file: encoded(data)}, immutable=True)
            for name, file, data in self._pieces()
        ]

    def _pieces(self) -> list[tuple[str, str, bytes]]:
        """ConfigMap, file, and its bytes: in order when sorted by name."""
        found = []
        for stem, data in (("model", self._served.model), ("holdout", self._served.holdout)):
            for number, begin in enumerate(range(0, len(data), PART_BYTES)):
                found.append((f"{self.name}-{stem}-{number:03d}", f"{stem}.{number:03d}", data[begin : begin + PART_BYTES]))
        return found

    def _deployment(self) -> dict[str, object]:
        return {
            "replicas": 1,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": {SERVER: self.name}},
            "template": {"metadata": {"labels": self._labels()}, "spec": self._pod()},
        }

    def _pod(self) -> dict[str, object]:
        sources: list[dict[str, object]] = [{"secret": {"name": f"{self.name}-order"}}]
        sources += [{"configMap": {"name": name}} for name, _, _ in self._pieces()]
        security: dict[str, object] = {"seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": USER}
        body: dict[str, object] = {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": security | ({"runAsNonRoot": True, "runAsUser": USER} if self._pool.pod_security == "restricted" else {}),
            "volumes": [{"name": "served", "projected": {"sources": sources}}, {"name": "open", "emptyDir": {"sizeLimit": "256Mi"}}],
            "containers": [self._container()],
        }
        if self._pool.node_selector:
            body["nodeSelector"] = dict(self._pool.node_selector)
        if self._pool.tolerations:
            body["tolerations"] = [{"key": key, "operator": "Exists"} for key in self._pool.tolerations]
        return body

    def _container(self) -> dict[str, object]:
        return {
            "name": "kserve-container" if self._kserve else "server",
            "image": self._pool.image,
            # The cluster expands variables in words by itself: a doubled dollar sign is one, and only a shell sees it.
            "command": ["/bin/sh", "-c", START.replace("$", "$$")],
            "env": [{"name": "SERVED", "value": SERVED_DIR}, {"name": "OPEN", "value": OPEN_DIR}, {"name": "HOME", "value": OPEN_DIR}],
            "ports": [{"containerPort": self.port, "protocol": "TCP"}],
            "volumeMounts": [{"name": "served", "mountPath": SERVED_DIR, "readOnly": True}, {"name": "open", "mountPath": OPEN_DIR}],
            "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
            "readinessProbe": {"tcpSocket": {"port": self.port}, "periodSeconds": 2},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }

    def _door(self, owner: list[dict[str, str]]) -> Manifest:
        """The team's namespace is closed; the server's port is open to who proxies to it, and asks for its token."""
        spec = {
            "podSelector": {"matchLabels": {SERVER: self.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"ports": [{"protocol": "TCP", "port": self.port}]}],
        }
        return self._object("networking.k8s.io/v1", "NetworkPolicy", self.name, owner, spec=spec)

    def _labels(self) -> dict[str, str]:
        mine = {SERVER: self.name, ENDPOINT: endpoint_label(self._served.endpoint)}
        return labels(self._pool, self._served.version.tenant) | mine

    def _meta(self, name: str) -> dict[str, object]:
        return {"name": name, "namespace": self.namespace, "labels": self._labels()}

    def _object(self, version: str, kind: str, name: str, owner: list[dict[str, str]] | None = None, **fields: object) -> dict[str, object]:
        meta = self._meta(name) | ({"ownerReferences": owner} if owner else {})
        return {"apiVersion": version, "kind": kind, "metadata": meta} | fields


def endpoint_label(endpoint: str) -> str:
    """An endpoint's name as a label's value."""
    return label_value(endpoint)


def port_of(name: str) -> int:
    """A server's port, from its name."""
    return PORT_FIRST + int(digest(name), 16) % PORTS


def encoded(data: bytes) -> str:
    """Bytes as the API takes them."""
    return base64.b64encode(data).decode()
