"""EC2: capacity reservations and blocks, placement groups."""

import uuid
from datetime import timedelta
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError

from tests.emulators.aws.world import Json, World, present


def target(data: Json) -> str:
    """The reservation that a launch template names."""
    named = (data.get("CapacityReservationSpecification") or {}).get("CapacityReservationTarget") or {}
    return str(named.get("CapacityReservationId") or "")


def reserved(world: World, data: Json) -> int | None:
    """How much is free in the reservation that is named; None where none is."""
    name = target(data)
    if not name:
        return None
    if name not in world.reservations:
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", f"The capacity reservation '{name}' does not exist.")
    found = world.reservations[name]
    return int(found["AvailableInstanceCount"]) if found["State"] == "active" else 0


def take(world: World, machine: Any, data: Json) -> None:
    """A machine takes its place in a reservation and in a placement group."""
    name = target(data)
    machine.capacity_reservation_id = name or None
    if name:
        world.reservations[name]["AvailableInstanceCount"] -= 1
    machine.placement.group_name = (data.get("Placement") or {}).get("GroupName") or ""


def give_back(world: World, machine: Any) -> None:
    """A machine leaves its reservation."""
    name = getattr(machine, "capacity_reservation_id", None)
    if name and name in world.reservations:
        world.reservations[name]["AvailableInstanceCount"] += 1


def _reservation(self: Any, count: int, **more: Any) -> Json:
    made = {
        "CapacityReservationId": f"cr-{uuid.uuid4().hex[:17]}",
        "OwnerId": self.current_account,
        "InstancePlatform": "Linux/UNIX",
        "TotalInstanceCount": count,
        "AvailableInstanceCount": count,
        "State": "active",
        "StartDate": utcnow(),
        "CreateDate": utcnow(),
        "Tags": [],
        **more,
    }
    present().reservations[made["CapacityReservationId"]] = made
    return made


def create_capacity_reservation(self: Any) -> Any:
    """CreateCapacityReservation: once for each token."""
    world = present()

    def make() -> Any:
        kind, zone = self._get_param("InstanceType"), self._get_param("AvailabilityZone") or f"{self.region}a"
        count, free = int(self._get_param("InstanceCount")), world.free(kind, zone)
        if free is not None and free < count:
            raise EC2ClientError("InsufficientInstanceCapacity", f"Insufficient capacity of {kind}.")
        tags = [each for spec in self._get_param("TagSpecifications", []) for each in spec.get("Tags", [])]
        made = _reservation(self, count, InstanceType=kind, AvailabilityZone=zone, Tags=tags, ReservationType="default")
        return ActionResult({"CapacityReservation": dict(made)})

    token = self._get_param("ClientToken") or ""
    key, signature = (
        (self.region, "CreateCapacityReservation", token),
        f"{self._get_param('InstanceType')}/{self._get_param('InstanceCount')}",
    )
    return world.once(key, signature, make, lambda: EC2ClientError("IdempotentParameterMismatch", "The token was used before."))


def describe_capacity_reservations(self: Any) -> Any:
    """DescribeCapacityReservations."""
    ids, filters = self._get_param("CapacityReservationIds", []), self._filters_from_querystring()
    found = [each for each in present().reservations.values() if not ids or each["CapacityReservationId"] in ids]
    states, kinds = filters.get("state"), filters.get("instance-type")
    found = [each for each in found if (not states or each["State"] in states) and (not kinds or each["InstanceType"] in kinds)]
    return ActionResult({"CapacityReservations": found})


def cancel_capacity_reservation(self: Any) -> Any:
    """CancelCapacityReservation."""
    name = self._get_param("CapacityReservationId")
    if name not in present().reservations:
        raise EC2ClientError("InvalidCapacityReservationId.NotFound", f"The capacity reservation '{name}' does not exist.")
    present().reservations[name]["State"] = "cancelled"
    return ActionResult({"Return": True})


def describe_capacity_block_offerings(self: Any) -> Any:
    """DescribeCapacityBlockOfferings: one, tomorrow."""
    hours, kind = int(self._get_param("CapacityDurationHours")), self._get_param("InstanceType")
    count, begins = int(self._get_param("InstanceCount") or 1), utcnow() + timedelta(days=1)
    fee = present().prices.get(kind, 50.0) * hours * count
    offering = {
        "CapacityBlockOfferingId": f"cbr-{kind}-{count}-{hours}",
        "InstanceType": kind,
        "AvailabilityZone": f"{self.region}a",
        "InstanceCount": count,
        "StartDate": begins,
        "EndDate": begins + timedelta(hours=hours),
        "CapacityBlockDurationHours": hours,
        "UpfrontFee": f"{fee:.2f}",
        "CurrencyCode": "USD",
        "Tenancy": "default",
    }
    return ActionResult({"CapacityBlockOfferings": [offering]})


def purchase_capacity_block(self: Any) -> Any:
    """PurchaseCapacityBlock: the reservation that it gives."""
    parts = str(self._get_param("CapacityBlockOfferingId")).rsplit("-", 2)
    kind, count, hours = parts[0].removeprefix("cbr-"), int(parts[1]), int(parts[2])
    made = _reservation(
        self,
        count,
        InstanceType=kind,
        AvailabilityZone=f"{self.region}a",
        ReservationType="capacity-block",
        EndDateType="limited",
        EndDate=utcnow() + timedelta(hours=hours),
    )
    return ActionResult({"CapacityReservation": made})


def create_placement_group(self: Any) -> Any:
    """CreatePlacementGroup: a name is taken once."""
    name = self._get_param("GroupName")
    if name in present().groups:
        raise EC2ClientError("InvalidPlacementGroup.Duplicate", f"The placement group '{name}' already exists.")
    tags = [each for spec in self._get_param("TagSpecifications", []) for each in spec.get("Tags", [])]
    made = {
        "GroupName": name,
        "GroupId": f"pg-{uuid.uuid4().hex[:17]}",
        "Strategy": self._get_param("Strategy"),
        "State": "available",
        "Tags": tags,
    }
    present().groups[name] = made
    return ActionResult({"PlacementGroup": made})


def describe_placement_groups(self: Any) -> Any:
    """DescribePlacementGroups, by name, or by tags."""
    names, filters = self._get_param("GroupNames", []), self._filters_from_querystring()
    names = names or filters.get("group-name", [])
    found = [each for each in present().groups.values() if not names or each["GroupName"] in names]
    for name, values in filters.items():
        if name.startswith("tag:"):
            found = [each for each in found if any(tag["Key"] == name[4:] and tag["Value"] in values for tag in each["Tags"])]
    return ActionResult({"PlacementGroups": found})


def delete_placement_group(self: Any) -> Any:
    """DeletePlacementGroup refuses while a machine is in it."""
    name = self._get_param("GroupName")
    if name not in present().groups:
        raise EC2ClientError("InvalidPlacementGroup.Unknown", f"The placement group '{name}' is unknown.")
    inside = [each for each in self.ec2_backend.all_instances() if each.placement.group_name == name and each.state != "terminated"]
    if inside:
        raise EC2ClientError("InvalidPlacementGroup.InUse", f"The placement group '{name}' is in use.")
    del present().groups[name]
    return ActionResult({})


OPERATIONS = (
    create_capacity_reservation,
    describe_capacity_reservations,
    cancel_capacity_reservation,
    describe_capacity_block_offerings,
    purchase_capacity_block,
    create_placement_group,
    describe_placement_groups,
    delete_placement_group,
)
