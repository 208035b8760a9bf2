"""Bedrock's price list: its on-demand prices of tokens become a price book's entries, and nothing else of it does."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from pydantic import JsonValue

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.bedrock_prices import import_bedrock
from factory_infra.saas.metering.models import Charge
from factory_infra.saas.metering.prices import PriceBook

JsonObject = dict[str, JsonValue]
NOVA: dict[str, str] = {
    "USE1-NovaPro-input-tokens": "0.0008000000",
    "USE1-NovaPro-output-tokens": "0.0032000000",
    "USE1-NovaPro-cache-read-input-token-count": "0.0002000000",
    "USE1-NovaPro-cache-write-input-token-count": "0.0000000000",
    "USE1-NovaPro-input-tokens-batch": "0.0004000000",
    "USE1-NovaPro-output-tokens-batch": "0.0016000000",
    "USE1-NovaPro-input-tokens-flex": "0.0000000001",
    "USE1-NovaPro-input-tokens-cross-region-global": "0.0000000001",
    "USE1-NovaPro-speech-input-tokens": "9",
}
"""Usage types as they are, with the price of a thousand tokens."""


def offer_file(prices: dict[str, str], unit: str = "1K tokens", **attributes: str) -> JsonObject:
    """An offer file of the list's form."""
    products: JsonObject = {}
    terms: JsonObject = {}
    for number, (usage, price) in enumerate(prices.items()):
        sku = f"SKU{number}"
        named = {"servicecode": "AmazonBedrock", "regionCode": "us-east-1", "model": "Nova Pro", "usagetype": usage, **attributes}
        products[sku] = {"sku": sku, "productFamily": "Amazon Bedrock", "attributes": dict(named)}
        dimension: JsonObject = {"unit": unit, "beginRange": "0", "endRange": "Inf", "pricePerUnit": {"USD": price}, "appliesTo": []}
        offer: JsonObject = {"offerTermCode": "JRTCKXETXF", "sku": sku, "priceDimensions": {f"{sku}.JRTCKXETXF.6YS6EN2CT7": dimension}}
        terms[sku] = {f"{sku}.JRTCKXETXF": offer}
    return {"formatVersion": "v1.0", "offerCode": "AmazonBedrock", "products": products, "terms": {"OnDemand": terms}}


def merged(*files: JsonObject) -> JsonObject:
    """One file of several, each with its own products."""
    products: JsonObject = {}
    terms: JsonObject = {}
    for place, file in enumerate(files):
        products |= {f"{place}{sku}": value for sku, value in file["products"].items()}  # type: ignore[union-attr]
        terms |= {f"{place}{sku}": value for sku, value in file["terms"]["OnDemand"].items()}  # type: ignore[index,call-overload,union-attr]
    return {"products": products, "terms": {"OnDemand": terms}}


class TestImport:
    def test_prices_of_a_model_in_every_direction(self) -> None:
        assert import_bedrock(offer_file(NOVA)) == {
            "nova-pro": {"in": "0.8", "out": "3.2", "cached": "0.2", "cache_write": "0", "batch": "0.5"}
        }

    def test_what_was_read_is_a_part_of_a_book(self) -> None:
        tokens = {"default": {"in": 1, "out": 1}, **import_bedrock(offer_file(NOVA))}
        book = PriceBook.model_validate({"version": "v", "currency": "USD", "slot_hour": {}, "million_tokens": tokens})
        charge = Charge(unit="tokens", subject="nova-pro", quantity=Decimal(3000), quantity_out=Decimal(1000))
        assert book.price(charge.model_copy(update={"quantity_cached": Decimal(1000)})) == Decimal("0.005")

    def test_a_price_of_a_million_and_a_marketplace_model(self) -> None:
        prices = {"USE1-MP:USE1-input-tokens": "3", "USE1-MP:USE1-output-tokens": "15"}
        file = offer_file(prices, "1M tokens", model="", servicename="Claude Sonnet 4 (Amazon Bedrock Edition)")
        assert import_bedrock(file) == {"claude-sonnet-4": {"in": "3", "out": "15"}}

    def test_embeddings_cost_nothing_out_and_another_model_without_a_price_out_is_left_out(self) -> None:
        embeddings = offer_file({"USE1-TitanEmbedV2-input-tokens": "0.00002"}, model="", titanModel="Titan Text Embeddings V2")
        half = offer_file({"USE1-NovaX-input-tokens": "0.1"}, model="Nova X")
        assert import_bedrock(merged(embeddings, half)) == {"titan-text-embeddings-v2": {"in": "0.02", "out": "0"}}

    def test_of_several_regions_one_is_named(self) -> None:
        dear = offer_file({"EUC1-NovaPro-input-tokens": "0.001", "EUC1-NovaPro-output-tokens": "0.004"}, regionCode="eu-central-1")
        both = merged(offer_file(NOVA), dear)
        with pytest.raises(InvalidInput, match="2 regions") as raised:
            import_bedrock(both)
        assert "eu-central-1, us-east-1" in raised.value.remedy
        assert import_bedrock(both, "eu-central-1") == {"nova-pro": {"in": "1", "out": "4"}}

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            (lambda file: file.pop("products"), "products"),
            (lambda file: file.pop("terms"), "terms"),
            (lambda file: file["terms"].pop("OnDemand"), "OnDemand"),
            (lambda file: file["products"].clear(), "no on-demand prices"),
        ],
    )
    def test_another_file_is_refused(self, change: Callable[[JsonObject], None], word: str) -> None:
        file = offer_file(NOVA)
        change(file)
        with pytest.raises(InvalidInput, match=word):
            import_bedrock(file)

    @pytest.mark.parametrize("price", ["-0.1", "NaN", "cheap"])
    def test_what_is_no_price_is_refused_by_product_and_field(self, price: str) -> None:
        with pytest.raises(InvalidInput, match=r"SKU0.*pricePerUnit"):
            import_bedrock(offer_file({"USE1-NovaPro-input-tokens": price}))

    def test_another_unit_is_no_price_of_tokens(self) -> None:
        with pytest.raises(InvalidInput, match="no on-demand prices"):
            import_bedrock(offer_file(NOVA, "Images"))
