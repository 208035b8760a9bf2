"""EC2: client tokens, capacity, machines that come and go in time, fleets of type instant."""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPE_OFFERINGS
from moto.ec2.models.instances import Instance, InstanceState
from moto.ec2.models.launch_templates import LaunchTemplate
from moto.ec2.responses import EC2Response
from moto.ec2.utils import convert_tag_spec

from tests.emulators.aws import ec2_capacity, ec2_spot
from tests.emulators.aws.world import Json, World, present

NO_ROOM = "We currently do not have sufficient {kind} capacity in the Availability Zone you requested."
_run_instances = EC2Response.run_instances
_create_template = EC2Response.create_launch_template
_delete_template = EC2Response.delete_launch_template
_describe_instances = EC2Response.describe_instances
_describe_types = EC2Response.describe_instance_types
_first = Instance.__init__
_terminate = Instance.terminate


def plug(world: World) -> None:
    """Nothing is put into a fresh world: what is plugged in here asks for the present one."""


class NoRoom(EC2ClientError):
    """Insufficient capacity: AWS answers it with HTTP 500, which botocore would try again by itself."""

    def __init__(self, kind: str) -> None:
        super().__init__("InsufficientInstanceCapacity", NO_ROOM.format(kind=kind))
        self.status_code = 500


def mismatch() -> EC2ClientError:
    """A token that was used for something else."""
    return EC2ClientError("IdempotentParameterMismatch", "The client token was used before with other parameters.")


def once(response: Any, action: str, make: Callable[[], Any]) -> Any:
    """Do an action once for each client token."""
    fields = {name: value for name, value in sorted(response.querystring.items()) if name not in {"ClientToken", "Action"}}
    key = (response.region, action, response._get_param("ClientToken") or "")
    return present().once(key, json.dumps(fields, default=str), make, mismatch)


def run_instances(self: Any) -> Any:
    """RunInstances: once for each token, within the capacity."""
    kind, count = self._get_param("InstanceType") or "", int(self._get_param("MinCount") or 1)

    def launch() -> Any:
        zone = self._get_param("Placement.AvailabilityZone") or f"{self.region}a"
        free = present().free(kind, zone)
        if free is not None and free < count:
            raise NoRoom(kind)
        return _run_instances(self)

    return once(self, "RunInstances", launch)


def create_launch_template(self: Any) -> Any:
    """CreateLaunchTemplate: once for each token."""
    return once(self, "CreateLaunchTemplate", lambda: _create_template(self))


def delete_launch_template(self: Any) -> Any:
    """DeleteLaunchTemplate says which template is not there."""
    name, number = self._get_param("LaunchTemplateName"), self._get_param("LaunchTemplateId")
    known = self.ec2_backend.launch_templates
    if not any(each.name == name or each.id == number for each in known.values()):
        kind = "InvalidLaunchTemplateName.NotFoundException" if name else "InvalidLaunchTemplateId.NotFound"
        raise EC2ClientError(kind, f"The specified launch template, {name or number}, does not exist.")
    return _delete_template(self)


def describe_instance_types(self: Any) -> Any:
    """DescribeInstanceTypes knows what the region offers only."""
    asked = self._get_param("InstanceTypes", [])
    offered = {each["InstanceType"] for each in INSTANCE_TYPE_OFFERINGS["region"].get(self.region, [])}
    unknown = [kind for kind in asked if kind not in offered]
    if unknown:
        raise EC2ClientError("InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(unknown)}]")
    return _describe_types(self)


def describe_instances(self: Any) -> Any:
    """DescribeInstances does not see what is too new."""
    answer, world = _describe_instances(self), present()
    result: Any = answer.result
    for reservation in result["Reservations"]:
        reservation.instances = [each for each in reservation.instances if world.now() - each.__dict__["_born"] >= world.seen_after_seconds]
    result["Reservations"] = [each for each in result["Reservations"] if each.instances]
    return answer


def born(self: Any, *args: Any, **kwargs: Any) -> None:
    """A machine takes its room and notes when it began."""
    self.__dict__["_born"], self.__dict__["_ended"] = present().now(), None
    _first(self, *args, **kwargs)
    present().take(self.instance_type, self.placement.zone or "", 1)


def state_of(self: Any) -> InstanceState | None:
    """The state by the clock: pending while it boots, shutting-down while it ends."""
    real: InstanceState | None = self.__dict__.get("_real")
    world = present()
    if real is not None and real.name == "running" and world.now() - self.__dict__["_born"] < world.boot_seconds:
        return InstanceState("pending", 0)
    ended = self.__dict__.get("_ended")
    if real is not None and real.name == "terminated" and ended is not None and world.now() - ended < world.end_seconds:
        return InstanceState("shutting-down", 32)
    return real


def terminate(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A machine gives its room back once."""
    if self.__dict__["_ended"] is not None:
        return InstanceState("terminated", 48)
    self.__dict__["_ended"] = present().now()
    present().take(self.instance_type, self.placement.zone or "", -1)
    ec2_capacity.give_back(present(), self)
    ec2_spot.ended(present(), self)
    fleet, self._fleet_id = self._fleet_id, None  # the fleets are ours, and moto does not know them
    try:
        return _terminate(self, *args, **kwargs)
    finally:
        self._fleet_id = fleet
        self.__dict__["_real"] = InstanceState("terminated", 48)  # moto changes what it reads, and that may be the state by the clock


def create_fleet(self: Any) -> Any:
    """CreateFleet of type instant."""
    if self._get_param("Type") != "instant":
        raise NotImplementedError("fleets of another type than instant")
    return once(self, "CreateFleet", lambda: ActionResult(_Fleet(self).launch()))


def delete_fleets(self: Any) -> Any:
    """DeleteFleets ends the machines of an instant fleet too."""
    world, done, failed = present(), [], []
    for fleet_id in self._get_param("FleetIds", []):
        fleet = world.fleets.get(fleet_id)
        if fleet is None:
            error = {"Code": "fleetIdDoesNotExist", "Message": f"{fleet_id} does not exist"}
            failed.append({"FleetId": fleet_id, "Error": error})
            continue
        self.ec2_backend.terminate_instances(fleet["machines"]) if fleet["machines"] else None
        fleet["state"] = "deleted_terminating"
        done.append({"FleetId": fleet_id, "CurrentFleetState": fleet["state"], "PreviousFleetState": "active"})
    return ActionResult({"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": failed})


class _Fleet:
    """One CreateFleet: where the machines come from, and what could not be had."""

    def __init__(self, response: Any) -> None:
        self._response, self._backend, self._world = response, response.ec2_backend, present()
        capacity = response._get_param("TargetCapacitySpecification", {})
        self._wanted = int(capacity["TotalTargetCapacity"])
        self._class = capacity.get("DefaultTargetCapacityType") or "on-demand"
        spot = self._class == "spot"
        self._options: Json = response._get_param("SpotOptions" if spot else "OnDemandOptions", {}) or {}
        self._tags = convert_tag_spec(response._get_param("TagSpecifications", [])).get("instance", {})
        self._id = f"fleet-{uuid.uuid4()}"
        self._errors: list[Json] = []

    def launch(self) -> Json:
        """Launch what there is, or nothing where the least cannot be had."""
        picks = self._picks()
        got = sum(count for _, _, count in picks)
        if got < int(self._options.get("MinTargetCapacity") or 0):
            picks = []
        instances = [self._start(place, override, count) for place, override, count in picks]
        ids = [machine for each in instances for machine in each["InstanceIds"]]
        self._world.fleets[self._id] = {"state": "active", "machines": ids}
        return {"FleetId": self._id, "Instances": instances, "Errors": self._errors}

    def _places(self) -> list[tuple[Json, Json]]:
        """(template's data, override) of each place where a machine may begin."""
        found = []
        for config in self._response._get_param("LaunchTemplateConfigs", []):
            named = config["LaunchTemplateSpecification"]
            if named.get("LaunchTemplateId"):
                template = self._backend.get_launch_template(named["LaunchTemplateId"])
            else:
                template = self._backend.get_launch_template_by_name(named["LaunchTemplateName"])
            version = template.get_version(named.get("Version") or "$Default")
            spec = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": str(version.number)}
            found += [({"data": version.data, "spec": spec}, override) for override in config.get("Overrides") or [{}]]
        return found

    def _picks(self) -> list[tuple[Json, Json, int]]:
        left, picks, zone_taken = self._wanted, [], ""
        taken: Counter[tuple[str, str]] = Counter()
        places = self._places()
        if self._options.get("SingleAvailabilityZone"):
            places.sort(key=lambda each: -(self._free(*each) if self._free(*each) is not None else 10**9))  # type: ignore[operator]
        for place, override in places:
            zone = self._zone(place, override)
            if left < 1 or (self._options.get("SingleAvailabilityZone") and zone_taken not in {"", zone}):
                continue
            free, room = self._free(place, override), self._room(place, override)
            count = left if free is None else min(left, max(free - taken[room], 0))
            if count:
                taken[room] += count
                picks.append((place, override, count))
                left, zone_taken = left - count, zone
            if count < self._wanted:
                self._errors.append(self._refusal(place, override))
        if left < 1:
            self._errors = []
        return picks

    def _kind(self, place: Json, override: Json) -> str:
        return str(override.get("InstanceType") or place["data"].get("InstanceType"))

    def _subnet(self, place: Json, override: Json) -> str | None:
        cards = place["data"].get("NetworkInterfaces") or [{}]
        found: str | None = override.get("SubnetId") or cards[0].get("SubnetId") or place["data"].get("SubnetId")
        return found

    def _zone(self, place: Json, override: Json) -> str:
        subnet = self._subnet(place, override)
        if subnet:
            return str(self._backend.get_subnet(subnet).availability_zone)
        return str(override.get("AvailabilityZone") or f"{self._response.region}a")

    def _free(self, place: Json, override: Json) -> int | None:
        reserved = ec2_capacity.reserved(self._world, place["data"])
        return reserved if reserved is not None else self._world.free(self._kind(place, override), self._zone(place, override))

    def _room(self, place: Json, override: Json) -> tuple[str, str]:
        """Which capacity a place draws on."""
        name, kind, zone = ec2_capacity.target(place["data"]), self._kind(place, override), self._zone(place, override)
        return (name, "") if name else (kind, zone if (kind, zone) in self._world.capacity else "")

    def _refusal(self, place: Json, override: Json) -> Json:
        code = "ReservationCapacityExceeded" if ec2_capacity.target(place["data"]) else "InsufficientInstanceCapacity"
        return {
            "LaunchTemplateAndOverrides": {"LaunchTemplateSpecification": place["spec"], "Overrides": override},
            "Lifecycle": self._class,
            "ErrorCode": code,
            "ErrorMessage": NO_ROOM.format(kind=self._kind(place, override)),
        }

    def _start(self, place: Json, override: Json, count: int) -> Json:
        kind, data = self._kind(place, override), place["data"]
        made = self._backend.run_instances(
            data.get("ImageId") or "ami-00000000",
            count,
            data.get("UserData"),
            [],
            instance_type=kind,
            is_instance_type_default=False,
            region_name=self._response.region,
            subnet_id=self._subnet(place, override),
            placement=None,
            tags={"instance": {**self._tags, "aws:ec2:fleet-id": self._id}},
            lifecycle="spot" if self._class == "spot" else None,
            fleet_id=self._id,
        ).instances
        for machine in made:
            machine.instance_lifecycle = {"spot": "spot", "capacity-block": "capacity-block"}.get(self._class)
            machine.template_data = data
            ec2_capacity.take(self._world, machine, data)
            if self._class == "spot":
                ec2_spot.request(self._world, machine, self._response.region)
        return {
            "LaunchTemplateAndOverrides": {"LaunchTemplateSpecification": place["spec"], "Overrides": override},
            "Lifecycle": self._class,
            "InstanceIds": [machine.id for machine in made],
            "InstanceType": kind,
        }


def describe_instance_status(self: Any) -> Any:
    """DescribeInstanceStatus with the scheduled events of machines."""
    world, found = present(), []
    asked = set(self._get_param("InstanceIds", []))
    for machine in self.ec2_backend.all_instances():
        wanted = not asked or machine.id in asked
        if wanted and (machine.state == "running" or self._get_bool_param("IncludeAllInstances", False)):
            found.append(
                {
                    "InstanceId": machine.id,
                    "AvailabilityZone": machine.placement.zone,
                    "InstanceState": {"Name": machine.state, "Code": machine.state_code},
                    "InstanceStatus": {"Status": "ok"},
                    "SystemStatus": {"Status": "ok"},
                    "Events": world.events.get(machine.id, []),
                }
            )
    return ActionResult({"InstanceStatuses": found})


def schedule(world: World, machine: str, code: str = "instance-retirement") -> None:
    """Announce an event for a machine, as AWS does for hardware that it will take out."""
    world.events[machine] = [{"Code": code, "Description": "scheduled", "NotBefore": utcnow(), "InstanceEventId": "instance-event-0"}]


for _name in (
    run_instances,
    create_launch_template,
    delete_launch_template,
    create_fleet,
    delete_fleets,
    describe_instances,
    describe_instance_status,
    describe_instance_types,
    *ec2_capacity.OPERATIONS,
    *ec2_spot.OPERATIONS,
):
    setattr(EC2Response, _name.__name__, _name)
LaunchTemplate.tags = property(LaunchTemplate.get_tags, lambda self, value: None)  # type: ignore[assignment]
Instance.__init__ = born  # type: ignore[method-assign]
Instance.terminate = terminate  # type: ignore[method-assign]
Instance._state = property(state_of, lambda self, value: self.__dict__.__setitem__("_real", value))  # type: ignore[assignment]
