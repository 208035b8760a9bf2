"""Notices that machines are taken back: by polling what EC2 shows, so that no queue has to be set up."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

from factory_infra.database import utcnow
from factory_infra.foundation.clusters.models import Interruption
from factory_infra.foundation.clusters.providers.aws_answers import Instance, Told
from factory_infra.foundation.clusters.providers.aws_look import Looking
from factory_infra.foundation.pools.aws import AwsAccess

NOTICE = timedelta(minutes=2)
BLOCK_ENDS_BEFORE = timedelta(minutes=30)
"""Machines of a capacity block are ended half an hour before the block is."""
BLOCK_TOLD_BEFORE = timedelta(minutes=60)
MARKED: dict[str, Literal["terminate", "stop"]] = {
    "marked-for-termination": "terminate",
    "marked-for-stop": "stop",
    "marked-for-hibernation": "stop",
}
EVENTS: dict[str, Literal["terminate", "stop"]] = {
    "instance-retirement": "terminate",
    "instance-stop": "stop",
    "system-maintenance": "stop",
    "system-reboot": "stop",
    "instance-reboot": "stop",
}


class Status(Told):
    """Where a spot request stands."""

    code: str = ""
    update_time: datetime | None = None


class SpotRequest(Told):
    """The request behind a spot machine."""

    instance_id: str = ""
    status: Status = Status()


class Event(Told):
    """What AWS plans for a machine."""

    code: str = ""
    description: str = ""
    not_before: datetime | None = None


class MachineStatus(Told):
    """A machine with its events."""

    instance_id: str
    events: list[Event] = []


class Block(Told):
    """A reservation that ends."""

    capacity_reservation_id: str
    end_date: datetime | None = None


class Notices:
    """Reads the notices for this installation's machines."""

    def __init__(self, access: AwsAccess, looking: Looking) -> None:
        self._access = access
        self._looking = looking

    async def open(self) -> list[Interruption]:
        """Every open notice, the soonest of a machine only."""
        ours = {each.instance_id: each for seen in await self._looking.at_all() for each in seen.alive}
        if not ours:
            return []
        found = [*await self._spot(ours), *await self._planned(ours), *await self._blocks(ours)]
        soonest: dict[str, Interruption] = {}
        for each in sorted(found, key=lambda notice: notice.at):
            soonest.setdefault(each.machine_id, each)
        return list(soonest.values())

    async def _spot(self, ours: Mapping[str, Instance]) -> list[Interruption]:
        marked = {"Name": "status-code", "Values": list(MARKED)}
        answers = await self._access.read_all("ec2", "describe_spot_instance_requests", "SpotInstanceRequests", Filters=[marked])
        requests = [SpotRequest.model_validate(each) for each in answers]
        return [
            self._notice(ours[each.instance_id], MARKED[each.status.code], (each.status.update_time or utcnow()) + NOTICE)
            for each in requests
            if each.instance_id in ours and each.status.code in MARKED
        ]

    async def _planned(self, ours: Mapping[str, Instance]) -> list[Interruption]:
        planned = {"Name": "event.code", "Values": list(EVENTS)}
        answers = await self._access.read_all("ec2", "describe_instance_status", "InstanceStatuses", Filters=[planned])
        statuses = [MachineStatus.model_validate(each) for each in answers]
        return [
            self._notice(ours[each.instance_id], EVENTS[event.code], event.not_before or utcnow())
            for each in statuses
            if each.instance_id in ours
            for event in each.events
            if event.code in EVENTS and not event.description.startswith(("[Completed]", "[Canceled]"))
        ]

    async def _blocks(self, ours: Mapping[str, Instance]) -> list[Interruption]:
        reserved = {each.capacity_reservation_id for each in ours.values()} - {""}
        if not reserved:
            return []
        answers = await self._access.read_all(
            "ec2", "describe_capacity_reservations", "CapacityReservations", CapacityReservationIds=sorted(reserved)
        )
        ends = {block.capacity_reservation_id: block.end_date for block in map(Block.model_validate, answers) if block.end_date}
        soon = {name: at - BLOCK_ENDS_BEFORE for name, at in ends.items() if at - utcnow() < BLOCK_TOLD_BEFORE}
        return [
            self._notice(each, "terminate", soon[each.capacity_reservation_id])
            for each in ours.values()
            if each.capacity_reservation_id in soon
        ]

    def _notice(self, instance: Instance, action: Literal["terminate", "stop", "rebalance"], at: datetime) -> Interruption:
        return Interruption(
            pool=self._access.pool.name,
            machine_id=instance.instance_id,
            cluster_id=instance.tag("cluster"),
            lease_id=instance.tag("lease"),
            action=action,
            at=at,
        )
