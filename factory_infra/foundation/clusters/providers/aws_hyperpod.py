"""HyperPod clusters of SageMaker: machines that AWS itself watches and replaces. A name is taken once, so no token is needed."""

from collections.abc import Sequence
from datetime import datetime

from factory_infra.errors import InvalidInput, NotFound
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Machine
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws_answers import Tag, Tagged, Told
from factory_infra.foundation.clusters.providers.aws_look import unknown
from factory_infra.foundation.clusters.providers.aws_names import PREFIX, as_list, cluster_of, name_of, tags_of
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.aws_errors import settled

GROUP = "machines"
SCRIPT = "on_create.sh"
STATES = {
    "Creating": ClusterState.CREATING,
    "Updating": ClusterState.CREATING,
    "InService": ClusterState.READY,
    "Deleting": ClusterState.RELEASING,
    "Failed": ClusterState.BROKEN,
    "RollingBack": ClusterState.BROKEN,
}


class Group(Told):
    """A group of machines."""

    current_count: int = 0
    target_count: int = 0
    instance_type: str = ""


class Pod(Told):
    """A HyperPod cluster."""

    cluster_name: str
    cluster_arn: str = ""
    cluster_status: str = ""
    failure_message: str = ""
    creation_time: datetime | None = None
    instance_groups: list[Group] = []


class NodeStatus(Told):
    """How a node is."""

    status: str = ""


class Node(Told):
    """A machine of a HyperPod cluster."""

    instance_id: str
    instance_type: str = ""
    launch_time: datetime | None = None
    instance_status: NodeStatus = NodeStatus()

    def machine(self) -> Machine:
        """The machine in our words."""
        state = {"Running": "running", "ShuttingDown": "stopping", "Failure": "gone"}.get(self.instance_status.status, "pending")
        return Machine(id=self.instance_id, type=self.instance_type.removeprefix("ml."), state=state, launched_at=self.launch_time)


class HyperPodForm:
    """The form of HyperPod."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._pool = access.pool

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """Make the cluster; machines come by and by."""
        if not (self._pool.node_role_arn and self._pool.lifecycle_uri):
            raise InvalidInput(
                f"Pool '{self._pool.name}' makes no HyperPod clusters: it lacks node_role_arn or lifecycle_uri.",
                code="not_offered",
                remedy="Name the role of the machines and the folder of their start scripts in the pools' file.",
            )
        name = name_of(cluster_id(wanted.key, wanted.form))
        if await self._pod(name) is None:
            made: Answer = {
                "ClusterName": name,
                "InstanceGroups": [self._group(wanted.machine, wanted.count)],
                "NodeRecovery": "Automatic",
                "Tags": as_list(tags_of(self._pool, wanted)),
            }
            if self._pool.subnet_ids and self._pool.security_group_ids:
                made["VpcConfig"] = {"Subnets": list(self._pool.subnet_ids), "SecurityGroupIds": list(self._pool.security_group_ids)}
            await settled(self._access.change("sagemaker", "create_cluster", **made))
        return await self.get(name.removeprefix(PREFIX), wanted.tenant)

    async def get(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        found = await self._told(await self._found(cluster))
        if found.tenant not in {"", tenant}:
            raise unknown(cluster)
        return found

    async def scale(self, cluster: str, tenant: str, count: int, key: str) -> Cluster:
        """See Clusters.scale; the number itself is set."""
        known = await self.get(cluster, tenant)
        if known.wanted != count:
            pod = await self._found(cluster)
            machine = pod.instance_groups[0].instance_type.removeprefix("ml.") if pod.instance_groups else ""
            groups = [self._group(machine, count)]
            await self._access.change("sagemaker", "update_cluster", ClusterName=name_of(cluster), InstanceGroups=groups)
        return await self.get(cluster, tenant)

    async def replace(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """Have SageMaker replace a node; one that is gone was replaced already."""
        known = await self.get(cluster, tenant)
        if any(each.id == machine_id for each in known.machines):
            nodes = [machine_id]
            await self._access.change("sagemaker", "batch_replace_cluster_nodes", ClusterName=name_of(cluster), NodeIds=nodes)
        return await self.get(cluster, tenant)

    async def relieve(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """AWS replaces its machines by itself."""
        return await self.get(cluster, tenant)

    async def release(self, cluster: str, tenant: str) -> Cluster:
        """Remove the cluster; until it is gone it is `releasing`."""
        gone = Cluster(id=cluster, pool=self._pool.name, tenant=tenant, form="hyperpod", state=ClusterState.RELEASED, wanted=0)
        try:
            known = await self.get(cluster, tenant)
            if known.state is not ClusterState.RELEASING:
                await self._access.change("sagemaker", "delete_cluster", ClusterName=name_of(cluster))
                known = await self.get(cluster, tenant)
        except NotFound as error:
            if error.error_code == "cluster_unknown" and await self._pod(name_of(cluster)) is not None:
                raise  # another tenant's
            return gone
        return known.model_copy(update={"state": ClusterState.RELEASING, "wanted": 0})

    async def list(self) -> list[Cluster]:
        """Every cluster of this installation; a pool without start scripts has none."""
        if not self._pool.lifecycle_uri:
            return []
        answers = await self._access.read_all("sagemaker", "list_clusters", "ClusterSummaries", NameContains=name_of("hyperpod-"))
        pods = [Pod.model_validate(each) for each in answers]
        told = [await self._told(pod) for each in pods if cluster_of(each.cluster_name) and (pod := await self._pod(each.cluster_name))]
        return [each for each in told if each.tenant]

    def _group(self, machine: str, count: int) -> Answer:
        return {
            "InstanceGroupName": GROUP,
            "InstanceType": f"ml.{machine}",
            "InstanceCount": count,
            "LifeCycleConfig": {"SourceS3Uri": self._pool.lifecycle_uri, "OnCreate": SCRIPT},
            "ExecutionRole": self._pool.node_role_arn,
            "ThreadsPerCore": 1,
        }

    async def _pod(self, name: str) -> Pod | None:
        try:
            return Pod.model_validate(await self._access.read("sagemaker", "describe_cluster", ClusterName=name))
        except NotFound:
            return None

    async def _found(self, cluster: str) -> Pod:
        pod = await self._pod(name_of(cluster))
        if pod is None:
            raise unknown(cluster)
        return pod

    async def _told(self, pod: Pod) -> Cluster:
        answers = await self._access.read_all("sagemaker", "list_tags", "Tags", ResourceArn=pod.cluster_arn)
        tags = Tagged(tags=[Tag.model_validate(each) for each in answers])
        ours = tags if tags.tag("installation") == self._pool.installation else Tagged()
        nodes = await self._access.read_all("sagemaker", "list_cluster_nodes", "ClusterNodeSummaries", ClusterName=pod.cluster_name)
        wanted = sum(each.target_count or each.current_count for each in pod.instance_groups)
        machines: Sequence[Machine] = [Node.model_validate(each).machine() for each in nodes]
        return Cluster(
            id=pod.cluster_name.removeprefix(PREFIX),
            pool=self._pool.name,
            tenant=ours.tag("tenant"),
            lease_id=ours.tag("lease"),
            run_id=ours.tag("run"),
            form="hyperpod",
            state=STATES.get(pod.cluster_status, ClusterState.CREATING),
            wanted=wanted,
            machines=list(machines),
            note=pod.failure_message,
            created_at=pod.creation_time,
        )
