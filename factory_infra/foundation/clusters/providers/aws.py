"""Clusters in AWS: fleets of EC2, Auto Scaling groups, EKS and HyperPod, each by the form that a cluster's id tells."""

import asyncio
import builtins
from collections.abc import Sequence
from typing import Protocol

from factory_infra.errors import Forbidden, InvalidInput
from factory_infra.foundation.clusters.models import Cluster, ClusterForm, ClusterSpec, Interruption
from factory_infra.foundation.clusters.naming import form_of
from factory_infra.foundation.clusters.providers.aws_auto_scaling import AutoScalingForm
from factory_infra.foundation.clusters.providers.aws_fleet import FleetForm
from factory_infra.foundation.clusters.providers.aws_hyperpod import HyperPodForm
from factory_infra.foundation.clusters.providers.aws_interruptions import Notices
from factory_infra.foundation.clusters.providers.aws_kubernetes import KubernetesForm
from factory_infra.foundation.clusters.providers.aws_look import Looking, unknown
from factory_infra.foundation.clusters.providers.aws_stack import template
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings

COUNT_MAX = 1000


class Form(Protocol):
    """One way in which machines are made."""

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """See Clusters.provision."""
        ...

    async def get(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        ...

    async def list(self) -> list[Cluster]:
        """Every cluster of this form."""
        ...

    async def scale(self, cluster: str, tenant: str, count: int, key: str) -> Cluster:
        """See Clusters.scale."""
        ...

    async def replace(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """See MachineReplacement.replace."""
        ...

    async def relieve(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """The same for a machine that ends by itself."""
        ...

    async def release(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.release."""
        ...


class AwsClusters:
    """Clusters of one account and region, with replacement, notices and templates. What it knows stands in AWS, in names and tags."""

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self.pool = pool
        self.access = AwsAccess(pool, settings)
        self._forms: dict[ClusterForm, Form] = {
            "fleet": FleetForm(self.access),
            "auto_scaling": AutoScalingForm(self.access),
            "kubernetes": KubernetesForm(self.access),
            "hyperpod": HyperPodForm(self.access),
        }
        self._notices = Notices(self.access, Looking(self.access))

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """See Clusters.provision."""
        return await self._forms[wanted.form].provision(wanted)

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        return await self._form(cluster_id).get(cluster_id, tenant)

    async def list(self, tenant: str | None = None) -> list[Cluster]:
        """See Clusters.list."""
        found = await asyncio.gather(*(self._list(name) for name in self._forms))
        return [each for clusters in found for each in clusters if tenant in (None, each.tenant)]

    async def _list(self, form: ClusterForm) -> Sequence[Cluster]:
        """The clusters of a form. A role that may not even look at a form has made none of it."""
        try:
            return await self._forms[form].list()
        except Forbidden:
            if form == "fleet":
                raise
            return []

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        """See Clusters.scale."""
        if not 1 <= count <= COUNT_MAX:
            raise InvalidInput(f"A cluster of {count} machines cannot be.", code="count_invalid", remedy=f"Ask for 1 to {COUNT_MAX}.")
        return await self._form(cluster_id).scale(cluster_id, tenant, count, key)

    async def replace(self, cluster_id: str, tenant: str, machine_id: str, key: str, *, ending: bool = True) -> Cluster:
        """See MachineReplacement.replace."""
        form = self._form(cluster_id)
        return await (form.replace if ending else form.relieve)(cluster_id, tenant, machine_id, key)

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        """See Clusters.release."""
        return await self._form(cluster_id).release(cluster_id, tenant)

    async def interruptions(self) -> builtins.list[Interruption]:
        """See Interruptions.interruptions."""
        return await self._notices.open()

    def template(self, wanted: ClusterSpec) -> str:
        """See ClusterTemplates.template."""
        return template(self.pool, wanted)

    async def close(self) -> None:
        """Give connections back."""
        await self.access.close()

    def _form(self, cluster_id: str) -> Form:
        form = form_of(cluster_id)
        if form is None:
            raise unknown(cluster_id)
        return self._forms[form]
