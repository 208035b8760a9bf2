"""A house of clusters in a simulated data centre."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from factory_infra.errors import Unavailable
from factory_infra.foundation.clusters.models import Cluster, ClusterForm, ClusterSpec
from factory_infra.foundation.clusters.providers.twin import TwinClusters
from factory_infra.foundation.pools.spec import TwinPool
from factory_infra.foundation.twin.centre import DataCentre, machine_type
from factory_infra.settings import Settings

NAME = "twin"
MACHINES_MAX = 200


class LosesAnswers(TwinClusters):
    """What was asked for is done, and nobody is told."""

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """Do it, and fall silent."""
        await super().provision(wanted)
        raise Unavailable("The answer was lost.")


class House:
    """Machines that are made in a simulated data centre."""

    tenant, other_tenant = "vision", "speech"
    name = NAME
    form: ClusterForm = "fleet"
    lacks: ClassVar[dict[str, str]] = {"templates": "a simulated data centre is described by its pool's entry"}

    def __init__(self, home: Path) -> None:
        self._settings = Settings(home=home)
        self._pool = TwinPool(name="twin", nodes=0, machines_max=MACHINES_MAX)
        self.machine = machine_type(self._pool)
        self.clusters = TwinClusters(self._pool, self._settings)

    @asynccontextmanager
    async def entered(self) -> AsyncIterator["House"]:
        """Nothing has to be started."""
        yield self

    async def forget(self) -> None:
        """A provider that knows nothing: our process was killed."""
        self.clusters = TwinClusters(self._pool, self._settings)

    def wanted(self, key: str, count: int = 2, **more: object) -> ClusterSpec:
        """What is asked for."""
        asked = {"key": key, "tenant": self.tenant, "lease_id": f"lease-{key}", "machine": self.machine, "count": count}
        return ClusterSpec.model_validate(asked | more)

    def calm(self) -> None:
        """The stock is what the pool's entry says."""
        self.clusters.set_stock(None)

    def answer_lost(self) -> None:
        """The next launch happens, and its answer never comes."""
        self.clusters = LosesAnswers(self._pool, self._settings)

    def free(self, count: int) -> None:
        """So many machines are free now."""
        self.clusters.set_stock(count)

    def launches(self) -> int:
        """How many launches were asked for."""
        return sum(each["do"] == "provision" for each in DataCentre(self._pool, self._settings).commands())
