"""Reads machines, zones and prices of one account and region: EC2, the price list and the history of spot prices."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import cast

from factory_infra.errors import LineshaftError
from factory_infra.foundation.accelerators.offers import OfferBook, OfferPrice, OfferPriceClass
from factory_infra.foundation.accelerators.providers.aws_hardware import Described, offer_of
from factory_infra.foundation.pools.aws import Answer, AwsAccess
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings

PRICING_REGIONS = ("us-east-1", "eu-central-1", "ap-south-1")
"""The price list answers in these only."""
FAMILIES = ("p*", "g*", "trn*", "inf*")
"""The families with accelerators: all other types are hundreds, and are not asked for."""
LINUX = "Linux/UNIX"
SPOT_DAYS = 1
AT_ONCE = 4


class AwsOffers:
    """The offers of one pool's account and region.

    Args:
        pool: the pool.
        settings: the installation's.
    """

    def __init__(self, pool: AwsPool, settings: Settings) -> None:
        self._pool = pool
        self._access = AwsAccess(pool, settings)
        at = pool.region if pool.region in PRICING_REGIONS else PRICING_REGIONS[0]
        self._prices = AwsAccess(pool.model_copy(update={"region": at}), settings)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(self) -> OfferBook:
        """Ask for everything. Prices that the account may not read are left out, and that is said."""
        described = [offer for offer in (offer_of(each, self._pool.region) for each in await self._described()) if offer]
        zones = await self._zones([offer.machine for offer in described])
        offers = [offer for offer in described if zones.get(offer.machine)]
        doubts: list[str] = []
        listed = await asyncio.gather(*(self._listed(offer.machine, doubts) for offer in offers))
        spot = await self._spot([offer.machine for offer in offers], doubts)
        today = datetime.now(UTC).date()
        priced = [
            offer.model_copy(update={"zones": zones[offer.machine], "prices": _prices(of_list, spot.get(offer.machine), today)})
            for offer, of_list in zip(offers, listed, strict=True)
        ]
        source = f"pool {self._pool.name}: EC2, price list and spot history of {self._pool.region}"
        return OfferBook(at=today, source=source, doubts=tuple(dict.fromkeys(doubts)), offers=tuple(priced))

    async def _described(self) -> list[Answer]:
        families = [{"Name": "instance-type", "Values": list(FAMILIES)}]
        return await self._access.read_all("ec2", "describe_instance_types", "InstanceTypes", Filters=families)

    async def _zones(self, machines: list[str]) -> dict[str, tuple[str, ...]]:
        told = await self._access.read_all(
            "ec2",
            "describe_instance_type_offerings",
            "InstanceTypeOfferings",
            LocationType="availability-zone",
            Filters=[{"Name": "instance-type", "Values": machines}],
        )
        zones: dict[str, set[str]] = {}
        for each in told:
            zones.setdefault(str(each["InstanceType"]), set()).add(str(each["Location"]))
        return {name: tuple(sorted(found)) for name, found in zones.items()}

    async def _listed(self, machine: str, doubts: list[str]) -> dict[OfferPriceClass, Decimal]:
        wanted = {
            "instanceType": machine,
            "regionCode": self._pool.region,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
        }
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        try:
            async with self._turns:
                told = await self._prices.read_all("pricing", "get_products", "PriceList", ServiceCode="AmazonEC2", Filters=filters)
        except LineshaftError as error:
            doubts.append(f"The price list could not be read: {error.reason}")
            return {}
        return prices_of_product(told)

    async def _spot(self, machines: list[str], doubts: list[str]) -> dict[str, Decimal]:
        since = datetime.now(UTC) - timedelta(days=SPOT_DAYS)
        try:
            told = await self._access.read_all(
                "ec2",
                "describe_spot_price_history",
                "SpotPriceHistory",
                InstanceTypes=machines,
                ProductDescriptions=[LINUX],
                StartTime=since,
            )
        except LineshaftError as error:
            doubts.append(f"Spot prices could not be read: {error.reason}")
            return {}
        paid: dict[str, list[Decimal]] = {}
        for each in told:
            paid.setdefault(str(each["InstanceType"]), []).append(Decimal(str(each["SpotPrice"])))
        return {name: (sum(prices, Decimal(0)) / len(prices)).quantize(Decimal("0.0001")) for name, prices in paid.items()}


def _prices(of_list: Mapping[OfferPriceClass, Decimal], spot: Decimal | None, today: date) -> dict[OfferPriceClass, OfferPrice]:
    prices = {name: OfferPrice(usd_per_hour=amount, at=today, source="list") for name, amount in of_list.items() if amount > 0}
    if spot is not None and spot > 0:
        prices["spot"] = OfferPrice(usd_per_hour=spot, at=today, source="history")
    return prices


def prices_of_product(entries: list[Answer]) -> dict[OfferPriceClass, Decimal]:
    """Read entries of the price list, each JSON in a string: on demand, and one year reserved with nothing up front."""
    prices: dict[OfferPriceClass, Decimal] = {}
    for entry in entries:
        product = cast("Described", json.loads(entry) if isinstance(entry, str) else entry)
        terms = cast("Mapping[str, Mapping[str, Described]]", product.get("terms", {}))
        for term in terms.get("OnDemand", {}).values():
            _note(prices, "on_demand", term)
        for term in terms.get("Reserved", {}).values():
            attributes = cast("Mapping[str, str]", term.get("termAttributes", {}))
            asked = {"LeaseContractLength": "1yr", "PurchaseOption": "No Upfront", "OfferingClass": "standard"}
            if all(attributes.get(name) == value for name, value in asked.items()):
                _note(prices, "reserved", term)
    return prices


def _note(prices: dict[OfferPriceClass, Decimal], name: OfferPriceClass, term: Described) -> None:
    """Keep the hourly price of a term."""
    dimensions = cast("Mapping[str, Mapping[str, object]]", term.get("priceDimensions", {}))
    for dimension in dimensions.values():
        if dimension.get("unit") == "Hrs":
            try:
                prices[name] = Decimal(str(cast("Mapping[str, str]", dimension["pricePerUnit"])["USD"]))
            except (KeyError, InvalidOperation):
                continue
