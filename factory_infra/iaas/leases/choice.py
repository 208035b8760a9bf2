"""Which slots a lease gets: pure decisions over a pool and what of it is taken."""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from factory_infra.errors import CapacityExceeded, InvalidInput
from factory_infra.foundation.accelerators.models import MachineType, Pool, Slot
from factory_infra.iaas.leases.models import LeaseRequest

LEASE_SECONDS_MAX = 7 * 24 * 3600
SLOTS_MAX = 100_000


class Choice(NamedTuple):
    """The slots that are granted, and of which machine and how many where machines are made for them."""

    slots: list[Slot]
    machine: str = ""
    machines: int = 0


class Quote(NamedTuple):
    """What a lease would be, whether or not it is free now."""

    slots: int
    slot_kind: str
    accelerator: str
    machine: str
    price_class: str


def check_request(request: LeaseRequest) -> None:
    """Raise InvalidInput for a count or a time that makes no sense."""
    if not 1 <= request.slots <= SLOTS_MAX or not 0 < request.seconds <= LEASE_SECONDS_MAX:
        raise InvalidInput(
            f"A lease of {request.slots} slots for {request.seconds} s cannot be.",
            remedy=f"Ask for 1 to {SLOTS_MAX} slots, for at most {LEASE_SECONDS_MAX} s.",
        )


def choose(request: LeaseRequest, pool: Pool, taken: Collection[int], unfit: Collection[str]) -> Choice:
    """Choose slots that are free, fit and of the type that was asked for.

    Raises CapacityExceeded when the pool has too few of them, or too few free; InvalidInput `accelerator_unknown` for another's type.
    """
    if pool.placement == "machines":
        return choose_machines(request, pool, taken)
    fitting = of_type(pool.slots, request.accelerator, pool.name)
    need(request.slots, len(fitting), pool)
    free = [slot for slot in fitting if slot.index not in taken and slot.node not in unfit]
    if request.topology == "node":
        free = in_one_node(free, request.slots)
    if len(free) < request.slots:
        raise short_of(request.slots, len(free), len(fitting), any(slot.node in unfit for slot in fitting))
    return Choice(free[: request.slots])


def quoted(request: LeaseRequest, pool: Pool) -> Quote:
    """How many slots a grant would hold, and of what: where machines are made, every slot of them. Raises for what never fits."""
    price_class = request.price_class or pool.price_class
    if pool.placement == "machines":
        machine = machine_for(request, pool)
        count = -(-request.slots // machine.slots) * machine.slots
        need(count, len(pool.slots), pool)
        return Quote(count, machine.kind, machine.accelerator, machine.name, price_class)
    fitting = of_type(pool.slots, request.accelerator, pool.name)
    need(request.slots, len(fitting), pool)
    if request.topology == "node" and request.slots > (most := max(Counter(slot.node for slot in fitting).values())):
        reason = f"No machine of pool '{pool.name}' has {request.slots} such slots."
        raise CapacityExceeded(reason, remedy=f"Ask for at most {most}, or leave the topology out.")
    return Quote(request.slots, pool.kind, fitting[0].accelerator if request.accelerator else "", "", price_class)


def need(asked: int, there: int, pool: Pool) -> None:
    """Raise CapacityExceeded for more than a pool will ever have."""
    if asked > there:
        where = "this machine has" if pool.name == "local" else f"pool '{pool.name}' has"
        raise CapacityExceeded(f"{asked} slots were asked for and {where} {there}.", remedy=f"Ask for at most {there}.")


def short_of(asked: int, free: int, there: int, some_unfit: bool) -> CapacityExceeded:
    """Too few are free now."""
    unfit = " Slots of nodes that are drained or below their threshold are not handed out." if some_unfit else ""
    return CapacityExceeded(
        f"{free} of {there} slots are free and {asked} were asked for.{unfit}", remedy="Wait for a lease to end or ask for fewer."
    )


def of_type(slots: list[Slot], accelerator: str, pool: str) -> list[Slot]:
    """The slots of a type. Raises InvalidInput `accelerator_unknown` where there is none."""
    if not accelerator:
        return slots
    found = [slot for slot in slots if slot.accelerator.casefold() == accelerator.casefold()]
    if not found:
        raise no_such(accelerator, pool, sorted({slot.accelerator for slot in slots if slot.accelerator}))
    return found


def no_such(accelerator: str, pool: str, there: list[str]) -> InvalidInput:
    """A type that a pool has not."""
    return InvalidInput(
        f"Pool '{pool}' has no accelerator '{accelerator}'.",
        remedy=f"It has: {', '.join(there) or 'none that is named'}. See 'lineshaft accelerators find'.",
        code="accelerator_unknown",
    )


def in_one_node(free: list[Slot], count: int) -> list[Slot]:
    """The free slots of the node that fits most closely; none where no node has so many."""
    by_node = Counter(slot.node for slot in free)
    fitting = [(left, node) for node, left in by_node.items() if left >= count]
    return [slot for slot in free if slot.node == min(fitting)[1]] if fitting else []


def choose_machines(request: LeaseRequest, pool: Pool, taken: Collection[int]) -> Choice:
    """Choose what machine to make, and how many; a lease has every slot of its machines."""
    machine = machine_for(request, pool)
    count = -(-request.slots // machine.slots)
    if request.topology == "node" and count > 1:
        reason = f"A {machine.name} has {machine.slots} slots and {request.slots} were asked for in one machine."
        raise CapacityExceeded(reason, remedy=f"Ask for at most {machine.slots}, or leave the topology out.")
    wanted = count * machine.slots
    need(wanted, len(pool.slots), pool)
    free = [slot for slot in pool.slots if slot.index not in taken]
    if len(free) < wanted:
        raise short_of(wanted, len(free), len(pool.slots), some_unfit=False)
    return Choice(free[:wanted], machine.name, count)


def machine_for(request: LeaseRequest, pool: Pool) -> MachineType:
    """The smallest of the pool's machines that has the type and holds the count in one; else the largest. The default without a type."""
    fitting = [each for each in pool.machines if not request.accelerator or each.accelerator.casefold() == request.accelerator.casefold()]
    if not fitting:
        raise no_such(request.accelerator, pool.name, sorted({each.accelerator for each in pool.machines if each.accelerator}))
    if not request.accelerator:
        return fitting[0]
    enough = [each for each in fitting if each.slots >= request.slots]
    return min(enough, key=lambda each: each.slots) if enough else max(fitting, key=lambda each: each.slots)
