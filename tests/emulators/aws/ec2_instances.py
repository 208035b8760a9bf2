"""EC2: DescribeInstances by itself, for moto's own takes most of a test's time. What is too new is not shown."""

import re
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from moto.ec2.models import ec2_backends

from tests.emulators.aws.world import FROM_MOTO, Answer, Request, World, answering

FIELDS = {
    "instanceId": "id",
    "imageId": "image_id",
    "instanceType": "instance_type",
    "keyName": "key_name",
    "privateIpAddress": "private_ip",
    "ipAddress": "public_ip",
    "privateDnsName": "private_dns_name",
    "subnetId": "subnet_id",
    "vpcId": "vpc_id",
    "architecture": "architecture",
    "instanceLifecycle": "instance_lifecycle",
    "spotInstanceRequestId": "spot_instance_request_id",
    "capacityReservationId": "capacity_reservation_id",
    "clientToken": "client_token",
}
SPACE = "http:" + "//ec2.amazonaws.com/doc/2016-11-15/"


def plug(world: World) -> None:
    """Answer DescribeInstances."""
    world.handlers["ec2", "DescribeInstances"] = describe_instances


def describe_instances(world: World, call: Request) -> Answer | object:
    """Every machine that the filters let through, in one page."""
    if call.temporary:
        return FROM_MOTO
    fields = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
    ids = [value for name, value in fields.items() if re.fullmatch(r"InstanceId\.\d+", name)]
    filters = _filters(fields)
    items = []
    with answering(world):
        for reservation in list(ec2_backends[call.account][call.region].reservations.values()):
            shown = [each for each in reservation.instances if _shown(world, each) and (not ids or each.id in ids)]
            xml = "".join(_xml(each, tags) for each in shown if _passes(each, tags := _tags(each), filters))
            if xml:
                items.append(f"<item><reservationId>{reservation.id}</reservationId><instancesSet>{xml}</instancesSet></item>")
    if ids and not items and not filters:
        return Answer(f"The instance IDs '{', '.join(ids)}' do not exist", code="InvalidInstanceID.NotFound")
    body = f'<DescribeInstancesResponse xmlns="{SPACE}"><reservationSet>{"".join(items)}</reservationSet></DescribeInstancesResponse>'
    return Answer(body, headers={"Content-Type": "text/xml"})


def _filters(fields: dict[str, str]) -> dict[str, set[str]]:
    names = {name.split(".")[1]: value for name, value in fields.items() if re.fullmatch(r"Filter\.\d+\.Name", name)}
    found: dict[str, set[str]] = {value: set() for value in names.values()}
    for name, value in fields.items():
        if part := re.fullmatch(r"Filter\.(\d+)\.Value\.\d+", name):
            found[names[part[1]]].add(value)
    return found


def _shown(world: World, machine: Any) -> bool:
    return bool(world.now() - machine.__dict__["_born"] >= world.seen_after_seconds)


def _tags(machine: Any) -> dict[str, str]:
    found: dict[str, str] = machine.ec2_backend.tags.get(machine.id, {})
    return found


def _passes(machine: Any, tags: dict[str, str], filters: dict[str, set[str]]) -> bool:
    for name, values in filters.items():
        if name.startswith("tag:"):
            value: str | None = tags.get(name[4:])
        elif name in {"instance-state-name", "instance-id", "instance-type", "subnet-id"}:
            read = {"instance-state-name": "state", "instance-id": "id"}.get(name, name.replace("-", "_"))
            value = getattr(machine, read)
        else:
            raise NotImplementedError(f"the filter {name} of DescribeInstances")
        if value not in values:
            return False
    return True


def _xml(machine: Any, tags: dict[str, str]) -> str:
    told = "".join(
        f"<{name}>{escape(str(value))}</{name}>" for name, attribute in FIELDS.items() if (value := getattr(machine, attribute, None))
    )
    state = f"<instanceState><code>{machine.state_code}</code><name>{machine.state}</name></instanceState>"
    place = machine.placement
    group = f"<groupName>{escape(place.group_name)}</groupName>" if place.group_name else ""
    where = f"<placement><availabilityZone>{place.zone}</availabilityZone>{group}<tenancy>default</tenancy></placement>"
    begun = f"<launchTime>{machine.launch_time.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z</launchTime>"
    labels = "".join(f"<item><key>{escape(key)}</key><value>{escape(value)}</value></item>" for key, value in tags.items())
    return f"<item>{told}{state}{where}{begun}<tagSet>{labels}</tagSet></item>"
