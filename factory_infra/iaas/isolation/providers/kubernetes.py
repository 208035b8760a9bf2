"""The walls between teams in a Kubernetes cluster, and an attack on them with the attacker's own account."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from factory_infra.errors import LineshaftError, QuotaExceeded, Unauthenticated, Unavailable
from factory_infra.foundation.pools.kubernetes import Kubernetes, Manifest, Refused
from factory_infra.foundation.pools.quantity import quantity
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.isolation.models import Attempt, Door, Wall
from factory_infra.iaas.kubernetes.manifests import ACCOUNT, QUOTA
from factory_infra.iaas.kubernetes.manifests import quota as quota_of
from factory_infra.iaas.kubernetes.models import Anything, PartState
from factory_infra.iaas.kubernetes.names import namespace_of
from factory_infra.iaas.kubernetes.service import TenantNamespaces
from factory_infra.settings import Settings

DRY = {"dryRun": "All"}
"""Every try that would change something is only tried: the cluster decides as it would, and keeps nothing."""
NETWORK_NOTE = "It holds where the cluster's network plug-in enforces NetworkPolicies: see docs/kubernetes.md."
RBAC = "rbac.authorization.k8s.io"
WORDS_MAX = 300


@dataclass(frozen=True)
class Try:
    """One thing that an attacker does."""

    door: Door
    tried: str
    act: Callable[[], Awaitable[object]]


class KubernetesWalls:
    """Namespaces, quotas, network policies, roles and Pod Security around each team.

    Args:
        pool: the cluster.
        settings: of the installation.
        api: the cluster asked in another way than the pool's entry says.
    """

    def __init__(self, pool: KubernetesPool, settings: Settings, api: Kubernetes | None = None) -> None:
        self._pool = pool
        self._api = api or Kubernetes(pool)
        self._namespaces = TenantNamespaces(self._api, pool)

    async def ensure(self, tenant: str) -> list[Wall]:
        """Put every wall up, and put right what somebody changed."""
        return [wall_of(part) for part in await self._namespaces.ensure(tenant)]

    async def check(self, tenant: str) -> list[Wall]:
        """Tell which walls stand. Changes nothing."""
        return [wall_of(part) for part in await self._namespaces.check(tenant)]

    async def remove(self, tenant: str) -> None:
        """Remove the team's namespace with all that is in it."""
        await self._namespaces.remove(tenant)

    async def attack(self, attacker: str, victim: str) -> list[Attempt]:
        """With a fresh token of the attacker's account, try what the victim has. Raises NotFound where the attacker has no account."""
        pods = await self._api.items(f"/api/v1/namespaces/{namespace_of(self._pool, victim)}/pods", Anything)
        pod = next((str(each.field("metadata.name")) for each in pods), "any")
        async with self._api.bearing(await self._namespaces.token(attacker)) as api:
            tries = Attack(api, self._pool, attacker, victim).tries(pod)
            return [await attempted(each) for each in tries]


class Attack:
    """What an attacker does in a cluster.

    Args:
        api: the cluster, asked as the attacker's own account.
        pool: its entry in the pools' file.
        attacker: the team that tries.
        victim: the team that has.
    """

    def __init__(self, api: Kubernetes, pool: KubernetesPool, attacker: str, victim: str) -> None:
        self._api, self._pool = api, pool
        self._mine, self._theirs = namespace_of(pool, attacker), namespace_of(pool, victim)

    def tries(self, pod: str) -> list[Try]:
        """Everything, in an order in which nothing depends on anything.

        Args:
            pod: one of the victim's, or a name that stands for none.
        """
        return [*self._see(), *self._stop(pod), *self._read(pod), *self._break_out(), *self._spend()]

    def _see(self) -> list[Try]:
        core, batch = f"/api/v1/namespaces/{self._theirs}", f"/apis/batch/v1/namespaces/{self._theirs}"
        paths = {
            "list the pods of the other team": f"{core}/pods",
            "list its jobs": f"{batch}/jobs",
            "list its events": f"{core}/events",
            "list the namespaces of the cluster": "/api/v1/namespaces",
            "list the pods of the whole cluster": "/api/v1/pods",
            "list the nodes": "/api/v1/nodes",
        }
        return [Try("see", tried, self._reads(path)) for tried, path in paths.items()]

    def _stop(self, pod: str) -> list[Try]:
        core, batch = f"/api/v1/namespaces/{self._theirs}", f"/apis/batch/v1/namespaces/{self._theirs}"
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        return [
            Try("stop", "delete a pod of the other team", lambda: self._api.delete(f"{core}/pods/{pod}", params=DRY)),
            Try("stop", "delete all its jobs", lambda: self._api.delete(f"{batch}/jobs", params=DRY)),
            Try("stop", "evict a pod of it", lambda: self._api.create(f"{core}/pods/{pod}/eviction", eviction, DRY)),
            Try("stop", "delete its namespace", lambda: self._api.delete(f"/api/v1/namespaces/{self._theirs}", params=DRY)),
        ]

    def _read(self, pod: str) -> list[Try]:
        core = f"/api/v1/namespaces/{self._theirs}"
        ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
        return [
            Try("read_logs", "read the log of a pod of the other team", self._reads(f"{core}/pods/{pod}/log")),
            Try("use_data", "list its Secrets", self._reads(f"{core}/secrets")),
            Try("use_data", "list its ConfigMaps", self._reads(f"{core}/configmaps")),
            Try("use_data", "run a program in a pod of it", lambda: self._api.create(f"{core}/pods/{pod}/exec", {}, {"command": "id"})),
            Try("use_data", "get a token of its account", lambda: self._api.create(f"{core}/serviceaccounts/{ACCOUNT}/token", ask, DRY)),
            Try("use_data", "list the Secrets of its own namespace", self._reads(f"/api/v1/namespaces/{self._mine}/secrets")),
        ]

    def _break_out(self) -> list[Try]:
        """Reach what is the victim's through a node, or through a right that one gives oneself."""
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "lineshaft-audit"},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": self._mine}],
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        }
        bindings = f"/apis/{RBAC}/v1/namespaces/{self._mine}/rolebindings"
        host = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
        return [
            Try("use_data", "start a privileged pod", self._starts(self._mine, container={"securityContext": {"privileged": True}})),
            Try("use_data", "start a pod with the node's disk", self._starts(self._mine, spec=host)),
            Try("use_data", "start a pod among the node's processes", self._starts(self._mine, spec={"hostPID": True})),
            Try("use_data", "start a pod in the node's network", self._starts(self._mine, spec={"hostNetwork": True})),
            Try("use_data", "make itself an administrator", lambda: self._api.create(bindings, binding, DRY)),
        ]

    def _spend(self) -> list[Try]:
        name, hard = next(iter(sorted(quota_of(self._pool).items(), key=lambda each: each[0] == "pods")))
        resource = name.removeprefix("requests.").removeprefix("limits.")
        quota = f"/api/v1/namespaces/{self._mine}/resourcequotas/{QUOTA}"
        raised = {"spec": {"hard": {"pods": "1000000"}}}
        found = [
            Try("spend", "start a pod in the other team's namespace, on its quota", self._starts(self._theirs)),
            Try("spend", "raise its own quota", lambda: self._api.patch(quota, raised, DRY)),
            Try("spend", "remove its own quota", lambda: self._api.delete(quota, params=DRY)),
        ]
        if resource != "pods":
            more = {
                "resources": {
                    "requests": {resource: str(int(quantity(hard) or 0) + 1)},
                    "limits": {resource: str(int(quantity(hard) or 0) + 1)},
                }
            }
            found.append(Try("spend", f"start a pod with more {resource} than its quota", self._starts(self._mine, container=more)))
        return found

    def _reads(self, path: str) -> Callable[[], Awaitable[object]]:
        async def read() -> None:
            async with self._api.stream(path, {"limit": 1}):
                pass

        return read

    def _starts(
        self, namespace: str, *, spec: Manifest | None = None, container: Manifest | None = None
    ) -> Callable[[], Awaitable[object]]:
        """A pod that would be let in but for what is asked of it."""
        usual = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "10m", "memory": "16Mi"}}
        body = {"name": "try", "image": "none", "command": ["true"], "resources": usual} | dict(container or {})
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "lineshaft-audit"},
            "spec": {"restartPolicy": "Never", "containers": [body]} | dict(spec or {}),
        }
        return lambda: self._api.create(f"/api/v1/namespaces/{namespace}/pods", manifest, DRY)


async def attempted(each: Try) -> Attempt:
    """Try it. Refused is what the cluster forbids; any other answer means that it let us in. Raises Unavailable."""
    try:
        await each.act()
    except Unavailable:
        raise
    except (Refused, QuotaExceeded, Unauthenticated) as error:
        return Attempt(door=each.door, through="kubernetes", tried=each.tried, refused=True, by=error.reason[:WORDS_MAX])
    except LineshaftError as error:
        return Attempt(door=each.door, through="kubernetes", tried=each.tried, refused=False, by=error.reason[:WORDS_MAX])
    return Attempt(door=each.door, through="kubernetes", tried=each.tried, refused=False)


def wall_of(part: PartState) -> Wall:
    """A part of a namespace as a wall."""
    note = NETWORK_NOTE if part.wall == "network_policy" and not part.note else part.note
    return Wall(name=part.wall, state=part.state, note=note)
