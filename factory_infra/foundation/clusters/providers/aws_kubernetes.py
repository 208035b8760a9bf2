"""EKS clusters with one node group. A control plane takes ten minutes: each call does what can be done now, ask again with the same key."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws_answers import Instance, Reservation
from factory_infra.foundation.clusters.providers.aws_look import unknown
from factory_infra.foundation.clusters.providers.aws_names import PREFIX, cluster_of, name_of, tags_of, token
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.aws_errors import settled
from factory_infra.foundation.pools.spec import AwsPool

GROUP = "machines"
COUNT_MAX = 450
CLASSES = {"on_demand": "ON_DEMAND", "reserved": "ON_DEMAND", "spot": "SPOT", "capacity_block": "CAPACITY_BLOCK"}


class Told(BaseModel):
    """A part of an answer of EKS."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True, populate_by_name=True)


class Plane(Told):
    """A control plane."""

    name: str
    status: str = ""
    created_at: datetime | None = None
    tags: dict[str, str] = {}


class Scaling(Told):
    """How many nodes."""

    desired_size: int = 0


class Problem(Told):
    """What is wrong with a node group."""

    code: str = ""
    message: str = ""


class Health(Told):
    """How a node group is."""

    issues: list[Problem] = []


class Nodes(Told):
    """A node group."""

    status: str = ""
    scaling_config: Scaling = Scaling()
    health: Health = Health()
    tags: dict[str, str] = Field(default={})


class KubernetesForm:
    """The form of managed Kubernetes."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._pool = access.pool

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """Make the control plane, and the node group once that stands."""
        refuse_without_roles(self._pool)
        name = name_of(cluster_id(wanted.key, wanted.form))
        plane = await self._plane(name)
        if plane is None:
            await settled(self._access.change("eks", "create_cluster", **self._plane_of(name, wanted)))
            plane = await self._plane(name)
        self._refuse_others(plane, name, wanted.tenant)
        if plane is not None and plane.status == "ACTIVE" and await self._nodes(name) is None:
            await settled(self._access.change("eks", "create_nodegroup", **self._nodes_of(name, wanted)))
        return await self._told(name, wanted.count)

    async def get(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        await self._found(cluster, tenant)
        return await self._told(name_of(cluster))

    async def scale(self, cluster: str, tenant: str, count: int, key: str) -> Cluster:
        """See Clusters.scale; the number itself is set."""
        await self._found(cluster, tenant)
        name, nodes = name_of(cluster), await self._nodes(name_of(cluster))
        if nodes is None:
            raise Conflict(f"Cluster {cluster} has no machines yet.", code="in_use", remedy="Wait until it is ready.")
        if nodes.scaling_config.desired_size != count:
            size = {"minSize": 0, "maxSize": COUNT_MAX, "desiredSize": count}
            await self._access.change("eks", "update_nodegroup_config", clusterName=name, nodegroupName=GROUP, scalingConfig=size)
        return await self._told(name)

    async def replace(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """End a node; its group launches another."""
        await self._found(cluster, tenant)
        alive = [each.instance_id for each in await self._machines(name_of(cluster)) if each.alive]
        if machine_id in alive:
            arguments = {"InstanceId": machine_id, "ShouldDecrementDesiredCapacity": False}
            await self._access.change("autoscaling", "terminate_instance_in_auto_scaling_group", **arguments)
        return await self._told(name_of(cluster))

    async def relieve(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """AWS launches another by itself when it gives notice, and drains the node."""
        return await self.get(cluster, tenant)

    async def release(self, cluster: str, tenant: str) -> Cluster:
        """Remove the node group, and then the control plane; until both are gone it is `releasing`: ask again."""
        name = name_of(cluster)
        plane = await self._plane(name)
        state = ClusterState.RELEASED
        if plane is not None:
            self._refuse_others(plane, name, tenant)
            nodes = await self._nodes(name)
            state = ClusterState.RELEASING
            if nodes is not None and nodes.status != "DELETING":
                await self._unless_gone("delete_nodegroup", clusterName=name, nodegroupName=GROUP)
                nodes = await self._nodes(name)
            if nodes is None and plane.status != "DELETING":
                await self._unless_gone("delete_cluster", name=name)
                state = ClusterState.RELEASED if await self._plane(name) is None else state
        return Cluster(id=cluster, pool=self._pool.name, tenant=tenant, form="kubernetes", state=state, wanted=0)

    async def list(self) -> list[Cluster]:
        """Every cluster of this installation; a pool without the role has none."""
        if not self._pool.cluster_role_arn:
            return []
        answer = await self._access.read("eks", "list_clusters")
        names = answer.get("clusters")
        found = [str(each) for each in (names if isinstance(names, list) else []) if cluster_of(str(each))]
        told = [await self._told(name) for name in found]
        return [each for each in told if each.tenant]

    def _plane_of(self, name: str, wanted: ClusterSpec) -> Answer:
        network: Answer = {"subnetIds": list(self._pool.subnet_ids)}
        if self._pool.security_group_ids:
            network["securityGroupIds"] = list(self._pool.security_group_ids)
        made: Answer = {
            "name": name,
            "roleArn": self._pool.cluster_role_arn,
            "resourcesVpcConfig": network,
            "tags": {key: value for key, value in tags_of(self._pool, wanted).items() if value},
        }
        return made | self._token("plane", name)

    def _nodes_of(self, name: str, wanted: ClusterSpec) -> Answer:
        made: Answer = {
            "clusterName": name,
            "nodegroupName": GROUP,
            "scalingConfig": {"minSize": 0, "maxSize": COUNT_MAX, "desiredSize": wanted.count},
            "subnets": list(self._pool.subnet_ids),
            "instanceTypes": [wanted.machine, *wanted.alternatives],
            "nodeRole": self._pool.node_role_arn,
            "capacityType": CLASSES[wanted.price_class],
            "tags": {key: value for key, value in tags_of(self._pool, wanted).items() if value},
        }
        return made | self._token("nodes", name)

    def _token(self, *parts: str) -> Answer:
        return {"clientRequestToken": token(*parts)} if self._access.settings.idempotency_keys else {}

    async def _plane(self, name: str) -> Plane | None:
        try:
            return Plane.model_validate((await self._access.read("eks", "describe_cluster", name=name))["cluster"])
        except NotFound:
            return None

    async def _nodes(self, name: str) -> Nodes | None:
        try:
            answer = await self._access.read("eks", "describe_nodegroup", clusterName=name, nodegroupName=GROUP)
        except NotFound:
            return None
        return Nodes.model_validate(answer["nodegroup"])

    async def _machines(self, name: str) -> Sequence[Instance]:
        ours = {"Name": "tag:eks:cluster-name", "Values": [name]}
        answers = await self._access.read_all("ec2", "describe_instances", "Reservations", Filters=[ours])
        return [each for answer in answers for each in Reservation.model_validate(answer).instances]

    async def _found(self, cluster: str, tenant: str) -> Plane:
        plane = await self._plane(name_of(cluster))
        if plane is None:
            raise unknown(cluster)
        self._refuse_others(plane, name_of(cluster), tenant)
        return plane

    def _refuse_others(self, plane: Plane | None, name: str, tenant: str) -> None:
        if plane is not None and plane.tags.get("lineshaft:tenant", "") not in {"", tenant}:
            raise unknown(name.removeprefix(PREFIX))

    async def _told(self, name: str, count: int = 0) -> Cluster:
        plane, nodes = await self._plane(name), await self._nodes(name)
        tags = plane.tags if plane is not None and plane.tags.get("lineshaft:installation") == self._pool.installation else {}
        state, note = state_of(plane, nodes)
        machines = [each.machine() for each in await self._machines(name) if each.alive] if nodes is not None else []
        return Cluster(
            id=name.removeprefix(PREFIX),
            pool=self._pool.name,
            tenant=tags.get("lineshaft:tenant", ""),
            lease_id=tags.get("lineshaft:lease", ""),
            run_id=tags.get("lineshaft:run", ""),
            form="kubernetes",
            state=state,
            wanted=nodes.scaling_config.desired_size if nodes is not None else count,
            machines=machines,
            note=note,
            created_at=plane.created_at if plane is not None else None,
        )

    async def _unless_gone(self, operation: str, **arguments: object) -> None:
        try:
            await self._access.change("eks", operation, **arguments)
        except NotFound:
            return


def state_of(plane: Plane | None, nodes: Nodes | None) -> tuple[ClusterState, str]:
    """Where both parts together stand, and what is missing."""
    if plane is None:
        return ClusterState.RELEASED, ""
    if "DELETING" in {plane.status, nodes.status if nodes else ""}:
        return ClusterState.RELEASING, "It is being removed; ask for the release again."
    if plane.status == "FAILED" or (nodes is not None and nodes.status in {"CREATE_FAILED", "DELETE_FAILED"}):
        issues = "; ".join(each.message for each in (nodes.health.issues if nodes else []))
        return ClusterState.BROKEN, f"AWS could not make it: {issues or 'see EKS'}."
    if plane.status != "ACTIVE":
        return ClusterState.CREATING, "The control plane is being made; ask again with the same key in some minutes."
    if nodes is None:
        return ClusterState.CREATING, "The node group is still to be made: ask again with the same key."
    issues = "; ".join(each.message for each in nodes.health.issues)
    return (ClusterState.PARTIAL if issues else ClusterState.READY if nodes.status == "ACTIVE" else ClusterState.CREATING), issues


def refuse_without_roles(pool: AwsPool) -> None:
    """Raise InvalidInput unless the pool names what managed clusters need."""
    missing = [name for name in ("cluster_role_arn", "node_role_arn", "subnet_ids") if not getattr(pool, name)]
    if missing:
        raise InvalidInput(
            f"Pool '{pool.name}' makes no Kubernetes clusters: it lacks {', '.join(missing)}.",
            code="not_offered",
            remedy="Make them with the template of 'lineshaft clusters template', and name them in the pools' file.",
        )
