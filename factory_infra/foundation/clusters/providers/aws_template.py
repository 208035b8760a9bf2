"""The launch template of a fleet: image, network cards, metadata service, reservation, start script."""

import base64
import json

from factory_infra.foundation.clusters.models import ClusterSpec
from factory_infra.foundation.clusters.naming import cluster_id
from factory_infra.foundation.clusters.providers.aws_answers import MachineType
from factory_infra.foundation.clusters.providers.aws_names import as_list, name_of, tags_of
from factory_infra.foundation.pools.aws import Answer
from factory_infra.foundation.pools.spec import AwsPool

DEEP_LEARNING = "resolve:ssm:/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
NEURON = "resolve:ssm:/aws/service/neuron/dlami/base/ubuntu-22.04/latest/image_id"
ECS = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023{variant}/recommended/image_id"
HOPS = 2
"""Of the metadata service's answers: a container is one further than its host."""


def image_of(pool: AwsPool, machine: MachineType) -> str:
    """The pool's image, else AWS's newest for what the machine has; in Batch's cluster the one with its agent."""
    if pool.image_id:
        return pool.image_id
    if pool.batch_cluster:
        variant = "/neuron" if machine.neuron else "/gpu" if machine.gpu_info else "/arm64" if machine.arm else ""
        return ECS.format(variant=variant)
    return NEURON if machine.neuron else DEEP_LEARNING.format(arch="arm64" if machine.arm else "x86_64")


def user_data(pool: AwsPool, wanted: ClusterSpec) -> str:
    """The start script, in base64: it joins the ECS cluster of Batch's unmanaged environment, where the pool names one."""
    if not pool.batch_cluster:
        return ""
    attributes = {"lineshaft.lease": wanted.lease_id or "none", "lineshaft.tenant": wanted.tenant}
    lines = [
        "#!/bin/bash",
        "cat >> /etc/ecs/ecs.config <<'END'",
        f"ECS_CLUSTER={pool.batch_cluster.rsplit('/', 1)[-1]}",
        "ECS_ENABLE_GPU_SUPPORT=true",
        "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true",
        f"ECS_INSTANCE_ATTRIBUTES={json.dumps(attributes)}",
        "END",
    ]
    return base64.b64encode("\n".join([*lines, ""]).encode()).decode()


def template_data(pool: AwsPool, wanted: ClusterSpec, machine: MachineType) -> Answer:
    """What the template holds. The second version of the metadata service only: the first can be tricked by a request forgery."""
    tags = as_list(tags_of(pool, wanted))
    data: Answer = {
        "ImageId": image_of(pool, machine),
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": HOPS, "InstanceMetadataTags": "disabled"},
        "TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in ("volume", "network-interface")],
    }
    if pool.instance_profile_arn:
        data["IamInstanceProfile"] = {"Arn": pool.instance_profile_arn}
    if script := user_data(pool, wanted):
        data["UserData"] = script
    if wanted.topology == "rack":
        data["Placement"] = {"GroupName": name_of(cluster_id(wanted.key, wanted.form))}
    if wanted.reservation_id:
        data["CapacityReservationSpecification"] = {"CapacityReservationTarget": {"CapacityReservationId": wanted.reservation_id}}
    if wanted.price_class == "capacity_block":
        data["InstanceMarketOptions"] = {"MarketType": "capacity-block"}
    if wanted.topology == "rack" and machine.efa_interfaces:
        data["NetworkInterfaces"] = efa_cards(pool, machine.efa_interfaces)
    elif pool.security_group_ids:
        data["SecurityGroupIds"] = list(pool.security_group_ids)
    return data


def efa_cards(pool: AwsPool, count: int) -> list[Answer]:
    """One interface a network card: the first carries addresses too, the others nothing but EFA. All lie in the first subnet."""
    cards: list[Answer] = []
    for index in range(count):
        card: Answer = {
            "NetworkCardIndex": index,
            "DeviceIndex": min(index, 1),
            "InterfaceType": "efa" if index == 0 else "efa-only",
            "DeleteOnTermination": True,
        }
        if pool.security_group_ids:
            card["Groups"] = list(pool.security_group_ids)
        if pool.subnet_ids:
            card["SubnetId"] = pool.subnet_ids[0]
        cards.append(card)
    return cards
