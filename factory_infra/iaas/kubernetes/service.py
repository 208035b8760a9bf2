"""Namespaces of teams in a cluster: made, looked after, repaired where somebody changed them, and removed."""

import asyncio
from collections.abc import Iterable
from typing import cast

from factory_infra.errors import Conflict, LineshaftError, NotFound
from factory_infra.foundation.pools.kubernetes import Kubernetes, Read
from factory_infra.foundation.pools.quantity import quantity
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.manifests import ACCOUNT, parts_of
from factory_infra.iaas.kubernetes.models import Anything, Part, PartState, TokenAnswer
from factory_infra.iaas.kubernetes.names import INSTALLATION, TENANT, label_value, namespace_of

TOKEN_SECONDS = 600
REMOVE_SECONDS = 120.0
POLL_SECONDS = 0.2


class _Address(Read):
    ip: str


class _Subset(Read):
    addresses: list[_Address] = []


class _Endpoints(Read):
    subsets: list[_Subset] = []


class TenantNamespaces:
    """The teams' namespaces of one cluster. Every method may be called twice.

    Args:
        api: the cluster, asked with the installation's right.
        pool: its entry in the pools' file.
    """

    def __init__(self, api: Kubernetes, pool: KubernetesPool) -> None:
        self._api = api
        self._pool = pool
        self._addresses: tuple[str, ...] | None = None
        self._ensured: set[str] = set()

    async def ensure(self, tenant: str) -> list[PartState]:
        """Make what is missing and put right what differs; tell how it stands then.

        Raises Conflict where the namespace's name is taken by somebody else.
        """
        found: list[PartState] = []
        for part in await self._parts(tenant):
            found.append(await self._put_right(part, tenant))
        self._ensured.add(tenant)
        return by_wall(found)

    async def ensure_once(self, tenant: str) -> None:
        """The same, but at most once in this process for each team."""
        if tenant not in self._ensured:
            await self.ensure(tenant)

    async def check(self, tenant: str) -> list[PartState]:
        """Tell how each wall stands. Changes nothing."""
        return by_wall(await asyncio.gather(*(self._look(part) for part in await self._parts(tenant))))

    async def remove(self, tenant: str) -> None:
        """Remove the namespace with all that is in it, and wait until it is gone. One that is not ours is left alone.

        Raises Conflict when it is still ending after two minutes: something in it does not let go.
        """
        self._ensured.discard(tenant)
        path = f"/api/v1/namespaces/{namespace_of(self._pool, tenant)}"
        there = await self._api.find(path, Anything)
        if there is None:
            return
        self._ours(there, tenant)
        await self._api.delete(path)
        for _ in range(int(REMOVE_SECONDS / POLL_SECONDS)):
            if await self._api.find(path, Anything) is None:
                return
            await asyncio.sleep(POLL_SECONDS)
        raise Conflict(f"The namespace of team '{tenant}' is still ending.", remedy=f"Look at `kubectl get all -n {path.split('/')[-1]}`.")

    async def token(self, tenant: str) -> str:
        """Issue a token of the team's own account, for ten minutes. Raises NotFound where the team has none."""
        path = f"/api/v1/namespaces/{namespace_of(self._pool, tenant)}/serviceaccounts/{ACCOUNT}/token"
        ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_SECONDS}}
        return (await self._api.post(path, ask, TokenAnswer)).status.token

    async def _parts(self, tenant: str) -> list[Part]:
        if self._addresses is None:
            self._addresses = await self._api_addresses()
        return parts_of(self._pool, tenant, self._addresses)

    async def _api_addresses(self) -> tuple[str, ...]:
        """Where the API server is, as pods reach it; nothing where we may not know."""
        try:
            found = await self._api.get("/api/v1/namespaces/default/endpoints/kubernetes", _Endpoints)
        except LineshaftError as error:
            if error.retryable:
                raise
            return ()
        return tuple(sorted(address.ip for subset in found.subsets for address in subset.addresses))

    async def _put_right(self, part: Part, tenant: str) -> PartState:
        there = await self._api.find(part.path, Anything)
        if there is None:
            await self._api.ensure(part.collection, part.manifest)
            return PartState(wall=part.wall, state="up")
        if part.wall == "pod_security":
            self._ours(there, tenant)
        if differences(part, there):
            await self._repair(part)
        return PartState(wall=part.wall, state="up")

    async def _repair(self, part: Part) -> None:
        if part.manifest["kind"] == "RoleBinding":
            # Whose role it is cannot be changed: only made anew.
            await self._api.delete(part.path)
            await self._api.ensure(part.collection, part.manifest)
        elif part.manifest["kind"] == "Namespace":
            await self._api.patch(part.path, {"metadata": part.manifest["metadata"]})
        else:
            await self._api.replace(part.path, part.manifest)

    async def _look(self, part: Part) -> PartState:
        there = await self._api.find(part.path, Anything)
        if there is None:
            return PartState(wall=part.wall, state="missing", note=f"{part.manifest['kind']} {part.name} is not there.")
        differs = differences(part, there)
        if differs:
            return PartState(wall=part.wall, state="broken", note=f"{part.manifest['kind']} {part.name} was changed: {', '.join(differs)}.")
        return PartState(wall=part.wall, state="up")

    def _ours(self, there: Anything, tenant: str) -> None:
        """Raise Conflict for a namespace that is not this installation's and this team's."""
        found = (there.field(f"metadata.labels:{INSTALLATION}"), there.field(f"metadata.labels:{TENANT}"))
        if found != (self._pool.namespace_prefix, label_value(tenant)):
            raise Conflict(
                f"The namespace {namespace_of(self._pool, tenant)} is there and not ours.",
                remedy="Choose another `namespace_prefix` in the pool's entry, or label it as docs/kubernetes.md says.",
                code="namespace_taken",
            )


def differences(part: Part, there: Anything) -> list[str]:
    """The guarded fields that are not as they should be."""
    wanted = Anything.model_validate(dict(part.manifest))
    return [path for path in part.guarded if not holds(wanted.field(path), there.field(path))]


def holds(wanted: object, there: object) -> bool:
    """Whether a value is what is wanted; what the server adds to an object by itself does not count."""
    if isinstance(wanted, dict):
        known = cast("dict[str, object]", there) if isinstance(there, dict) else {}
        exact = all(isinstance(value, str) for value in wanted.values())
        same_names = not exact or set(known) == set(wanted)
        return isinstance(there, dict) and same_names and all(holds(value, known.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and len(wanted) == len(there) and all(map(holds, wanted, there))
    if isinstance(wanted, str) and isinstance(there, str):
        # The server writes amounts in its own way: 2000 as 2k.
        return wanted == there or (quantity(wanted) is not None and quantity(wanted) == quantity(there))
    return wanted == there


def by_wall(parts: Iterable[PartState]) -> list[PartState]:
    """One line a wall: the worst of its parts, and all their notes."""
    worst = {"up": 0, "not_available": 1, "broken": 2, "missing": 3}
    found: dict[str, PartState] = {}
    for part in parts:
        known = found.get(part.wall)
        if known is None:
            found[part.wall] = part
            continue
        state = max(known.state, part.state, key=lambda each: worst[each])
        found[part.wall] = PartState(wall=part.wall, state=state, note=" ".join(filter(None, (known.note, part.note))))
    return list(found.values())


async def namespaces_of(api: Kubernetes, pool: KubernetesPool, tenant: str | None = None) -> list[str]:
    """The names of this installation's namespaces: of a team, or all."""
    selector = f"{INSTALLATION}={pool.namespace_prefix}" + (f",{TENANT}={label_value(tenant)}" if tenant else "")
    try:
        found = await api.items("/api/v1/namespaces", Anything, {"labelSelector": selector})
    except NotFound:
        return []
    return [str(each.field("metadata.name")) for each in found]
