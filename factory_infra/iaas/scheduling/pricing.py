"""What a run is expected to take and cost on machines of a price class, with what interruptions make it do again."""

import math
from dataclasses import dataclass

from factory_infra.iaas.scheduling.fleet import Fleet
from factory_infra.iaas.scheduling.models import PriceClass, Shape, Workload

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Offer:
    """Machines of one price class in one pool."""

    pool: str
    price_class: PriceClass
    hourly_price: float
    """Of what one member takes of a machine, in the price book's currency."""
    interruptions_hourly: float = 0.0
    whole_pool: bool = True
    """The pool has no other class: a placement need not be told."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be expected of a run."""

    seconds: float
    cost: float


def expected(workload: Workload, offer: Offer, *, seconds: float, members: int, restart_seconds: float) -> Estimate:
    """How long a run takes and costs if interruptions come at random (a Poisson process), each member's machine by itself.

    Work is kept every `checkpoint_seconds`, or not before the end. A stretch of work w that must not be interrupted takes (e^(λw) - 1)/λ on
    average, λ being the interruptions of all members a second, and each interruption adds the time of a restart (Daly 2006, "A higher order
    estimate of the optimum checkpoint interval", with no cost of writing). It is infinite where the run would hardly ever come to an end.
    """
    rate = offer.interruptions_hourly * members / HOUR
    kept = workload.checkpoint_seconds if 0 < workload.checkpoint_seconds < seconds else seconds
    if rate * kept > 50:
        return Estimate(math.inf, math.inf)
    stretches = seconds / kept if kept else 0.0
    interruptions = stretches * math.expm1(rate * kept)
    run = seconds if rate == 0 else stretches * math.expm1(rate * kept) / rate
    total = run + interruptions * restart_seconds
    return Estimate(total, total / HOUR * offer.hourly_price * members)


def offers(pool: str, fleet: Fleet, shape: Shape) -> tuple[Offer, ...]:
    """The classes of a pool's machines that will do for a shape, at the cheapest machine of each on which it fits when empty."""
    slots = fleet.slots_when_empty(shape)
    found: dict[PriceClass, Offer] = {}
    for node in slots.nonzero()[0].tolist():
        spec = fleet.spec(node)
        part = _part(shape, spec.gpus, (spec.cpu_milli, spec.memory_mib))
        offer = Offer(pool, spec.price_class, spec.hourly_price * part, spec.interruptions_hourly, whole_pool=len(fleet.price_classes) == 1)
        known = found.get(spec.price_class)
        if known is None or (offer.hourly_price, offer.interruptions_hourly) < (known.hourly_price, known.interruptions_hourly):
            found[spec.price_class] = offer
    return tuple(found.values())


def _part(shape: Shape, gpus: int, rest: tuple[int, int]) -> float:
    """The part of a machine that a member takes: of its GPUs where it has some, else of what it takes most of."""
    if gpus and shape.gpus:
        return shape.milli / (1000 * gpus)
    cpu_milli, memory_mib = rest
    return max(shape.cpu_milli / cpu_milli if cpu_milli else 0.0, shape.memory_mib / memory_mib if memory_mib else 0.0)
