"""What a team gets in a cluster: a namespace with its Pod Security level, a quota, network walls, and rights in it alone."""

from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.models import Part
from factory_infra.iaas.kubernetes.names import labels, namespace_of

ACCOUNT = "lineshaft-tenant"
QUOTA = "lineshaft"
CLAIM = "lineshaft-checkpoints"
SECURITY = "pod-security.kubernetes.io/"
PODS_MAX = "2000"
TENANT_RULES = (
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "create", "delete"]},
    {"apiGroups": [""], "resources": ["pods/log", "events", "configmaps"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "delete"]},
)
"""What a team's own account may do: in its namespace, with its own pods and jobs. No Secret, no exec, no role."""


def parts_of(pool: KubernetesPool, tenant: str, api_addresses: tuple[str, ...] = ()) -> list[Part]:
    """Return every object of a team's namespace, in the order in which they are made.

    Args:
        api_addresses: the API server's, which jobs may reach although their network is closed; any address on its ports if none is known.
    """
    space = namespace_of(pool, tenant)
    root = f"/api/v1/namespaces/{space}"
    parts = [
        namespace(pool, tenant),
        Part(
            "quota",
            f"{root}/resourcequotas",
            _object("v1", "ResourceQuota", QUOTA, pool, tenant, spec={"hard": quota(pool)}),
            ("spec.hard",),
        ),
        *network(pool, tenant, api_addresses),
        *rights(pool, tenant),
    ]
    if pool.storage_class:
        size = {"requests": {"storage": f"{pool.storage_gib}Gi"}}
        spec = {"accessModes": [pool.storage_access], "storageClassName": pool.storage_class, "resources": size}
        parts.append(
            Part("storage", f"{root}/persistentvolumeclaims", _object("v1", "PersistentVolumeClaim", CLAIM, pool, tenant, spec=spec), ())
        )
    return parts


def namespace(pool: KubernetesPool, tenant: str) -> Part:
    """The namespace, with the level that its pods must keep."""
    security = {f"{SECURITY}enforce": pool.pod_security, f"{SECURITY}enforce-version": "latest", f"{SECURITY}warn": "restricted"}
    meta = {
        "name": namespace_of(pool, tenant),
        "labels": labels(pool, tenant) | security,
        "annotations": {"lineshaft.io/tenant-name": tenant},
    }
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
    return Part("pod_security", "/api/v1/namespaces", manifest, tuple(f"metadata.labels:{name}" for name in security))


def quota(pool: KubernetesPool) -> dict[str, str]:
    """The hard limits of a team's namespace: what the pool's file says, and a number of pods in any case."""
    slots = {} if pool.slots_max is None else {f"requests.{pool.resource or 'nvidia.com/gpu'}": str(pool.slots_max)}
    return {"pods": PODS_MAX} | slots | pool.tenant_quota


def network(pool: KubernetesPool, tenant: str, api_addresses: tuple[str, ...]) -> list[Part]:
    """Everything closed; then what is open: the team's own pods, names, the API server, and what the pool's file adds."""
    closed = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    own: dict[str, object] = {"podSelector": {}}
    names = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    ports = [{"protocol": "TCP", "port": port} for port in (443, 6443)]
    api: dict[str, object] = {"ports": ports}
    if api_addresses:
        api["to"] = [{"ipBlock": {"cidr": f"{address}/{128 if ':' in address else 32}"}} for address in api_addresses]
    egress: list[dict[str, object]] = [
        {"to": [own]},
        {"to": [names], "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]},
        api,
    ]
    egress += [{"to": [{"ipBlock": {"cidr": cidr}} for cidr in pool.egress_cidrs]}] if pool.egress_cidrs else []
    opened = closed | {"ingress": [{"from": [own]}], "egress": egress}
    collection = f"/apis/networking.k8s.io/v1/namespaces/{namespace_of(pool, tenant)}/networkpolicies"
    return [
        Part("network_policy", collection, _object("networking.k8s.io/v1", "NetworkPolicy", name, pool, tenant, spec=spec), ("spec",))
        for name, spec in (("lineshaft-closed", closed), ("lineshaft-open", opened))
    ]


def rights(pool: KubernetesPool, tenant: str) -> list[Part]:
    """The team's own account, and what it may do."""
    space = namespace_of(pool, tenant)
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{space}"
    version = "rbac.authorization.k8s.io/v1"
    account = _object("v1", "ServiceAccount", ACCOUNT, pool, tenant, automountServiceAccountToken=False)
    role = _object(version, "Role", ACCOUNT, pool, tenant, rules=list(TENANT_RULES))
    binding = _object(
        version,
        "RoleBinding",
        ACCOUNT,
        pool,
        tenant,
        subjects=[{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": space}],
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT},
    )
    return [
        Part("rbac", f"/api/v1/namespaces/{space}/serviceaccounts", account, ()),
        Part("rbac", f"{rbac}/roles", role, ("rules",)),
        Part("rbac", f"{rbac}/rolebindings", binding, ("subjects", "roleRef")),
    ]


def _object(version: str, kind: str, name: str, pool: KubernetesPool, tenant: str, **fields: object) -> dict[str, object]:
    meta = {"name": name, "namespace": namespace_of(pool, tenant), "labels": labels(pool, tenant)}
    return {"apiVersion": version, "kind": kind, "metadata": meta} | fields
