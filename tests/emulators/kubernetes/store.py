"""What the cluster knows: objects with versions, their history for watches, and refusals in the shape of the API."""

import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson

Obj = dict[str, Any]
HISTORY_MAX = 5000
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True)
class Resource:
    """One kind of object of the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As an object says it."""
        return f"{self.group}/{self.version}" if self.group else self.version


RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", namespaced=False),
    Resource("", "v1", "nodes", "Node", namespaced=False),
    Resource("", "v1", "pods", "Pod"),
    Resource("", "v1", "services", "Service"),
    Resource("", "v1", "endpoints", "Endpoints"),
    Resource("", "v1", "events", "Event"),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
    Resource("", "v1", "resourcequotas", "ResourceQuota"),
    Resource("", "v1", "limitranges", "LimitRange"),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("apps", "v1", "deployments", "Deployment"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
)
OPTIONAL = (
    Resource("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet"),
    Resource("kueue.x-k8s.io", "v1beta1", "localqueues", "LocalQueue"),
    Resource("kueue.x-k8s.io", "v1beta1", "workloads", "Workload"),
    Resource("ray.io", "v1", "rayjobs", "RayJob"),
    Resource("serving.kserve.io", "v1beta1", "inferenceservices", "InferenceService"),
)


class Refusal(Exception):
    """A `Status` that says no."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> Obj:
        """As the API says it."""
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return body | {"message": self.message, "reason": self.reason, "code": self.code}


def clone(body: Obj) -> Obj:
    """A copy that shares nothing: objects are JSON, and this is many times quicker than a walk over them."""
    return cast("Obj", orjson.loads(orjson.dumps(body)))


def now() -> str:
    """The present second, as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


Key = tuple[str, str, str]
"""Plural, namespace, name."""


class Store:
    """Objects by kind, namespace and name. Whoever wants to hear of changes gives a function."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {}
        self._version = 100
        self.history: deque[tuple[int, str, str, Obj]] = deque(maxlen=HISTORY_MAX)
        self.oldest = 0
        self.listeners: list[Callable[[], None]] = []

    @property
    def version(self) -> str:
        """The newest version of anything."""
        return str(self._version)

    def create(self, resource: Resource, namespace: str, body: Obj) -> Obj:
        """Keep a new object. Raises Refusal 409."""
        meta = body.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + uuid.uuid4().hex[:5]
        key = (resource.plural, namespace, meta["name"])
        if key[1:] in self._objects.get(key[0], {}):
            raise Refusal(409, "AlreadyExists", f'{resource.plural} "{meta["name"]}" already exists')
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if namespace:
            meta["namespace"] = namespace
        body |= {"apiVersion": resource.api_version, "kind": resource.kind}
        return self._keep(key, body, "ADDED")

    def update(self, plural: str, body: Obj, *, expect: str = "") -> Obj:
        """Put an object in its own place. Raises Refusal 404 or 409."""
        key = key_of(plural, body)
        old = self._objects.get(plural, {}).get(key[1:])
        if old is None:
            raise Refusal(404, "NotFound", f'{plural} "{key[2]}" not found')
        if expect and expect != old["metadata"]["resourceVersion"]:
            raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{key[2]}": the object has been modified')
        if same(old, body):
            return clone(old)
        kept = self._keep(key, body, "MODIFIED")
        meta = kept["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers") and not (plural == "pods" and running(kept)):
            self.remove(plural, kept)
        return kept

    def get(self, plural: str, namespace: str, name: str) -> Obj | None:
        """A copy of one object."""
        found = self._objects.get(plural, {}).get((namespace, name))
        return clone(found) if found else None

    def read(self, plural: str, namespace: str, name: str) -> Obj:
        """The same. Raises Refusal 404."""
        found = self.get(plural, namespace, name)
        if found is None:
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        return found

    def all(self, plural: str, namespace: str = "") -> Iterator[Obj]:
        """Copies of all objects of a kind, the oldest first."""
        yield from map(clone, self.peek(plural, namespace))

    def peek(self, plural: str, namespace: str = "") -> Iterator[Obj]:
        """The objects themselves, to be read only."""
        for (space, _), body in list(self._objects.get(plural, {}).items()):
            if namespace in {"", space}:
                yield body

    def everything(self) -> list[tuple[str, Obj]]:
        """Every object with its plural; not copies, to be read only."""
        return [(plural, body) for plural, kept in self._objects.items() for body in kept.values()]

    def remove(self, plural: str, body: Obj) -> None:
        """Forget an object."""
        key = key_of(plural, body)
        gone = self._objects.get(plural, {}).pop(key[1:], None)
        if gone is not None:
            self._version += 1
            gone["metadata"]["resourceVersion"] = str(self._version)
            self._note(self._version, "DELETED", plural, gone)

    def delete(self, plural: str, body: Obj, *, foreground: bool = False, grace_seconds: int | None = None) -> None:
        """Begin an object's end: pods are ended by their kubelet, owners in the foreground by the collector, the rest is gone at once."""
        meta = body["metadata"]
        if foreground:
            meta["finalizers"] = sorted({*meta.get("finalizers", []), FOREGROUND})
        if plural == "pods":
            grace = grace_seconds if grace_seconds is not None else body["spec"].get("terminationGracePeriodSeconds", 30)
            meta["deletionGracePeriodSeconds"] = min(grace, meta.get("deletionGracePeriodSeconds", grace))
        if foreground or meta.get("finalizers") or (plural == "pods" and running(body)):
            meta.setdefault("deletionTimestamp", now())
            self.update(plural, body)
        else:
            self.remove(plural, body)

    def _keep(self, key: Key, body: Obj, event: str) -> Obj:
        self._version += 1
        body["metadata"]["resourceVersion"] = str(self._version)
        self._objects.setdefault(key[0], {})[key[1:]] = clone(body)
        self._note(self._version, event, key[0], body)
        return clone(body)

    def _note(self, version: int, event: str, plural: str, body: Obj) -> None:
        if len(self.history) == HISTORY_MAX:
            self.oldest = self.history[0][0]
        self.history.append((version, event, plural, clone(body)))
        for listener in self.listeners:
            listener()


def key_of(plural: str, body: Obj) -> Key:
    """Where an object lies."""
    return plural, body["metadata"].get("namespace", ""), body["metadata"]["name"]


def same(left: Obj, right: Obj) -> bool:
    """Whether nothing but the version differs."""

    def bare(body: Obj) -> Obj:
        return body | {"metadata": {name: value for name, value in body["metadata"].items() if name != "resourceVersion"}}

    return bare(left) == bare(right)


def running(pod: Obj) -> bool:
    """Whether a kubelet still has to end it."""
    return bool(pod["spec"].get("nodeName")) and pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}


def merged(target: Any, change: Any) -> Any:
    """Merge a change into a value, as RFC 7386 says."""
    if not isinstance(change, dict):
        return change
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def condition(body: Obj, kind: str, status: str, reason: str = "", message: str = "") -> None:
    """Set a condition of an object's status."""
    conditions = body.setdefault("status", {}).setdefault("conditions", [])
    kept = [each for each in conditions if each["type"] != kind]
    old: Obj = next((each for each in conditions if each["type"] == kind), {})
    moved = old.get("status") != status or old.get("reason") != reason
    at = now() if moved else old.get("lastTransitionTime", now())
    body["status"]["conditions"] = [
        *kept,
        {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at},
    ]


def has_condition(body: Obj, kind: str) -> bool:
    """Whether a condition is true."""
    return any(each["type"] == kind and each["status"] == "True" for each in body.get("status", {}).get("conditions", []))


def selects(selector: str, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels: `a=b`, `a==b`, `a!=b`, `a`, `!a`, `a in (b,c)`."""
    parts: list[str] = []
    depth, word = 0, ""
    for letter in selector:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts, word = [*parts, word], ""
        else:
            word += letter
    return all(_selects_one(part.strip(), labels) for part in [*parts, word] if part.strip())


def _selects_one(term: str, labels: dict[str, str]) -> bool:
    if " in " in term:
        name, _, values = term.partition(" in ")
        return labels.get(name.strip()) in {value.strip() for value in values.strip(" ()").split(",")}
    if "!=" in term:
        name, _, value = term.partition("!=")
        return labels.get(name.strip()) != value.strip()
    if "=" in term:
        name, _, value = term.replace("==", "=").partition("=")
        return labels.get(name.strip()) == value.strip()
    return (term[1:] not in labels) if term.startswith("!") else term in labels


def quantity(text: str | int | float) -> float:
    """Read an amount of the API: `500m`, `4Gi`, `2`."""
    if isinstance(text, int | float):
        return float(text)
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
    for unit in sorted(units, key=len, reverse=True):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * units[unit]
    return float(text)
