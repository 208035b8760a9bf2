"""SageMaker's HyperPod clusters: made, scaled, with nodes that can be replaced. moto's own are never more than a record."""

import itertools
from datetime import UTC, datetime
from typing import Any

from tests.emulators.aws.world import FROM_MOTO, Answer, Json, Request, World

NUMBERS = itertools.count(1)


def plug(world: World) -> None:
    """Answer the calls about clusters."""
    world.extra["hyperpod"] = {}
    for action, handler in (
        ("CreateCluster", _create),
        ("DescribeCluster", _describe),
        ("UpdateCluster", _update),
        ("DeleteCluster", _delete),
        ("ListClusters", _list),
        ("ListClusterNodes", _nodes),
        ("BatchReplaceClusterNodes", _replace),
        ("ListTags", _tags),
    ):
        world.handlers["sagemaker", action] = handler


def _clusters(world: World) -> dict[str, Json]:
    found: dict[str, Json] = world.extra["hyperpod"]
    return found


def _missing(name: str) -> Answer:
    return Answer(f"Could not find cluster '{name}'.", code="ResourceNotFound")


def _fill(cluster: Json) -> None:
    """As many nodes as each group has."""
    for group in cluster["groups"]:
        mine = [node for node in cluster["nodes"] if node["InstanceGroupName"] == group["InstanceGroupName"]]
        for node in mine[group["InstanceCount"] :]:
            cluster["nodes"].remove(node)
        for _ in range(group["InstanceCount"] - len(mine)):
            cluster["nodes"].append(_node(group))


def _node(group: Json) -> Json:
    return {
        "InstanceGroupName": group["InstanceGroupName"],
        "InstanceId": f"i-{next(NUMBERS):017x}",
        "InstanceType": group["InstanceType"],
        "LaunchTime": datetime.now(UTC).timestamp(),
        "InstanceStatus": {"Status": "Running"},
    }


def _create(world: World, call: Request) -> Answer:
    asked = call.json()
    name = asked["ClusterName"]
    if name in _clusters(world):
        return Answer(f"Cluster '{name}' exists.", code="ResourceInUse")
    arn = f"arn:aws:sagemaker:{call.region}:{call.account}:cluster/{next(NUMBERS):012x}"
    cluster = {
        "arn": arn,
        "groups": asked["InstanceGroups"],
        "nodes": [],
        "tags": asked.get("Tags", []),
        "made": datetime.now(UTC).timestamp(),
    }
    _fill(cluster)
    _clusters(world)[name] = cluster
    return Answer({"ClusterArn": arn})


def _describe(world: World, call: Request) -> Answer:
    name = call.json()["ClusterName"]
    cluster = _clusters(world).get(name)
    if cluster is None:
        return _missing(name)
    groups = [
        {
            "InstanceGroupName": each["InstanceGroupName"],
            "InstanceType": each["InstanceType"],
            "CurrentCount": each["InstanceCount"],
            "TargetCount": each["InstanceCount"],
        }
        for each in cluster["groups"]
    ]
    told = {"ClusterArn": cluster["arn"], "ClusterName": name, "ClusterStatus": "InService", "CreationTime": cluster["made"]}
    return Answer({**told, "InstanceGroups": groups})


def _update(world: World, call: Request) -> Answer:
    asked = call.json()
    cluster = _clusters(world).get(asked["ClusterName"])
    if cluster is None:
        return _missing(asked["ClusterName"])
    cluster["groups"] = asked["InstanceGroups"]
    _fill(cluster)
    return Answer({"ClusterArn": cluster["arn"]})


def _delete(world: World, call: Request) -> Answer:
    cluster = _clusters(world).pop(call.json()["ClusterName"], None)
    return _missing(call.json()["ClusterName"]) if cluster is None else Answer({"ClusterArn": cluster["arn"]})


def _list(world: World, call: Request) -> Answer:
    part = call.json().get("NameContains", "")
    found: list[dict[str, Any]] = [
        {"ClusterArn": each["arn"], "ClusterName": name, "ClusterStatus": "InService", "CreationTime": each["made"]}
        for name, each in _clusters(world).items()
        if part in name
    ]
    return Answer({"ClusterSummaries": found})


def _nodes(world: World, call: Request) -> Answer:
    cluster = _clusters(world).get(call.json()["ClusterName"])
    return _missing(call.json()["ClusterName"]) if cluster is None else Answer({"ClusterNodeSummaries": cluster["nodes"]})


def _replace(world: World, call: Request) -> Answer:
    asked = call.json()
    cluster, done = _clusters(world)[asked["ClusterName"]], []
    for place, node in enumerate(cluster["nodes"]):
        if node["InstanceId"] in asked["NodeIds"]:
            done.append(node["InstanceId"])
            cluster["nodes"][place] = _node(node)
    return Answer({"Successful": done, "Failed": []})


def _tags(world: World, call: Request) -> Answer | object:
    arn = call.json()["ResourceArn"]
    found = next((each for each in _clusters(world).values() if each["arn"] == arn), None)
    return FROM_MOTO if found is None else Answer({"Tags": found["tags"]})
