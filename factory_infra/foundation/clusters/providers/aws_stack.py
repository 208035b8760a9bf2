"""What is long-lived, as CloudFormation: made by a person or a pipeline once, read before it is made. Connects nowhere."""

import re
from typing import TYPE_CHECKING

from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws_names import name_of, tags_of
from factory_infra.foundation.pools.spec import AwsPool

if TYPE_CHECKING:
    from troposphere import Template

ZONES = 2
MANAGED = "arn:${AWS::Partition}:iam::aws:policy/"
PLANE_POLICIES = ("AmazonEKSClusterPolicy",)
NODE_POLICIES = (
    "AmazonEKSWorkerNodePolicy",
    "AmazonEKS_CNI_Policy",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonSSMManagedInstanceCore",
    "service-role/AmazonEC2ContainerServiceforEC2Role",
)


def template(pool: AwsPool, wanted: ClusterSpec) -> str:
    """The template (JSON): the network, the bucket, the roles and Batch's environment; for the form `kubernetes` EKS with its nodes too.

    What a lease makes and removes (fleets) is in no template. Outputs are named as the pool's fields that take them.
    """
    from troposphere import Tags, Template  # noqa: PLC0415 - heavy, paid only by who uses it

    name = name_of(cluster_id(wanted.key, wanted.form))
    stack = Template(Description=f"Lineshaft: what is long-lived of pool {pool.name} ({wanted.form}).")
    tags = Tags(**{key: value for key, value in tags_of(pool, wanted).items() if value})
    _network(stack, tags)
    _bucket(stack, tags)
    _roles(stack, tags)
    _batch(stack, re.sub(r"[^A-Za-z0-9_-]", "-", f"lineshaft-{pool.name}"))
    if wanted.form == "kubernetes":
        _kubernetes(stack, name, wanted, tags)
    return str(stack.to_json(indent=1))


def _network(stack: "Template", tags: object) -> None:
    """A network of its own: two zones, a way out, a gateway for S3, and a group whose machines reach each other (EFA asks for it)."""
    from troposphere import Export, GetAZs, Output, Ref, Select, Sub, ec2  # noqa: F401, PLC0415 - heavy

    vpc = stack.add_resource(ec2.VPC("Network", CidrBlock="10.40.0.0/16", EnableDnsHostnames=True, EnableDnsSupport=True, Tags=tags))
    gateway = stack.add_resource(ec2.InternetGateway("Gateway", Tags=tags))
    attached = stack.add_resource(ec2.VPCGatewayAttachment("GatewayAttached", VpcId=Ref(vpc), InternetGatewayId=Ref(gateway)))
    table = stack.add_resource(ec2.RouteTable("Routes", VpcId=Ref(vpc), Tags=tags))
    stack.add_resource(
        ec2.Route("WayOut", RouteTableId=Ref(table), DestinationCidrBlock="0.0.0.0/0", GatewayId=Ref(gateway), DependsOn=attached.title)
    )
    for zone in range(ZONES):
        subnet = stack.add_resource(
            ec2.Subnet(
                f"Subnet{zone}",
                VpcId=Ref(vpc),
                CidrBlock=f"10.40.{zone * 64}.0/18",
                AvailabilityZone=Select(zone, GetAZs("")),
                MapPublicIpOnLaunch=True,
                Tags=tags,
            )
        )
        stack.add_resource(ec2.SubnetRouteTableAssociation(f"SubnetRoutes{zone}", SubnetId=Ref(subnet), RouteTableId=Ref(table)))
    stack.add_resource(
        ec2.VPCEndpoint(
            "BucketGateway",
            VpcId=Ref(vpc),
            ServiceName=Sub("com.amazonaws.${AWS::Region}.s3"),
            RouteTableIds=[Ref(table)],
            VpcEndpointType="Gateway",
        )
    )
    group = stack.add_resource(ec2.SecurityGroup("Machines", GroupDescription="Machines of Lineshaft", VpcId=Ref(vpc), Tags=tags))
    inside = {"GroupId": Ref(group), "IpProtocol": "-1"}
    stack.add_resource(ec2.SecurityGroupIngress("FromEachOther", SourceSecurityGroupId=Ref(group), **inside))
    stack.add_resource(ec2.SecurityGroupEgress("ToEachOther", DestinationSecurityGroupId=Ref(group), **inside))
    stack.add_output(Output("SubnetIds", Value=Sub(",".join(f"${{Subnet{zone}}}" for zone in range(ZONES))), Description="subnet_ids"))
    stack.add_output(Output("SecurityGroupIds", Value=Ref(group), Description="security_group_ids"))


def _bucket(stack: "Template", tags: object) -> None:
    """Where jobs' inputs, results and checkpoints lie: closed to the public, encrypted, kept when the stack goes."""
    from troposphere import Output, Ref, s3  # noqa: PLC0415 - heavy

    closed = s3.PublicAccessBlockConfiguration(
        BlockPublicAcls=True, BlockPublicPolicy=True, IgnorePublicAcls=True, RestrictPublicBuckets=True
    )
    rule = s3.ServerSideEncryptionRule(
        ServerSideEncryptionByDefault=s3.ServerSideEncryptionByDefault(SSEAlgorithm="AES256"), BucketKeyEnabled=True
    )
    unfinished = s3.LifecycleRule(
        Id="unfinished", Status="Enabled", AbortIncompleteMultipartUpload=s3.AbortIncompleteMultipartUpload(DaysAfterInitiation=7)
    )
    bucket = stack.add_resource(
        s3.Bucket(
            "Bucket",
            PublicAccessBlockConfiguration=closed,
            BucketEncryption=s3.BucketEncryption(ServerSideEncryptionConfiguration=[rule]),
            LifecycleConfiguration=s3.LifecycleConfiguration(Rules=[unfinished]),
            DeletionPolicy="Retain",
            UpdateReplacePolicy="Retain",
            Tags=tags,
        )
    )
    stack.add_output(Output("BucketName", Value=Ref(bucket), Description="bucket"))


def _roles(stack: "Template", tags: object) -> None:
    """Roles of the control plane, of machines, and of jobs, which reach the bucket and nothing else."""
    from troposphere import GetAtt, Output, Ref, Sub, iam  # noqa: PLC0415 - heavy

    def trusted(service: str) -> dict[str, object]:
        allow = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        return {"Version": "2012-10-17", "Statement": [allow]}

    def managed(names: tuple[str, ...]) -> list[object]:
        return [Sub(MANAGED + name) for name in names]

    store = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "Resource": Sub("${Bucket.Arn}/*")},
            {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": GetAtt("Bucket", "Arn")},
        ],
    }
    reach = [iam.Policy(PolicyName="bucket", PolicyDocument=store)]
    stack.add_resource(
        iam.Role("PlaneRole", AssumeRolePolicyDocument=trusted("eks.amazonaws.com"), ManagedPolicyArns=managed(PLANE_POLICIES), Tags=tags)
    )
    stack.add_resource(
        iam.Role(
            "NodeRole",
            AssumeRolePolicyDocument=trusted("ec2.amazonaws.com"),
            ManagedPolicyArns=managed(NODE_POLICIES),
            Policies=reach,
            Tags=tags,
        )
    )
    stack.add_resource(iam.Role("JobRole", AssumeRolePolicyDocument=trusted("ecs-tasks.amazonaws.com"), Policies=reach, Tags=tags))
    profile = stack.add_resource(iam.InstanceProfile("MachineProfile", Roles=[Ref("NodeRole")]))
    for output, role, field in (
        ("ClusterRoleArn", "PlaneRole", "cluster_role_arn"),
        ("NodeRoleArn", "NodeRole", "node_role_arn"),
        ("JobRoleArn", "JobRole", "job_role_arn"),
    ):
        stack.add_output(Output(output, Value=GetAtt(role, "Arn"), Description=field))
    stack.add_output(Output("InstanceProfileArn", Value=GetAtt(profile, "Arn"), Description="instance_profile_arn"))


def _batch(stack: "Template", name: str) -> None:
    """Batch without machines of its own: an unmanaged environment that leased machines join, and its queue."""
    from troposphere import GetAtt, Output, Ref, batch  # noqa: PLC0415 - heavy

    environment = stack.add_resource(
        batch.ComputeEnvironment(
            "Environment", ComputeEnvironmentName=f"{name}-leased", Type="UNMANAGED", State="ENABLED", UnmanagedvCpus=1_000_000
        )
    )
    order = [batch.ComputeEnvironmentOrder(ComputeEnvironment=Ref(environment), Order=1)]
    queue = stack.add_resource(
        batch.JobQueue("Queue", JobQueueName=f"{name}-leased", Priority=1, State="ENABLED", ComputeEnvironmentOrder=order)
    )
    stack.add_output(Output("BatchQueue", Value=Ref(queue), Description="batch_queue"))
    stack.add_output(
        Output("BatchEnvironment", Value=GetAtt(environment, "ComputeEnvironmentArn"), Description="its ECS cluster: batch_cluster")
    )


def _kubernetes(stack: "Template", name: str, wanted: ClusterSpec, tags: object) -> None:
    """A control plane and its node group."""
    from troposphere import GetAtt, Ref, eks  # noqa: PLC0415 - heavy

    subnets = [Ref(f"Subnet{zone}") for zone in range(ZONES)]
    plane = stack.add_resource(
        eks.Cluster(
            "Plane",
            Name=name,
            RoleArn=GetAtt("PlaneRole", "Arn"),
            ResourcesVpcConfig=eks.ResourcesVpcConfig(SubnetIds=subnets, SecurityGroupIds=[Ref("Machines")]),
        )
    )
    stack.add_resource(
        eks.Nodegroup(
            "Nodes",
            ClusterName=Ref(plane),
            NodegroupName="machines",
            NodeRole=GetAtt("NodeRole", "Arn"),
            Subnets=subnets,
            InstanceTypes=[wanted.machine, *wanted.alternatives],
            CapacityType="SPOT" if wanted.price_class == "spot" else "ON_DEMAND",
            ScalingConfig=eks.ScalingConfig(MinSize=0, MaxSize=max(wanted.count, 1), DesiredSize=wanted.count),
        )
    )
    plane.Tags = tags
