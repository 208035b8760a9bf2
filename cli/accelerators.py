"""`lineshaft accelerators`: find machines by what is in them and what they cost; ask an account for its own prices."""

import asyncio
import json
from decimal import Decimal
from typing import Annotated

import typer
from pydantic import JsonValue

from cli.context import out, settings_of
from cli.listing import JsonObject, show
from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.catalogue import ACCELERATORS, AcceleratorKind
from factory_infra.foundation.accelerators.offer_books import OfferBooks
from factory_infra.foundation.accelerators.offers import FoundOffer, FoundOffers, OfferPriceClass, OfferQuery
from factory_infra.foundation.accelerators.providers.aws_offers import AwsOffers
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import AwsPool

app = typer.Typer(help="Accelerators: what there is, where, and for what price.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
COLUMNS = ("machine", "accelerator", "count", "memory_gib", "network_gbit", "efa", "nvme_gb", "region", "zones", "per_hour", "each_hour")
TYPES = ("type", "maker", "kind", "memory_gib", "memory_gb_per_second", "interconnect", "interconnect_gb_per_second", "mig_profiles")


@app.command()
def find(  # noqa: PLR0913 - each is an option of its own
    context: typer.Context,
    gpu: Annotated[str, typer.Option("--gpu", "--type", help="Such as H100, A100, Trainium2; any if left out.")] = "",
    count: Annotated[int, typer.Option(help="So many, in one machine.")] = 1,
    several: Annotated[bool, typer.Option("--several-machines", help="Also as several machines together.")] = False,
    spot: Annotated[bool, typer.Option("--spot", help="By the price of spot.")] = False,
    reserved: Annotated[bool, typer.Option("--reserved", help="By the price of a year reserved, nothing up front.")] = False,
    min_network: Annotated[float, typer.Option(help="Gbit/s of one machine, such as 400.")] = 0,
    min_memory: Annotated[float, typer.Option(help="GiB of one accelerator.")] = 0,
    efa: Annotated[bool, typer.Option("--efa", help="Only with Elastic Fabric Adapters.")] = False,
    kind: Annotated[str, typer.Option(help="gpu or neuron.")] = "",
    region: Annotated[str, typer.Option(help="Such as us-east-1.")] = "",
    pool: Annotated[str, typer.Option(help="With this pool's own prices, once it was asked.")] = "",
    as_json: Json = False,
) -> None:
    """Find machines that hold what is wanted, the cheapest accelerator first. Needs no account and no running stack."""
    settings = settings_of(context)
    query = OfferQuery(
        accelerator=gpu,
        kind=kind_of(kind),
        count=count,
        several_machines=several,
        price_class=price_class(spot=spot, reserved=reserved),
        network_gbit_min=min_network,
        memory_gib_min=min_memory,
        efa=efa,
        region=region,
    )
    books = OfferBooks(settings.home)
    if pool:
        PoolBook(settings.pools_file).named(pool)
    told = asyncio.run(books.find(query, pool))
    if as_json:
        out.print_json(told.model_dump_json())
        return
    print_found(told, query.price_class)


def print_found(told: FoundOffers, wanted: OfferPriceClass) -> None:
    """A table, then how old the prices are and what is doubtful."""
    show([row(each) for each in told.offers], COLUMNS, as_json=False, empty="No machine fits. Ask for less, or leave a filter out.")
    estimated = any(each.price is not None and each.price.source == "estimate" for each in told.offers)
    out.print(f"US dollars, {wanted.replace('_', ' ')}{', ~ estimated' if estimated else ''}; {told.source}, of {told.at}", markup=False)
    for doubt in told.doubts:
        out.print(f"note: {doubt}", markup=False)


def row(each: FoundOffer) -> JsonObject:
    """One line of the table."""
    offer, several = each.offer, f"{each.machines} x " if each.machines > 1 else ""
    about = "~" if each.price is not None and each.price.source == "estimate" else ""
    return {
        "machine": several + offer.machine,
        "accelerator": offer.accelerator,
        "count": offer.count * each.machines,
        "memory_gib": ACCELERATORS[offer.accelerator].memory_gib,
        "network_gbit": offer.network_gbit,
        "efa": offer.efa_interfaces or "",
        "nvme_gb": offer.nvme_gb or "",
        "region": offer.region,
        "zones": ", ".join(zone.removeprefix(offer.region) for zone in offer.zones),
        "per_hour": about + amount(each.usd_per_hour),
        "each_hour": about + amount(each.usd_per_accelerator_hour),
    }


def amount(value: Decimal | None) -> str:
    """A price with two to four digits after the point."""
    if value is None:
        return "unknown"
    return f"{value:.2f}" if value == value.quantize(Decimal("0.01")) else f"{value:.4f}"


def price_class(*, spot: bool, reserved: bool) -> OfferPriceClass:
    """By which price is sorted. Raises InvalidInput for two at once."""
    if spot and reserved:
        raise InvalidInput("--spot and --reserved exclude each other.", remedy="Give one of them.")
    return "spot" if spot else "reserved" if reserved else "on_demand"


def kind_of(kind: str) -> AcceleratorKind | None:
    """Which kind is wanted, or any. Raises InvalidInput."""
    kinds: dict[str, AcceleratorKind | None] = {"": None, "gpu": "gpu", "neuron": "neuron"}
    if kind not in kinds:
        raise InvalidInput(f"There is no kind '{kind}'.", remedy="Say gpu or neuron.", code="accelerator_unknown")
    return kinds[kind]


@app.command("list")
def list_types(as_json: Json = False) -> None:
    """List the types of the catalogue with their properties."""
    rows: list[JsonObject] = [json.loads(each.model_dump_json()) for each in ACCELERATORS.values()]
    show(rows, TYPES, as_json=as_json, empty="")


@app.command()
def refresh(context: typer.Context, pool: Annotated[str, typer.Option(help="A pool of AWS.")], as_json: Json = False) -> None:
    """Ask a pool's account for its machines, zones and prices of today, and keep the answer under the home with its date."""
    settings = settings_of(context)
    spec = PoolBook(settings.pools_file).named(pool)
    if not isinstance(spec, AwsPool):
        raise InvalidInput(f"Pool {spec.name} is {spec.provider}: it sells nothing.", remedy="Name a pool of AWS.", code="not_offered")
    book = asyncio.run(OfferBooks(settings.home).refresh(spec.name, AwsOffers(spec, settings)))
    priced: dict[str, JsonValue] = {name: sum(name in offer.prices for offer in book.offers) for name in ("on_demand", "spot", "reserved")}
    if as_json:
        out.print_json(json.dumps({"pool": spec.name, "at": str(book.at), "machines": len(book.offers), "prices": priced}))
        return
    out.print(f"{len(book.offers)} machines of {spec.region}, of {book.at}; prices: {json.dumps(priced)}", markup=False)
    for doubt in book.doubts:
        out.print(f"note: {doubt}", markup=False)
