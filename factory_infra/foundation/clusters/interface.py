"""The seam to whatever makes machines."""

from typing import Protocol

from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, Interruption


class Clusters(Protocol):
    """Makes and removes clusters. Every method may be called again after any failure, with the same outcome."""

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """Make the cluster of this key, or return it if it is there.

        Returns once every machine that was granted is known (it may still boot: see `state`). Raises CapacityExceeded when fewer than
        `count_min` machines can be had, after what was made is gone again; InvalidInput for a machine that does not exist there;
        Unavailable (retryable) when the provider throttles or does not answer: ask again with the same key.
        """
        ...

    async def get(self, cluster_id: str, tenant: str) -> Cluster:
        """Return a cluster's present state. Raises NotFound, also for another tenant's."""
        ...

    async def list(self, tenant: str | None = None) -> list[Cluster]:
        """Return every cluster of this installation that is not gone, by its tags: also those that no ledger knows."""
        ...

    async def scale(self, cluster_id: str, tenant: str, count: int, key: str = "") -> Cluster:
        """Bring a cluster to so many machines, once for each key; without one it is derived from the machines that are seen.

        Raises CapacityExceeded; the cluster is then as it was before.
        """
        ...

    async def release(self, cluster_id: str, tenant: str) -> Cluster:
        """Remove everything of a cluster: machines, fleet, template, placement group. Releasing a released one is not an error."""
        ...


class MachineReplacement(Protocol):
    """An extra ability: one machine of a cluster for another."""

    async def replace(self, cluster_id: str, tenant: str, machine_id: str, key: str, *, ending: bool = True) -> Cluster:
        """Launch another machine in its place, once for each key, and end the old one. Raises CapacityExceeded, NotFound.

        Without `ending` the old one is left to an end that it was given notice of, so that what runs there can write its checkpoint.
        """
        ...


class Interruptions(Protocol):
    """An extra ability: machines that are about to be taken back."""

    async def interruptions(self) -> list[Interruption]:
        """Return the notices that are open now."""
        ...


class ClusterTemplates(Protocol):
    """An extra ability: what is long-lived, as a template that a person can read before it is made."""

    def template(self, wanted: ClusterSpec) -> str:
        """Return the CloudFormation template (JSON) by which this would be made. Connects nowhere."""
        ...
