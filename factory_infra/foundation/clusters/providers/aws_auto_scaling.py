"""Auto Scaling groups with mixed instances: AWS keeps the number up by itself. Names are taken once, so no token is needed."""

from datetime import datetime

from pydantic import Field

from factory_infra.errors import CapacityExceeded, Conflict, NotFound, Unavailable
from factory_infra.foundation.clusters.models import Cluster, ClusterSpec, ClusterState, Machine
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws_answers import MachineType, Tagged, Told
from factory_infra.foundation.clusters.providers.aws_look import unknown
from factory_infra.foundation.clusters.providers.aws_names import PREFIX, as_list, cluster_of, name_of, tags_of
from factory_infra.foundation.clusters.providers.aws_template import template_data
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.aws_errors import settled

COUNT_MAX = 1000
GOING = "Delete in progress"


class Member(Told):
    """A machine of a group."""

    instance_id: str
    instance_type: str = ""
    availability_zone: str = ""
    lifecycle_state: str = ""

    def machine(self) -> Machine:
        """The machine in our words."""
        state = "running" if self.lifecycle_state == "InService" else "stopping" if "Terminat" in self.lifecycle_state else "pending"
        return Machine(id=self.instance_id, type=self.instance_type, state=state, zone=self.availability_zone)


class Group(Tagged):
    """A group."""

    auto_scaling_group_name: str
    desired_capacity: int = 0
    created_time: datetime | None = None
    instances: list[Member] = []
    status: str = Field(default="")


class AutoScalingForm:
    """The form of Auto Scaling groups."""

    def __init__(self, access: AwsAccess) -> None:
        self._access = access
        self._pool = access.pool

    async def provision(self, wanted: ClusterSpec) -> Cluster:
        """Make the template and the group. Machines come by and by; what AWS could not launch stands in `note`."""
        name = name_of(cluster_id(wanted.key, wanted.form))
        group = await self._group(name)
        if group is None:
            await self._make(name, wanted)
            group = await self._group(name)
        if group is None:
            raise Unavailable(f"AWS does not show the group {name} yet.", remedy="Ask again with the same key.")
        self._refuse_others(group, wanted.tenant)
        return await self._told(group)

    async def get(self, cluster: str, tenant: str) -> Cluster:
        """See Clusters.get."""
        return await self._told(await self._found(cluster, tenant))

    async def list(self) -> list[Cluster]:
        """Every group of this installation."""
        ours = {"Name": "tag:lineshaft:installation", "Values": [self._pool.installation]}
        answers = await self._access.read_all("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", Filters=[ours])
        groups = [Group.model_validate(each) for each in answers]
        return [self._cluster(each, "") for each in groups if cluster_of(each.auto_scaling_group_name)]

    async def scale(self, cluster: str, tenant: str, count: int, key: str) -> Cluster:
        """See Clusters.scale; the number itself is what is set, so the same call is the same effect."""
        group = await self._found(cluster, tenant)
        name = group.auto_scaling_group_name
        if group.desired_capacity != count:
            await self._access.change("autoscaling", "set_desired_capacity", AutoScalingGroupName=name, DesiredCapacity=count)
        return await self.get(cluster, tenant)

    async def replace(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """End a machine of the group, which launches another; one that is gone was replaced already."""
        group = await self._found(cluster, tenant)
        if any(each.instance_id == machine_id and "Terminat" not in each.lifecycle_state for each in group.instances):
            arguments = {"InstanceId": machine_id, "ShouldDecrementDesiredCapacity": False}
            await self._access.change("autoscaling", "terminate_instance_in_auto_scaling_group", **arguments)
        return await self.get(cluster, tenant)

    async def relieve(self, cluster: str, tenant: str, machine_id: str, key: str) -> Cluster:
        """AWS launches another by itself when it gives notice (CapacityRebalance)."""
        return await self.get(cluster, tenant)

    async def release(self, cluster: str, tenant: str) -> Cluster:
        """Remove the group with its machines, and the template."""
        name = name_of(cluster)
        group = await self._group(name)
        if group is not None:
            self._refuse_others(group, tenant)
            if group.status != GOING:
                await self._unless_gone("autoscaling", "delete_auto_scaling_group", AutoScalingGroupName=name, ForceDelete=True)
        await self._unless_gone("ec2", "delete_launch_template", LaunchTemplateName=name)
        left = await self._group(name)
        state = ClusterState.RELEASED if left is None else ClusterState.RELEASING
        return Cluster(id=cluster, pool=self._pool.name, tenant=tenant, form="auto_scaling", state=state, wanted=0)

    async def _make(self, name: str, wanted: ClusterSpec) -> None:
        types = await self._access.read_all("ec2", "describe_instance_types", "InstanceTypes", InstanceTypes=[wanted.machine])
        tags = tags_of(self._pool, wanted)
        await settled(
            self._access.change(
                "ec2",
                "create_launch_template",
                LaunchTemplateName=name,
                LaunchTemplateData=template_data(self._pool, wanted, MachineType.model_validate(types[0]))
                | {"InstanceType": wanted.machine},
                TagSpecifications=[{"ResourceType": "launch-template", "Tags": as_list(tags)}],
            )
        )
        group: Answer = {
            "AutoScalingGroupName": name,
            "MinSize": 0,
            "MaxSize": COUNT_MAX,
            "DesiredCapacity": wanted.count,
            "MixedInstancesPolicy": mixed(name, wanted),
            "CapacityRebalance": wanted.price_class == "spot",
            "Tags": [{**tag, "PropagateAtLaunch": True} for tag in as_list(tags)],
        }
        if self._pool.subnet_ids:
            group["VPCZoneIdentifier"] = ",".join(self._pool.subnet_ids)
        else:
            zones = (await self._access.read("ec2", "describe_availability_zones")).get("AvailabilityZones")
            group["AvailabilityZones"] = [str(each["ZoneName"]) for each in (zones if isinstance(zones, list) else [])]
        await settled(self._access.change("autoscaling", "create_auto_scaling_group", **group))

    async def _group(self, name: str) -> Group | None:
        answers = await self._access.read_all(
            "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", AutoScalingGroupNames=[name]
        )
        return Group.model_validate(answers[0]) if answers else None

    async def _found(self, cluster: str, tenant: str) -> Group:
        group = await self._group(name_of(cluster))
        if group is None:
            raise unknown(cluster)
        self._refuse_others(group, tenant)
        return group

    def _refuse_others(self, group: Group, tenant: str) -> None:
        if group.tag("tenant") not in {"", tenant}:
            raise unknown(group.auto_scaling_group_name.removeprefix(PREFIX))

    async def _told(self, group: Group) -> Cluster:
        """The cluster, with what the group could not launch lately."""
        if sum(each.lifecycle_state == "InService" for each in group.instances) >= group.desired_capacity:
            return self._cluster(group, "")
        name = group.auto_scaling_group_name
        lately = await self._access.read("autoscaling", "describe_scaling_activities", AutoScalingGroupName=name, MaxRecords=10)
        activities = lately.get("Activities")
        failed = [each for each in (activities if isinstance(activities, list) else []) if each.get("StatusCode") == "Failed"]
        return self._cluster(group, str(failed[0].get("StatusMessage", ""))[:300] if failed else "")

    def _cluster(self, group: Group, note: str) -> Cluster:
        machines = [each.machine() for each in group.instances]
        ready = sum(each.state == "running" for each in machines)
        state = ClusterState.READY if ready >= group.desired_capacity else ClusterState.PARTIAL if machines else ClusterState.CREATING
        return Cluster(
            id=group.auto_scaling_group_name.removeprefix(PREFIX),
            pool=self._pool.name,
            tenant=group.tag("tenant"),
            lease_id=group.tag("lease"),
            run_id=group.tag("run"),
            form="auto_scaling",
            state=ClusterState.RELEASING if group.status == GOING else state,
            wanted=group.desired_capacity,
            machines=machines,
            note=note,
            created_at=group.created_time,
        )

    async def _unless_gone(self, service: str, operation: str, **arguments: object) -> None:
        try:
            await self._access.change(service, operation, **arguments)
        except NotFound:
            return
        except (Conflict, CapacityExceeded) as error:
            raise Unavailable(error.reason, remedy="Ask again: it is being removed.") from error


def mixed(name: str, wanted: ClusterSpec) -> Answer:
    """Which types, and how spot and on demand are mixed: all of one class."""
    spot = wanted.price_class == "spot"
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Default"},
            "Overrides": [{"InstanceType": each} for each in (wanted.machine, *wanted.alternatives)],
        },
        "InstancesDistribution": {
            "OnDemandBaseCapacity": 0,
            "OnDemandPercentageAboveBaseCapacity": 0 if spot else 100,
            "OnDemandAllocationStrategy": "prioritized",
            "SpotAllocationStrategy": "price-capacity-optimized",
        },
    }
