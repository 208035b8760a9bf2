"""What a pool of AWS can make: the machines that its entry names, as slots that exist once they are leased."""

import time

from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.catalogue import unknown
from factory_infra.foundation.accelerators.models import MachineType, Pool, Slot
from factory_infra.foundation.accelerators.offer_books import shipped_book
from factory_infra.foundation.accelerators.providers.aws_hardware import Described, machine_type_of, memory_gib_of
from factory_infra.foundation.pools.aws import AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings

HARDWARE_SECONDS = 3600.0
"""A type of machine does not change; a new region of it may come."""
MACHINES_UNSET = 8
"""Where a pool sets no slots_max: so many of the default machine at one time."""


class AwsAccelerators:
    """Tells the machines that may be launched in one account and region.

    Args:
        pool: the pool; its first instance type is the default.
        settings: the installation's.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._pool = pool
        self._access = AwsAccess(pool, settings)
        self._known: tuple[float, list[Described]] | None = None

    async def pool(self) -> Pool:
        """Return slots of the default machine's accelerator, as many as the pool may hand out, and every machine that may be made.

        Raises InvalidInput `machine_unknown` for a type that is not offered in the region, and what AwsAccess raises.
        """
        if not self._pool.instance_types:
            note = f"Pool {self._pool.name} names no instance_types: nothing can be launched. See 'lineshaft accelerators find'."
            return Pool(name=self._pool.name, slots=[], placement="machines", note=note)
        described = await self._described()
        machines = [machine_type_of(each) for each in described]
        default, memory_gib = machines[0], memory_gib_of(described[0])
        count = self._pool.slots_max if self._pool.slots_max is not None else default.slots * MACHINES_UNSET
        name = default.accelerator or "vCPU"
        slots = [
            Slot(index=index, kind=default.kind, name=name, memory_gib=memory_gib, accelerator=default.accelerator)
            for index in range(count)
        ]
        return Pool(name=self._pool.name, slots=slots, placement="machines", machines=machines, note=self._note(default, count))

    def _note(self, default: MachineType, count: int) -> str:
        bound = "" if self._pool.slots_max is not None else " (set slots_max to change that)"
        return (
            f"{default.name} in {self._pool.region}, {self._pool.price_class.replace('_', ' ')}; at most {count} slots at one time{bound}."
        )

    async def _described(self) -> list[Described]:
        """What EC2 says of the pool's types, in the order of its entry; kept for an hour."""
        if self._known is not None and time.monotonic() - self._known[0] < HARDWARE_SECONDS:
            return self._known[1]
        names = list(self._pool.instance_types)
        told = await self._access.read_all(
            "ec2", "describe_instance_types", "InstanceTypes", Filters=[{"Name": "instance-type", "Values": names}]
        )
        by_name: dict[str, Described] = {str(each["InstanceType"]): each for each in told}
        offered = await self._offered(names)
        for name in names:
            if name not in by_name:
                raise self._absent(name)
            if name not in offered:
                raise self._elsewhere(name)
        self._known = (time.monotonic(), [by_name[name] for name in names])
        return self._known[1]

    async def _offered(self, names: list[str]) -> set[str]:
        told = await self._access.read_all(
            "ec2",
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="region",
            Filters=[{"Name": "instance-type", "Values": names}],
        )
        return {str(each["InstanceType"]) for each in told}

    def _absent(self, name: str) -> InvalidInput:
        """A type that EC2 does not know at all in this region."""
        near = unknown("machine", name, [offer.machine for offer in shipped_book().offers])
        reason = f"Pool {self._pool.name} names the machine {name}, which does not exist in {self._pool.region}."
        return InvalidInput(reason, remedy=f"Correct instance_types in the pools' file. {near.remedy}", code="machine_unknown")

    def _elsewhere(self, name: str) -> InvalidInput:
        return InvalidInput(
            f"Pool {self._pool.name} names the machine {name}, which is not offered in {self._pool.region}.",
            remedy="Name another type, or another region for the pool: 'lineshaft accelerators find' shows where it is.",
            code="machine_unknown",
        )
