"""Bedrock's list prices, out of the AWS Price List's offer file (`offers/v1.0/aws/AmazonBedrock/current/REGION/index.json`)."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from pydantic import JsonValue

from factory_infra.errors import InvalidInput

PER_MILLION = {"1K tokens": Decimal(1000), "1K Tokens": Decimal(1000), "1M tokens": Decimal(1), "Million tokens": Decimal(1)}
"""By the unit of a price: how many of it a million tokens are. What is sold by another unit is no price of tokens."""
DIRECTIONS = {
    "input-tokens": "in",
    "input-token-count": "in",
    "output-tokens": "out",
    "output-token-count": "out",
    "cache-read-input-token-count": "cached",
    "cache-read-input-tokens": "cached",
    "cache-write-input-token-count": "cache_write",
    "cache-write-input-tokens": "cache_write",
}
"""What a usage type says after its region and model."""
USAGE = re.compile(rf"(?P<model>.+?)-(?P<direction>{'|'.join(sorted(DIRECTIONS, key=len, reverse=True))})(?:-standard)?(?P<batch>-batch)?")
NO_TEXT = ("-speech", "-audio", "-image", "-video", "-custom-model")
"""Ends of a usage type's model for tokens that are no text, or of a model of one's own."""
EDITION = " (Amazon Bedrock Edition)"


class Listed(NamedTuple):
    """One price of the list: what a million tokens cost."""

    model: str
    region: str
    direction: str
    batch: bool
    amount: Decimal


def import_bedrock(document: Mapping[str, JsonValue], region: str | None = None) -> dict[str, dict[str, str]]:
    """Read on-demand prices of tokens into entries for a price book's `million_tokens`, by model.

    A model is named as the list names it, in lower case with hyphens (`Nova Lite` becomes `nova-lite`): the gateway's file says which
    of its routes is priced so. Other tiers than the standard one and in batch (provisioned, flex, priority, across regions, of custom
    models) are left out, and so are models without a price in both directions, but embeddings cost nothing out. Where batches have
    several factors the dearest is taken.

    Args:
        document: the offer file as parsed JSON.
        region: the region's code, such as eu-central-1; needed where the file has several.

    Raises InvalidInput for a file of another form, prices below zero, currencies other than USD, or several regions and none named.
    """
    products, terms = _objects(document, "products"), _objects(_objects(document, "terms"), "OnDemand")
    listed = [each for sku, product in products.items() if (each := _listed(str(sku), product, terms)) is not None]
    regions = {each.region for each in listed}
    if region is None and len(regions) > 1:
        raise InvalidInput(f"The price list has {len(regions)} regions.", remedy=f"Name one of {', '.join(sorted(regions))}.")
    found: dict[str, dict[tuple[str, bool], Decimal]] = {}
    for each in listed:
        if region in (None, each.region):
            prices = found.setdefault(each.model, {})
            key = (each.direction, each.batch)
            prices[key] = max(each.amount, prices.get(key, each.amount))
    entries = {model: entry for model, prices in sorted(found.items()) if (entry := _entry(model, prices))}
    if not entries:
        raise InvalidInput("The price list has no on-demand prices of tokens.", remedy="Give AmazonBedrock's offer file.")
    return entries


def _objects(document: Mapping[str, JsonValue], field: str) -> dict[str, JsonValue]:
    value = document.get(field)
    if not isinstance(value, dict):
        raise InvalidInput(f"'{field}' is missing: this is no offer file of the AWS Price List.", remedy="Give AmazonBedrock's offer file.")
    return value


def _listed(sku: str, product: JsonValue, terms: Mapping[str, JsonValue]) -> Listed | None:
    """The price of a product, if it is one of tokens on demand."""
    attributes = product.get("attributes") if isinstance(product, dict) else None
    if not isinstance(attributes, dict):
        return None
    usage = USAGE.fullmatch(str(attributes.get("usagetype", "")))
    name = attributes.get("model") or attributes.get("titanModel") or str(attributes.get("servicename", "")).partition(EDITION)[0]
    price = next(_amounts(sku, terms.get(sku)), None)
    if usage is None or usage["model"].lower().endswith(NO_TEXT) or not name or price is None:
        return None
    model = re.sub(r"[^a-z0-9.]+", "-", str(name).lower()).strip("-")
    return Listed(model, str(attributes.get("regionCode", "")), DIRECTIONS[usage["direction"]], usage["batch"] is not None, price)


def _amounts(sku: str, offers: JsonValue) -> Iterator[Decimal]:
    """What a million tokens of a product cost, by each of its terms."""
    for offer in offers.values() if isinstance(offers, dict) else ():
        dimensions = offer.get("priceDimensions") if isinstance(offer, dict) else None
        for dimension in dimensions.values() if isinstance(dimensions, dict) else ():
            if isinstance(dimension, dict) and (units := PER_MILLION.get(str(dimension.get("unit")))) is not None:
                yield _usd(sku, dimension.get("pricePerUnit")) * units


def _usd(sku: str, price: JsonValue) -> Decimal:
    words = price.get("USD") if isinstance(price, dict) else None
    try:
        amount = Decimal(str(words))
    except InvalidOperation as error:
        raise InvalidInput(f"Product {sku}: 'pricePerUnit' has no amount in USD.", remedy="Give the list in USD.") from error
    if not amount.is_finite() or amount < 0:
        raise InvalidInput(f"Product {sku}: 'pricePerUnit' {words} is no price.", remedy="Give a list as AWS publishes it.")
    return amount


def _entry(model: str, prices: Mapping[tuple[str, bool], Decimal]) -> dict[str, str] | None:
    """A price book's entry of a model; None without a price of what goes in, or, but for embeddings, of what comes out."""
    into, out = prices.get(("in", False)), prices.get(("out", False), Decimal(0) if "embed" in model else None)
    if into is None or out is None:
        return None
    entry = {"in": into, "out": out}
    entry |= {name: prices[name, False] for name in ("cached", "cache_write") if (name, False) in prices}
    pairs = ((prices.get((name, True)), prices.get((name, False))) for name in ("in", "out"))
    factors = [batch / single for batch, single in pairs if batch is not None and single]
    entry |= {"batch": max(factors)} if factors else {}
    return {name: f"{amount.normalize():f}" for name, amount in entry.items()}
