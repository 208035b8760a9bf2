"""The price list: on demand and reserved, in the shape in which it comes."""

import json

from factory_infra.foundation.accelerators.offer_books import shipped_book
from tests.emulators.aws.world import Answer, Json, Request, World

RESERVED = {"LeaseContractLength": "1yr", "PurchaseOption": "No Upfront", "OfferingClass": "standard"}
DEARER_ELSEWHERE = 1.1
"""In other regions than the first."""


def plug(world: World) -> None:
    """Put prices into a fresh world: those that we ship."""
    for offer in shipped_book().offers:
        if "on_demand" in offer.prices:
            world.prices.setdefault(offer.machine, float(offer.prices["on_demand"].usd_per_hour))
    world.handlers["pricing", "GetProducts"] = get_products


def get_products(world: World, request: Request) -> Answer:
    asked = {each["Field"]: each["Value"] for each in request.json().get("Filters", [])}
    machine = asked.get("instanceType", "")
    if machine not in world.prices:
        return Answer({"FormatVersion": "aws_v1", "PriceList": []})
    factor = 1.0 if asked.get("regionCode") == "us-east-1" else DEARER_ELSEWHERE
    price = world.prices[machine] * factor
    terms: Json = {"OnDemand": {"SKU.OD": term(price)}, "Reserved": {}}
    for name, attributes, share in (("RI", RESERVED, 0.65), ("RI3", {**RESERVED, "LeaseContractLength": "3yr"}, 0.4)):
        terms["Reserved"][f"SKU.{name}"] = {**term(price * share), "termAttributes": attributes}
    product = {"product": {"attributes": {"instanceType": machine}, "sku": "SKU"}, "serviceCode": "AmazonEC2", "terms": terms}
    return Answer({"FormatVersion": "aws_v1", "PriceList": [json.dumps(product)]})


def term(price: float) -> Json:
    """One term with its hourly price, and one with a fee that is no hourly price."""
    hours = {"unit": "Hrs", "pricePerUnit": {"USD": f"{price:.10f}"}}
    return {"priceDimensions": {"HRS": hours, "FEE": {"unit": "Quantity", "pricePerUnit": {"USD": "0"}}}, "termAttributes": {}}
