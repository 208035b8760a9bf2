"""How a cluster ends: first the fence, then its machines until none has appeared for a while, then what held them."""

import asyncio
from collections.abc import Sequence

from factory_infra.errors import NotFound, Unavailable
from factory_infra.foundation.clusters.models import Cluster, ClusterState
from factory_infra.foundation.clusters.naming import form_of
from factory_infra.foundation.clusters.providers.aws_look import Looking, Seen
from factory_infra.foundation.clusters.providers.aws_names import name_of
from factory_infra.foundation.pools.aws import AwsAccess

ENDING_SECONDS_MAX = 240.0
"""Machines with local disks take minutes to end; a placement group can only go after them."""


class Ending:
    """Removes clusters of the fleet form."""

    def __init__(self, access: AwsAccess, looking: Looking) -> None:
        self._access = access
        self._pool = access.pool
        self._looking = looking

    async def end(self, cluster: str, tenant: str) -> Cluster:
        """Remove everything of a cluster. Raises NotFound for another tenant's, Unavailable where AWS is slow: ask again.

        The template goes first: a launch that is still under way somewhere then fails. After it, machines that AWS was late to show
        are ended as they appear, until none has appeared for the pool's settling time.
        """
        seen = await self._looking.at(cluster)
        seen.refuse_others(tenant)
        rack = seen.tag("topology") == "rack" or await self._has_group(cluster)
        if seen.template is not None or not seen.instances:
            await self._unless_gone("delete_launch_template", LaunchTemplateName=name_of(cluster))
        await self._end_all(cluster, wait_until_gone=rack)
        if rack:
            await self._unless_gone("delete_placement_group", GroupName=name_of(cluster))
        return Cluster(
            id=cluster,
            pool=self._pool.name,
            tenant=seen.tag("tenant") or tenant,
            lease_id=seen.tag("lease"),
            run_id=seen.tag("run"),
            form=form_of(cluster) or "fleet",
            state=ClusterState.RELEASED,
            wanted=0,
        )

    async def end_machines(self, machines: Sequence[str]) -> None:
        """End machines; those that are gone already are none."""
        if machines:
            await self._unless_gone("terminate_instances", InstanceIds=list(machines))

    async def _end_all(self, cluster: str, *, wait_until_gone: bool) -> None:
        loop = asyncio.get_running_loop()
        asked: set[str] = set()
        ends, quiet_since = loop.time() + ENDING_SECONDS_MAX, loop.time()
        async for seen in self._looking.watch(cluster, ENDING_SECONDS_MAX, self._step_seconds):
            fresh = [each.instance_id for each in seen.alive if each.instance_id not in asked]
            if fresh:
                await self.end_machines(fresh)
                asked.update(fresh)
                quiet_since = loop.time()
            if self._over(seen, wait_until_gone) and loop.time() - quiet_since >= self._pool.settle_seconds:
                return
        raise Unavailable(
            f"Machines of {cluster} are still ending after {loop.time() - ends + ENDING_SECONDS_MAX:.0f} s.", remedy="Ask again."
        )

    @staticmethod
    def _over(seen: Seen, wait_until_gone: bool) -> bool:
        return not seen.alive and not (wait_until_gone and any(each.state.name == "shutting-down" for each in seen.instances))

    @property
    def _step_seconds(self) -> float:
        return min(2.0, max(self._pool.settle_seconds / 2, 0.02))

    async def _has_group(self, cluster: str) -> bool:
        found = await self._access.read("ec2", "describe_placement_groups", Filters=[{"Name": "group-name", "Values": [name_of(cluster)]}])
        return bool(found.get("PlacementGroups"))

    async def _unless_gone(self, operation: str, **arguments: object) -> None:
        try:
            await self._access.change("ec2", operation, **arguments)
        except NotFound:
            return
