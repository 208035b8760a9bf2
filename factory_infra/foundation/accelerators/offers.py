"""Which machines hold which accelerators, what they cost and since when that is known; and how one is found."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from math import ceil
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.catalogue import ACCELERATORS, AcceleratorKind, types_named, unknown

OfferPriceClass = Literal["on_demand", "spot", "reserved"]
FAST_NETWORK_GBIT = 400
COUNT_MAX = 10_000


class OfferPrice(BaseModel):
    """What one machine costs for an hour."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    usd_per_hour: Decimal = Field(gt=0, description="US dollars for one machine; a reserved one: one year, nothing up front.")
    at: date = Field(description="The day on which this was so.")
    source: Literal["list", "history", "estimate"] = Field(description="A price list, the mean of paid spot prices, or our own guess.")


class MachineOffer(BaseModel):
    """A type of machine in one region."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: Literal["aws"] = "aws"
    machine: str = Field(description="Such as p5.48xlarge.")
    accelerator: str = Field(description="Its type in the catalogue.")
    count: int = Field(ge=1, description="Accelerators in one machine.")
    vcpus: int
    memory_gib: float
    network_gbit: float = Field(description="Of all network cards together, Gbit/s; what it may burst to where that is all that is told.")
    efa_interfaces: int = Field(default=0, description="Elastic Fabric Adapters; 0 where it has none.")
    nvme_gb: int = 0
    region: str
    zones: tuple[str, ...] = Field(default=(), description="Where in the region it is offered; empty where that is not known.")
    prices: dict[OfferPriceClass, OfferPrice] = {}

    @property
    def network_fast(self) -> bool:
        """Whether it has at least 400 Gbit/s, what training over several machines wants."""
        return self.network_gbit >= FAST_NETWORK_GBIT


class OfferBook(BaseModel):
    """All offers that were read at one time from one place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: date = Field(description="The day of the oldest part of it.")
    source: str
    doubts: tuple[str, ...] = Field(default=(), description="What in it may be wrong, in words.")
    offers: tuple[MachineOffer, ...]


class OfferQuery(BaseModel):
    """What kind of machine is wanted."""

    model_config = ConfigDict(extra="forbid")

    accelerator: str = Field(default="", max_length=80, description="Such as H100 or Trainium2; any if empty.")
    kind: AcceleratorKind | None = None
    count: int = Field(default=1, description="So many accelerators.")
    several_machines: bool = Field(default=False, description="Also as several machines, not only in one.")
    price_class: OfferPriceClass = "on_demand"
    network_gbit_min: float = Field(default=0, ge=0)
    efa: bool = Field(default=False, description="Only machines with Elastic Fabric Adapters.")
    memory_gib_min: float = Field(default=0, ge=0, description="Of one accelerator.")
    region: str = Field(default="", max_length=40)
    machine: str = Field(default="", max_length=40, description="Only this type of machine.")
    limit: int = Field(default=50, ge=1, le=500)


class FoundOffer(BaseModel):
    """A machine that fits, and what the wanted count of accelerators costs with it."""

    offer: MachineOffer
    machines: int = Field(description="So many of them are needed.")
    network_fast: bool
    price: OfferPrice | None = Field(description="None where this price is not known.")
    usd_per_accelerator_hour: Decimal | None
    usd_per_hour: Decimal | None = Field(description="Of all the machines.")


class FoundOffers(BaseModel):
    """What fits, the cheapest accelerator first, and how old that knowledge is."""

    offers: list[FoundOffer]
    at: date
    source: str
    doubts: list[str] = []


def search(book: OfferBook, query: OfferQuery) -> FoundOffers:
    """Return what fits. Raises InvalidInput for a name or region that is not in the book, and for a count that cannot be."""
    if not 1 <= query.count <= COUNT_MAX:
        raise InvalidInput(
            f"{query.count} accelerators cannot be looked for.", remedy=f"Ask for 1 to {COUNT_MAX}.", code="accelerator_count_invalid"
        )
    fitting = [found(offer, query) for offer in narrowed(book, query)]
    fitting = [each for each in fitting if each.machines == 1 or query.several_machines]
    return FoundOffers(offers=sorted(fitting, key=_rank)[: query.limit], at=book.at, source=book.source, doubts=list(book.doubts))


def narrowed(book: OfferBook, query: OfferQuery) -> list[MachineOffer]:
    """The offers that pass every filter."""
    types = types_named(query.accelerator) if query.accelerator else tuple(ACCELERATORS)
    regions = _checked(query.region, (each.region for each in book.offers), "region")
    machines = _checked(query.machine, (each.machine for each in book.offers), "machine")
    return [
        offer
        for offer in book.offers
        if offer.accelerator in types
        and offer.region in regions
        and offer.machine in machines
        and query.kind in {None, ACCELERATORS[offer.accelerator].kind}
        and offer.network_gbit >= query.network_gbit_min
        and (offer.efa_interfaces > 0 or not query.efa)
        and ACCELERATORS[offer.accelerator].memory_gib >= query.memory_gib_min
    ]


def found(offer: MachineOffer, query: OfferQuery) -> FoundOffer:
    """One offer with its arithmetic: so many machines, and what one accelerator costs for an hour."""
    machines, price = ceil(query.count / offer.count), offer.prices.get(query.price_class)
    return FoundOffer(
        offer=offer,
        machines=machines,
        network_fast=offer.network_fast,
        price=price,
        usd_per_accelerator_hour=None if price is None else (price.usd_per_hour / offer.count).quantize(Decimal("0.0001")),
        usd_per_hour=None if price is None else price.usd_per_hour * machines,
    )


def _rank(each: FoundOffer) -> tuple[bool, Decimal, int, str, str]:
    """The cheapest accelerator first, then the smaller bill; what has no price comes last."""
    cost = each.usd_per_accelerator_hour
    return cost is None, cost or Decimal(0), each.machines * each.offer.count, each.offer.machine, each.offer.region


def _checked(wanted: str, known: Iterable[str], what: str) -> set[str]:
    """The one that is wanted, or all. Raises InvalidInput with names that are near."""
    names = set(known)
    if not wanted:
        return names
    if wanted not in names:
        raise unknown(what, wanted, sorted(names), code=f"{what}_unknown")
    return {wanted}
