"""What there is of a cluster in EC2, by its tags and names: the only memory of the fleet form."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from factory_infra.database import utcnow
from factory_infra.errors import NotFound
from factory_infra.foundation.clusters.models import Cluster, ClusterState, Machine
from factory_infra.foundation.clusters.naming import form_of
from factory_infra.foundation.clusters.providers.aws_answers import Instance, Reservation, Template
from factory_infra.foundation.clusters.providers.aws_names import cluster_of, name_of
from factory_infra.foundation.pools.aws import AwsAccess

MAKING = timedelta(minutes=15)
"""A cluster without machines is being made for so long; after that it is half made."""


def unknown(cluster: str) -> NotFound:
    """What is said of a cluster that is not there, and of another tenant's."""
    return NotFound(f"There is no cluster {cluster}.", code="cluster_unknown", remedy="lineshaft clusters list shows yours.")


@dataclass(frozen=True)
class Seen:
    """What EC2 shows of one cluster at this moment."""

    cluster: str
    pool: str
    template: Template | None = None
    instances: Sequence[Instance] = field(default=())

    @property
    def alive(self) -> list[Instance]:
        """The machines that are there and not ending, oldest first: always in the same order."""
        return sorted((each for each in self.instances if each.alive), key=lambda each: (str(each.launch_time), each.instance_id))

    @property
    def anything(self) -> bool:
        """Whether there is anything, or was until lately."""
        return self.template is not None or bool(self.instances)

    def tag(self, name: str) -> str:
        """A tag of the cluster, from whatever has it; the template's is the newest."""
        bearers = ([self.template] if self.template is not None else []) + [*self.alive, *self.instances]
        return next((value for each in bearers if (value := each.tag(name))), "")

    def refuse_others(self, tenant: str) -> None:
        """Raise NotFound where it is another tenant's."""
        owner = self.tag("tenant")
        if owner and owner != tenant:
            raise unknown(self.cluster)

    def of(self, effect: str) -> list[Instance]:
        """The machines that one effect launched."""
        return [each for each in self.alive if each.tag("effect") == effect]

    def told(self, granted: Sequence[Machine] = (), note: str = "") -> Cluster:
        """The cluster in our words, with machines that were granted and are not shown yet."""
        shown = {each.instance_id for each in self.instances}
        machines = [each.machine() for each in self.alive] + [each for each in granted if each.id not in shown]
        wanted = int(self.tag("wanted") or len(machines))
        state, words = self._state(machines, wanted)
        born = [each.launch_time for each in self.instances if each.launch_time is not None]
        return Cluster(
            id=self.cluster,
            pool=self.pool,
            tenant=self.tag("tenant"),
            lease_id=self.tag("lease"),
            run_id=self.tag("run"),
            form=form_of(self.cluster) or "fleet",
            state=state,
            wanted=wanted,
            machines=machines,
            note=note or words,
            created_at=self.template.create_time if self.template is not None else min(born, default=None),
        )

    def _state(self, machines: Sequence[Machine], wanted: int) -> tuple[ClusterState, str]:
        if self.template is None:
            if not machines:
                return ClusterState.RELEASED, ""
            return ClusterState.RELEASING, f"{len(machines)} machines are still there."
        if not machines:
            made = self.template.create_time
            if made is not None and utcnow() - made < MAKING:
                return ClusterState.CREATING, "No machine is there yet."
            return ClusterState.BROKEN, "It was begun and has no machine: release it, or ask for it again with the same key."
        if len(machines) < wanted:
            return ClusterState.PARTIAL, f"{len(machines)} of {wanted} machines are there."
        booting = sum(each.state != "running" for each in machines)
        return (ClusterState.CREATING, f"{booting} machines still boot.") if booting else (ClusterState.READY, "")


class Looking:
    """Asks EC2 what there is. Only reads."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._pool = access.pool

    async def at(self, cluster: str) -> Seen:
        """What is shown of one cluster."""
        instances, template = await asyncio.gather(self._instances(cluster), self._template(cluster))
        return Seen(cluster, self._pool.name, template, instances)

    async def at_all(self) -> list[Seen]:
        """Every cluster of this installation of which anything is left."""
        templates = await self._access.read_all("ec2", "describe_launch_templates", "LaunchTemplates", Filters=[self._ours()])
        found: dict[str, Template] = {}
        for each in (Template.model_validate(template) for template in templates):
            found[each.tag("cluster") or cluster_of(each.launch_template_name)] = each
        machines: dict[str, list[Instance]] = defaultdict(list)
        for instance in await self._instances():
            if instance.alive:
                machines[instance.tag("cluster") or instance.instance_id].append(instance)
        return [Seen(name, self._pool.name, found.get(name), machines.get(name, ())) for name in sorted({*found, *machines})]

    async def watch(self, cluster: str, seconds: float, step_seconds: float) -> AsyncIterator[Seen]:
        """Look again and again until so many seconds are over; at least once."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        while True:
            yield await self.at(cluster)
            if loop.time() >= ends:
                return
            await asyncio.sleep(step_seconds)

    async def _instances(self, cluster: str = "") -> list[Instance]:
        filters = [self._ours()]
        if cluster:
            filters.append({"Name": "tag:lineshaft:cluster", "Values": [cluster]})
        answers = await self._access.read_all("ec2", "describe_instances", "Reservations", Filters=filters)
        return [each for answer in answers for each in Reservation.model_validate(answer).instances]

    async def _template(self, cluster: str) -> Template | None:
        named = {"Name": "launch-template-name", "Values": [name_of(cluster)]}
        answers = await self._access.read_all("ec2", "describe_launch_templates", "LaunchTemplates", Filters=[named])
        return Template.model_validate(answers[0]) if answers else None

    def _ours(self) -> dict[str, object]:
        return {"Name": "tag:lineshaft:installation", "Values": [self._pool.installation]}
