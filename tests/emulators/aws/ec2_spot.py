"""EC2: spot requests, prices, and notices that a machine is taken back."""

import uuid
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow

from tests.emulators.aws.world import World, present

SPOT_OF_ON_DEMAND = 0.4


def request(world: World, machine: Any, region: str) -> None:
    """Note the request behind a spot machine."""
    name = f"sir-{uuid.uuid4().hex[:8]}"
    machine.spot_instance_request_id = name
    world.spot_requests[name] = {
        "SpotInstanceRequestId": name,
        "InstanceId": machine.id,
        "State": "active",
        "Type": "one-time",
        "Status": {"Code": "fulfilled", "Message": "Your spot request is fulfilled.", "UpdateTime": utcnow()},
        "LaunchedAvailabilityZone": machine.placement.zone,
        "CreateTime": utcnow(),
        "Tags": [],
    }


def ended(world: World, machine: Any) -> None:
    """Note that a machine is gone."""
    found = world.spot_requests.get(getattr(machine, "spot_instance_request_id", None) or "")
    if found is not None and found["State"] == "active":
        found["State"] = "closed"
        found["Status"] = {"Code": "instance-terminated-by-user", "Message": "ended", "UpdateTime": utcnow()}


def interrupt(world: World, machine_id: str) -> None:
    """Give the two-minute notice for a machine."""
    for found in world.spot_requests.values():
        if found["InstanceId"] == machine_id:
            found["Status"] = {"Code": "marked-for-termination", "Message": "will be taken back", "UpdateTime": utcnow()}


def describe_spot_instance_requests(self: Any) -> Any:
    """DescribeSpotInstanceRequests, by status, state and machine."""
    filters, found = self._filters_from_querystring(), list(present().spot_requests.values())
    shown = [({"status-code": each["Status"]["Code"], "state": each["State"], "instance-id": each["InstanceId"]}, each) for each in found]
    found = [each for known, each in shown if all(known.get(name) in values for name, values in filters.items())]
    return ActionResult({"SpotInstanceRequests": found})


def describe_spot_price_history(self: Any) -> Any:
    """DescribeSpotPriceHistory: the present price in two zones."""
    world, kinds = present(), self._get_param("InstanceTypes", []) or []
    found = [
        {
            "AvailabilityZone": f"{self.region}{zone}",
            "InstanceType": kind,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{world.prices[kind] * SPOT_OF_ON_DEMAND * (1 + 0.05 * place):.6f}",
            "Timestamp": utcnow(),
        }
        for kind in (kinds or world.prices)
        if kind in world.prices
        for place, zone in enumerate("ab")
    ]
    return ActionResult({"SpotPriceHistory": found})


OPERATIONS = (describe_spot_instance_requests, describe_spot_price_history)
