"""An emulated cluster with two teams, whose walls can be taken down one by one; or a real one where KUBECONFIG names it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.isolation.providers.kubernetes import KubernetesWalls
from factory_infra.iaas.kubernetes.manifests import ACCOUNT
from factory_infra.iaas.kubernetes.names import namespace_of
from factory_infra.settings import Settings
from tests.contract.kubernetes import emulated_pool
from tests.emulators.kubernetes.cluster import Emulator

LEVEL = "pod-security.kubernetes.io/enforce"


class WallsHouse:
    """Walls in a cluster."""

    attacker = "speech"
    victim = "vision"
    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path) -> None:
        self._settings = Settings(home=folder)
        self._emulator: Emulator | None = None
        self.pool: KubernetesPool
        self.walls: KubernetesWalls

    @property
    def removable(self) -> tuple[str, ...]:
        """What is taken down; nothing in a cluster that is not ours alone."""
        return ("pod_security", "quota", "network_policy", "rbac", "other_roles") if self._emulator else ()

    async def __aenter__(self) -> "WallsHouse":
        named = os.environ.get("KUBECONFIG", "")
        if named:
            prefix = f"ls-walls-{os.getpid()}"
            self.pool = KubernetesPool(name="real", kubeconfig=Path(named), namespace_prefix=prefix, slots_max=4, image="none")
        else:
            self._emulator = await Emulator().__aenter__()
            self.pool = emulated_pool(self._emulator, slots_max=4)
        self.walls = KubernetesWalls(self.pool, self._settings)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._emulator is not None:
            await self._emulator.__aexit__()
            return
        for tenant in (self.attacker, self.victim):
            await self.walls.remove(tenant)

    @asynccontextmanager
    async def without(self, name: str) -> AsyncIterator[KubernetesWalls]:
        """Take one wall down as an administrator of the cluster could; `ensure` puts all but a foreign role up again."""
        assert self._emulator is not None
        async with Kubernetes(self.pool.model_copy(update={"kubeconfig": self._emulator.kubeconfig()})) as admin:
            undo = await self._take_down(admin, name)
            try:
                yield self.walls
            finally:
                if undo:
                    await admin.delete(undo)

    async def _take_down(self, admin: Kubernetes, name: str) -> str:
        """Take a wall down; return the path of what must be removed to put it up again, where `ensure` does not."""
        theirs, mine = namespace_of(self.pool, self.victim), namespace_of(self.pool, self.attacker)
        rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces"
        if name == "pod_security":
            for space in (theirs, mine):
                await admin.patch(f"/api/v1/namespaces/{space}", {"metadata": {"labels": {LEVEL: "privileged"}}})
        elif name == "quota":
            await admin.delete(f"/api/v1/namespaces/{theirs}/resourcequotas/lineshaft")
        elif name == "network_policy":
            await admin.patch(
                f"/apis/networking.k8s.io/v1/namespaces/{theirs}/networkpolicies/lineshaft-closed", {"spec": {"policyTypes": None}}
            )
        elif name == "rbac":
            await admin.patch(f"{rbac}/{theirs}/roles/{ACCOUNT}", {"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]})
        else:
            subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": mine}
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT}
            body = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "hole"}}
            await admin.create(f"{rbac}/{theirs}/rolebindings", body | {"subjects": [subject], "roleRef": ref})
            return f"{rbac}/{theirs}/rolebindings/hole"
        return ""
