"""Tools over hardware."""

from typing import Literal

from pydantic import Field

from factory_infra.foundation.accelerators.offer_books import OfferBooks
from factory_infra.foundation.accelerators.offers import FoundOffer, OfferQuery
from tools.plan import Effect
from tools.spec import Arguments, Result, Tool, ToolContext

LINES_MAX = 10


class ShowArguments(Arguments):
    """Nothing is asked."""


class Hardware(Result):
    """What this machine hands out."""

    slot_kind: str
    slots_total: int
    slots_free: int
    name: str
    note: str


async def show(context: ToolContext, arguments: ShowArguments) -> Hardware:
    """Show which slots exist (GPUs where there are any, else CPU cores) and how many are free."""
    pool = await context.factory.accelerators.pool()
    usage = await context.factory.leases.usage(context.tenant)
    name = pool.slots[0].name if pool.slots else "none"
    return Hardware(slot_kind=pool.kind, slots_total=usage.slots_total, slots_free=usage.slots_free, name=name, note=pool.note)


class FindArguments(Arguments):
    """What is looked for."""

    accelerator: str = Field(default="", description="Such as H100, A100 or Trainium2; any if empty.")
    count: int = Field(default=1, description="So many in one machine.")
    price_class: Literal["on_demand", "spot", "reserved"] = "on_demand"
    network_gbit_min: int = Field(default=0, ge=0, description="Gbit/s of one machine.")
    region: str = ""
    pool: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]{0,39})?$", description="With this pool's own prices.")


class MachineLine(Result):
    """One machine that fits."""

    machine: str
    accelerator: str
    count: int
    network_gbit: float
    region: str
    usd_per_hour: str = Field(description="US dollars for the machine; 'unknown' where there is no price.")
    usd_per_accelerator_hour: str
    price_source: str = Field(description="list, history or estimate, and of when.")


class MachineList(Result):
    """What fits, the cheapest accelerator first."""

    machines: list[MachineLine]
    source: str
    note: str = ""


def machine_line(found: FoundOffer) -> MachineLine:
    """Shape an offer for a reader."""
    price = found.price
    return MachineLine(
        machine=found.offer.machine,
        accelerator=found.offer.accelerator,
        count=found.offer.count,
        network_gbit=found.offer.network_gbit,
        region=found.offer.region,
        usd_per_hour="unknown" if price is None else str(price.usd_per_hour),
        usd_per_accelerator_hour="unknown" if price is None else str(found.usd_per_accelerator_hour),
        price_source="" if price is None else f"{price.source} of {price.at}",
    )


async def find_machines(context: ToolContext, arguments: FindArguments) -> MachineList:
    """Find which machines hold a type and number of accelerators and what they cost, the cheapest accelerator first. Makes nothing."""
    query = OfferQuery(
        accelerator=arguments.accelerator,
        count=arguments.count,
        price_class=arguments.price_class,
        network_gbit_min=arguments.network_gbit_min,
        region=arguments.region,
        limit=LINES_MAX,
    )
    found = await OfferBooks(context.factory.settings.home).find(query, arguments.pool)
    return MachineList(machines=[machine_line(each) for each in found.offers], source=found.source, note=" ".join(found.doubts))


TOOLS = (
    Tool("accelerators.show", Effect.READ, ShowArguments, Hardware, show),
    Tool("accelerators.find", Effect.READ, FindArguments, MachineList, find_machines),
)
