"""A Kubernetes cluster as a house: the emulator, or a real one that KUBECONFIG names, with an image that KUBERNETES_TEST_IMAGE names."""

import asyncio
import os
from pathlib import Path
from typing import ClassVar

import psutil
import yaml

from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.jobs.models import JobState
from factory_infra.iaas.jobs.providers.kubernetes import KubernetesJobs
from factory_infra.iaas.kubernetes import role
from factory_infra.iaas.kubernetes.names import JOB, job_name, namespace_of
from factory_infra.iaas.kubernetes.service import TenantNamespaces
from factory_infra.settings import Settings
from tests.contract.houses import NotHere
from tests.emulators.kubernetes.cluster import Emulator

NODES = 3


class House:
    """Jobs in a cluster."""

    tenant = "vision"
    other_tenant = "speech"
    lacks: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path, extras: tuple[str, ...] = ("jobset",)) -> None:
        self._settings = Settings(home=folder)
        self._emulator: Emulator | None = None
        self._extras = extras
        self.pool: KubernetesPool
        self.jobs: KubernetesJobs

    async def __aenter__(self) -> "House":
        named = os.environ.get("KUBECONFIG", "")
        if named:
            self.pool = self._real(Path(named))
        else:
            self._emulator = await Emulator(self._extras).__aenter__()
            self.pool = emulated_pool(self._emulator)
        self.jobs = KubernetesJobs(self.pool, self._settings)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._emulator is not None:
            await self._emulator.__aexit__()
            return
        async with Kubernetes(self.pool) as api:
            for tenant in (self.tenant, self.other_tenant):
                await TenantNamespaces(api, self.pool).remove(tenant)

    def _real(self, kubeconfig: Path) -> KubernetesPool:
        image = os.environ.get("KUBERNETES_TEST_IMAGE", "")
        if not image:
            raise NotHere("KUBECONFIG is set, and KUBERNETES_TEST_IMAGE names no image with Lineshaft in it")
        self.lacks = {"preemption": "a real cluster preempts when it wants to"}  # type: ignore[misc]
        prefix = f"ls-test-{os.getpid()}"
        storage = os.environ.get("KUBERNETES_TEST_STORAGE_CLASS", "")
        return KubernetesPool(name="real", kubeconfig=kubeconfig, namespace_prefix=prefix, image=image, storage_class=storage)

    def python(self, code: str) -> list[str]:
        """A quick interpreter of the image."""
        return ["python3", "-IS", "-c", code]

    async def preempt(self, job_id: str) -> None:
        """Take the place of all its pods, as for a more important one."""
        assert self._emulator is not None
        namespace = namespace_of(self.pool, self.tenant)
        assert self._emulator.preempt(namespace, {JOB: job_name(job_id)})
        while (await self.jobs.get(job_id, self.tenant)).attempt == 1 and not await self._ended(job_id):  # noqa: ASYNC110 (a cluster tells)
            await asyncio.sleep(0.05)

    async def _ended(self, job_id: str) -> bool:
        return (await self.jobs.get(job_id, self.tenant)).state is not JobState.RUNNING

    async def forget(self) -> None:
        """A new object knows only the cluster."""
        self.jobs = KubernetesJobs(self.pool, self._settings)

    async def gone(self, job_id: str) -> bool:
        """Whether no process carries the job's name in its environment; a real cluster has only pods to look at."""
        if self._emulator is None:
            return (await self.jobs.get(job_id, self.tenant)).state.final
        return not await asyncio.to_thread(holders, job_id)


def emulated_pool(emulator: Emulator, **fields: object) -> KubernetesPool:
    """The pool of an emulated cluster of three nodes, asked with the documented role and nothing more."""
    for number in range(NODES):
        sizes = {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "8"}
        emulator.add_node(f"node-{number}", sizes, {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.memory": "81559"})
    token = bound_account(emulator)
    base: dict[str, object] = {
        "name": "cluster",
        "kubeconfig": emulator.kubeconfig(token),
        "image": "lineshaft:test",
        "storage_class": "standard",
        "api_from_pods": emulator.address,
    }
    return KubernetesPool.model_validate(base | fields)


def bound_account(emulator: Emulator) -> str:
    """A service account with the documented role; its token."""
    manifest = yaml.safe_load(role.FILE.read_text())
    emulator.create("clusterroles", "", manifest)
    emulator.create("serviceaccounts", "kube-system", {"metadata": {"name": "lineshaft"}})
    subject = {"kind": "ServiceAccount", "name": "lineshaft", "namespace": "kube-system"}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lineshaft"}
    emulator.create("clusterrolebindings", "", {"metadata": {"name": "lineshaft"}, "subjects": [subject], "roleRef": ref})
    return emulator.doorman.issue_account("kube-system", "lineshaft", 10**6)


def holders(job_id: str) -> list[psutil.Process]:
    """Every process of a job."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LINESHAFT_JOB_ID") == job_id:
                found.append(process)
        except psutil.Error:
            continue
    return found
