"""Houses of clusters in AWS, one a form, each against a fresh account of the emulator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from factory_infra.foundation.clusters.models import ClusterForm, ClusterSpec
from factory_infra.foundation.clusters.providers.aws import AwsClusters
from factory_infra.foundation.pools import aws
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS

FORMS: dict[str, ClusterForm] = {
    "aws fleet": "fleet",
    "aws auto scaling": "auto_scaling",
    "aws eks": "kubernetes",
    "aws hyperpod": "hyperpod",
}
MACHINE = "g5.xlarge"
ROLE = "arn:aws:iam::123456789012:role/lineshaft"
LAUNCHES: dict[ClusterForm, str] = {
    "fleet": "CreateFleet",
    "auto_scaling": "CreateAutoScalingGroup",
    "kubernetes": "CreateCluster",
    "hyperpod": "CreateCluster",
}
SERVICES: dict[ClusterForm, str] = {"fleet": "ec2", "auto_scaling": "autoscaling", "kubernetes": "eks", "hyperpod": "sagemaker"}
OWN_WAY = "AWS keeps the number up by itself and takes what there is, by and by"
LACKS: dict[ClusterForm, dict[str, str]] = {
    "fleet": {},
    "auto_scaling": {"refusal": OWN_WAY},
    "kubernetes": {"refusal": OWN_WAY, "machines": "the emulator has no nodes behind a node group"},
    "hyperpod": {"refusal": OWN_WAY},
}


class House:
    """One form of clusters over the emulator."""

    tenant, other_tenant = "vision", "speech"
    machine = MACHINE

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.form = name, FORMS[name]
        self.lacks = LACKS[self.form]
        self.emulator = Emulator()
        self._settings = Settings(home=home)
        self.clusters: AwsClusters

    @asynccontextmanager
    async def entered(self) -> AsyncIterator["House"]:
        """Start the emulator and the provider."""
        with pytest.MonkeyPatch.context() as patch, self.emulator.serving():
            for name, value in KEYS.items():
                patch.setenv(name, value)
            patch.setattr(aws, "PAUSE_SECONDS", 0.01)
            pool = AwsPool.model_validate(
                {"name": "aws", "region": "us-east-1", "endpoint_url": self.emulator.address, "settle_seconds": 0.05}
            )
            found = (await AwsClusters(pool, self._settings).access.read("ec2", "describe_subnets"))["Subnets"]
            subnets = [str(each["SubnetId"]) for each in (found if isinstance(found, list) else [])]
            roles = {"cluster_role_arn": ROLE, "node_role_arn": ROLE, "lifecycle_uri": "s3://bucket/scripts"}
            self._pool = pool.model_copy(update={"subnet_ids": tuple(subnets[:2]), **roles})
            await self.forget()
            yield self

    async def forget(self) -> None:
        """A provider that knows nothing: our process was killed."""
        self.clusters = AwsClusters(self._pool, self._settings)

    def wanted(self, key: str, count: int = 2, **more: object) -> ClusterSpec:
        """What is asked for."""
        asked = {"key": key, "tenant": self.tenant, "lease_id": f"lease-{key}", "form": self.form, "machine": MACHINE, "count": count}
        return ClusterSpec.model_validate(asked | more)

    def calm(self) -> None:
        """Whatever was set to fail does not any more."""
        self.emulator.faults.faults.clear()
        self.emulator.world.capacity.clear()

    def answer_lost(self) -> None:
        """The next launch happens, and its answer never comes."""
        self.emulator.faults.add("dropped", LAUNCHES[self.form], service=SERVICES[self.form], times=3)

    def free(self, count: int) -> None:
        """So many machines are free now."""
        self.emulator.world.capacity[MACHINE, ""] = count

    def launches(self) -> int:
        """How many launches were asked for."""
        return self.emulator.world.calls[SERVICES[self.form], LAUNCHES[self.form]]
