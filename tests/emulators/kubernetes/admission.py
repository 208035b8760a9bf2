"""What the cluster does not let in: names that are none, pods against the namespace's Pod Security level, and what is over a quota."""

import re
from typing import Any

from tests.emulators.kubernetes.store import Obj, Refusal, Resource, Store, quantity

SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
DATA_BYTES_MAX = 1024 * 1024
LEVEL = "pod-security.kubernetes.io/enforce"
BASELINE_VOLUMES_BAD = {"hostPath"}
RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def admit(store: Store, resource: Resource, namespace: str, body: Obj) -> None:
    """Raise Refusal for what may not be made."""
    check_meta(resource, body)
    if resource.plural in {"configmaps", "secrets"}:
        check_size(body)
    if resource.plural == "pods":
        check_pod(body)
        check_security(store, namespace, body)
    if resource.plural == "jobs":
        check_job(body)
    if namespace:
        check_quota(store, resource, namespace, body)


def check_meta(resource: Resource, body: Obj) -> None:
    """Names and label values as the API takes them."""
    meta = body["metadata"]
    name = meta.get("name") or meta.get("generateName", "") + "x"
    strict = resource.plural in {"namespaces", "services", "jobs"}
    if not (LABEL if strict else SUBDOMAIN).fullmatch(name) or len(name) > 253:
        raise Refusal(422, "Invalid", f'{resource.kind} "{name}" is invalid: metadata.name: Invalid value')
    for key, value in (meta.get("labels") or {}).items():
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value):
            raise Refusal(422, "Invalid", f'{resource.kind} "{name}" is invalid: metadata.labels: Invalid value: "{value}" of {key}')


def check_size(body: Obj) -> None:
    """A ConfigMap or Secret holds 1 MiB."""
    size = sum(len(value) for part in ("data", "binaryData", "stringData") for value in (body.get(part) or {}).values())
    if size > DATA_BYTES_MAX:
        raise Refusal(422, "Invalid", f"{body['metadata']['name']} is invalid: data: Too long: may not be more than {DATA_BYTES_MAX} bytes")


def containers(pod: Obj) -> list[Obj]:
    """All of a pod's containers."""
    return [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]


def check_pod(pod: Obj) -> None:
    """What a pod must say."""
    name = pod["metadata"].get("name", "")
    if not pod["spec"].get("containers"):
        raise Refusal(422, "Invalid", f'Pod "{name}" is invalid: spec.containers: Required value')
    volumes = {volume["name"] for volume in pod["spec"].get("volumes") or []}
    for each in containers(pod):
        for mount in each.get("volumeMounts") or []:
            if mount["name"] not in volumes:
                raise Refusal(422, "Invalid", f'Pod "{name}" is invalid: volumeMounts: Not found: "{mount["name"]}"')


def check_job(job: Obj) -> None:
    """What a Job must say."""
    spec, name = job["spec"], job["metadata"].get("name", "")
    if spec["template"]["spec"].get("restartPolicy") not in {"Never", "OnFailure"}:
        raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: spec.template.spec.restartPolicy: Unsupported value')
    if spec.get("podFailurePolicy") and spec["template"]["spec"]["restartPolicy"] != "Never":
        raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: podFailurePolicy needs restartPolicy Never')
    if spec.get("backoffLimitPerIndex") is not None and spec.get("completionMode") != "Indexed":
        raise Refusal(422, "Invalid", f'Job.batch "{name}" is invalid: backoffLimitPerIndex needs completionMode Indexed')


def check_security(store: Store, namespace: str, pod: Obj) -> None:
    """The Pod Security admission of the namespace, the obvious part of it."""
    space = store.get("namespaces", "", namespace) or {"metadata": {}}
    level = (space["metadata"].get("labels") or {}).get(LEVEL, "privileged")
    if level == "privileged":
        return
    found = baseline(pod) + (restricted(pod) if level == "restricted" else [])
    if found:
        name = pod["metadata"].get("name") or pod["metadata"].get("generateName", "")
        raise Refusal(403, "Forbidden", f'pods "{name}" is forbidden: violates PodSecurity "{level}:latest": {", ".join(found)}')


def baseline(pod: Obj) -> list[str]:
    """What the level `baseline` does not take."""
    spec = pod["spec"]
    found = [f"host namespaces ({key}=true)" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes") or []:
        found += [f'hostPath volumes (volume "{volume["name"]}")' for kind in volume if kind in BASELINE_VOLUMES_BAD]
    for each in containers(pod):
        security = each.get("securityContext") or {}
        if security.get("privileged"):
            found.append(f'privileged (container "{each["name"]}" must not set securityContext.privileged=true)')
        if set((security.get("capabilities") or {}).get("add") or []) - {"NET_BIND_SERVICE", "CHOWN", "KILL", "SETUID", "SETGID"}:
            found.append(f'non-default capabilities (container "{each["name"]}")')
        if any(port.get("hostPort") for port in each.get("ports") or []):
            found.append(f'hostPort (container "{each["name"]}")')
    return found


def restricted(pod: Obj) -> list[str]:
    """What the level `restricted` does not take on top of that."""
    shared = pod["spec"].get("securityContext") or {}
    kinds = {kind for volume in pod["spec"].get("volumes") or [] for kind in volume if kind != "name"}
    found = ["restricted volume types"] if kinds - RESTRICTED_VOLUMES else []
    for each in containers(pod):
        own: Obj = shared | (each.get("securityContext") or {})
        wants: dict[str, Any] = {
            "allowPrivilegeEscalation != false": own.get("allowPrivilegeEscalation") is not False,
            "unrestricted capabilities": "ALL" not in ((own.get("capabilities") or {}).get("drop") or []),
            "runAsNonRoot != true": own.get("runAsNonRoot") is not True,
            "seccompProfile": (own.get("seccompProfile") or {}).get("type") not in {"RuntimeDefault", "Localhost"},
        }
        found += [f'{what} (container "{each["name"]}")' for what, bad in wants.items() if bad]
    return found


def needs(pod: Obj, part: str = "requests") -> dict[str, float]:
    """What a pod asks for: its containers and sidecars together, or its largest init container where that is more."""
    total: dict[str, float] = {}
    init: dict[str, float] = {}
    for each in pod["spec"].get("initContainers") or []:
        keep = total if each.get("restartPolicy") == "Always" else init
        for name, amount in asked(each, part).items():
            keep[name] = total.get(name, 0.0) + amount if keep is total else max(init.get(name, 0.0), amount)
    for each in pod["spec"]["containers"]:
        for name, amount in asked(each, part).items():
            total[name] = total.get(name, 0.0) + amount
    return {name: max(total.get(name, 0.0), init.get(name, 0.0)) for name in {*total, *init}}


def asked(container: Obj, part: str) -> dict[str, float]:
    """What one container asks for; requests that are missing are its limits."""
    resources = container.get("resources") or {}
    amounts = (resources.get("limits") or {}) | (resources.get("requests") or {}) if part == "requests" else resources.get("limits") or {}
    return {name: quantity(value) for name, value in amounts.items()}


def usage(resource: Resource, body: Obj) -> dict[str, float]:
    """What an object uses of a quota."""
    if resource.plural == "jobs":
        return {"count/jobs.batch": 1.0}
    if resource.plural != "pods":
        return {resource.plural: 1.0, f"count/{resource.plural}": 1.0}
    if (body.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return {"count/pods": 1.0}
    used = {"pods": 1.0, "count/pods": 1.0}
    for part in ("requests", "limits"):
        for name, amount in needs(body, part).items():
            used[f"{part}.{name}"] = amount
            if part == "requests":
                used[name] = amount
    return used


def check_quota(store: Store, resource: Resource, namespace: str, body: Obj) -> None:
    """Raise Refusal 403 for what goes over a quota of the namespace."""
    wanted = usage(resource, body)
    for quota in store.peek("resourcequotas", namespace):
        hard = {name: quantity(value) for name, value in quota["spec"]["hard"].items()}
        name = body["metadata"].get("name") or body["metadata"].get("generateName", "")
        if resource.plural == "pods":
            missing = sorted(
                key for key in hard if key in {"requests.cpu", "requests.memory", "limits.cpu", "limits.memory"} and key not in wanted
            )
            if missing:
                raise Refusal(
                    403, "Forbidden", f'pods "{name}" is forbidden: failed quota: {quota["metadata"]["name"]}: must specify {missing}'
                )
        used = in_use(store, resource, namespace)
        over = sorted(key for key in hard if key in wanted and used.get(key, 0.0) + wanted[key] > hard[key])
        if over:
            said = "; ".join(
                f"requested: {key}={wanted[key]:g}, used: {key}={used.get(key, 0.0):g}, limited: {key}={hard[key]:g}" for key in over
            )
            raise Refusal(403, "Forbidden", f'{resource.plural} "{name}" is forbidden: exceeded quota: {quota["metadata"]["name"]}, {said}')


def in_use(store: Store, resource: Resource, namespace: str) -> dict[str, float]:
    """What objects of a kind use in a namespace now."""
    total: dict[str, float] = {}
    for each in store.peek(resource.plural, namespace):
        for name, amount in usage(resource, each).items():
            total[name] = total.get(name, 0.0) + amount
    return total
