"""Writes the snapshot of machines and list prices that ships: `python -m benchmarks.machines.offers_snapshot`.

The hardware comes from the instance types that moto carries (a copy of DescribeInstanceTypes), the prices from the table below: on demand
and one year reserved with nothing up front, Linux, us-east-1, as the public price list had them on the day named. Spot prices move
by the hour and are no list: the snapshot has an estimate, and says so.
"""

import gzip
import json
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import moto

from factory_infra.foundation.accelerators.offer_books import SHIPPED
from factory_infra.foundation.accelerators.offers import MachineOffer, OfferBook, OfferPrice, OfferPriceClass
from factory_infra.foundation.accelerators.providers.aws_hardware import offer_of

REGION = "us-east-1"
OTHER_REGIONS = ("us-east-2", "us-west-2", "us-west-1", "sa-east-1")
"""Where a machine is looked for that is not offered in the first one."""
PRICED = date(2025, 11, 30)
SPOT_SHARE = Decimal("0.4")
PRICES: dict[str, tuple[str, str]] = {
    "g6.xlarge": ("0.8048", ""),
    "g6.2xlarge": ("0.9776", "0.63642"),
    "g6.4xlarge": ("1.3232", "0.8614"),
    "g6.8xlarge": ("2.0144", ""),
    "g6.12xlarge": ("4.6016", "2.99564"),
    "g6.16xlarge": ("3.3968", "2.21132"),
    "g6.24xlarge": ("6.6752", "4.34556"),
    "g6.48xlarge": ("13.3504", "8.69111"),
    "gr6.4xlarge": ("1.5392", "1.00202"),
    "gr6.8xlarge": ("2.4464", "1.59261"),
    "g6e.xlarge": ("1.861", "1.17243"),
    "g6e.2xlarge": ("2.24208", "1.41251"),
    "g6e.4xlarge": ("3.00424", "1.89267"),
    "g6e.8xlarge": ("4.52856", "2.85299"),
    "g6e.12xlarge": ("10.49264", "6.61036"),
    "g6e.16xlarge": ("7.57719", "4.77363"),
    "g6e.24xlarge": ("15.06559", "9.49132"),
    "g6e.48xlarge": ("30.13118", "18.98264"),
    "p4d.24xlarge": ("21.957642", "13.921094"),
    "p4de.24xlarge": ("27.44705", "17.401365"),
    "p5.4xlarge": ("6.88", ""),
    "p5.48xlarge": ("55.04", ""),
    "p5en.48xlarge": ("63.296", ""),
    "p6-b200.48xlarge": ("113.9328", ""),
    "trn1.2xlarge": ("1.34375", "0.82681"),
    "trn1.32xlarge": ("21.5", "13.22895"),
    "trn1n.32xlarge": ("24.78", "15.24713"),
    "inf2.xlarge": ("0.7582", "0.47767"),
    "inf2.8xlarge": ("1.96786", "1.23975"),
    "inf2.24xlarge": ("6.49063", "4.0891"),
    "inf2.48xlarge": ("12.98127", "8.1782"),
}
"""On demand and reserved, in US dollars an hour; "" where the list had none or it was not read."""
DOUBTS = (
    f"List prices of {REGION} on {PRICED}: other regions cost more, and AWS changes prices of accelerators; ask an account for today's.",
    f"Spot prices are an estimate of {SPOT_SHARE:.0%} of on demand, not a market's: a pool's own book has the paid ones.",
    f"p5e.48xlarge and trn2 are not offered in {REGION}: they are shown in another region, without a price.",
    "Machines with a part of a GPU (g6f, gr6f) and accelerators outside the catalogue (T4, A10G, B300, …) are left out.",
)


def resource(*parts: str) -> object:
    """One of moto's data files."""
    file = Path(moto.__file__).parent.joinpath("ec2", "resources", *parts)
    return json.loads(gzip.decompress(file.read_bytes()))


@cache
def offered_in(region: str) -> dict[str, tuple[str, ...]]:
    """Which types are offered in which zones of a region."""
    entries = resource("instance_type_offerings", "availability-zone", f"{region}.json.gz")
    assert isinstance(entries, list)
    zones: dict[str, set[str]] = {}
    for each in entries:
        zones.setdefault(each["InstanceType"], set()).add(each["Location"])
    return {name: tuple(sorted(found)) for name, found in zones.items()}


def zones_of(machine: str, region: str) -> tuple[str, ...]:
    """The zones of a region where a machine is offered."""
    return offered_in(region).get(machine, ())


def prices_of(machine: str) -> dict[OfferPriceClass, OfferPrice]:
    """The prices in the table, and the estimate of spot."""
    on_demand, reserved = PRICES.get(machine, ("", ""))
    prices: dict[OfferPriceClass, OfferPrice] = {}
    if on_demand:
        prices["on_demand"] = OfferPrice(usd_per_hour=Decimal(on_demand), at=PRICED, source="list")
        guess = (Decimal(on_demand) * SPOT_SHARE).quantize(Decimal("0.0001"))
        prices["spot"] = OfferPrice(usd_per_hour=guess, at=PRICED, source="estimate")
    if reserved:
        prices["reserved"] = OfferPrice(usd_per_hour=Decimal(reserved), at=PRICED, source="list")
    return prices


def snapshot() -> OfferBook:
    """The book that ships."""
    types = resource("instance_types.json.gz")
    assert isinstance(types, dict)
    offers: list[MachineOffer] = []
    for name in sorted(types):
        region = next((each for each in (REGION, *OTHER_REGIONS) if zones_of(name, each)), REGION)
        offer = offer_of(types[name], region)
        if offer is not None:
            offers.append(offer.model_copy(update={"zones": zones_of(name, region), "prices": prices_of(name)}))
    version = moto.__version__
    return OfferBook(
        at=PRICED, source=f"list price snapshot of {PRICED}, {REGION}; hardware from moto {version}", doubts=DOUBTS, offers=tuple(offers)
    )


def main() -> None:
    """Write it."""
    book = snapshot()
    SHIPPED.write_text(book.model_dump_json(indent=1) + "\n", encoding="utf-8")
    print(f"{len(book.offers)} machines in {SHIPPED.name}")


if __name__ == "__main__":
    main()
