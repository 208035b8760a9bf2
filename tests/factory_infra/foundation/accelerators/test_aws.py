"""What a pool of AWS can make and what it costs, as its account tells it."""

from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.offer_books import OfferBooks
from factory_infra.foundation.accelerators.offers import OfferQuery
from factory_infra.foundation.accelerators.providers.aws import AwsAccelerators
from factory_infra.foundation.accelerators.providers.aws_offers import AwsOffers
from factory_infra.foundation.pools.spec import AwsPool
from factory_infra.settings import Settings
from tests.emulators.aws import pricing
from tests.emulators.aws.server import Emulator
from tests.emulators.aws.standing import KEYS, standing

pytestmark = pytest.mark.stack


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Emulator:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    found = standing()
    pricing.plug(found.fresh())
    return found


def pool(emulator: Emulator, *types: str, **fields: object) -> AwsPool:
    entry: dict[str, object] = {"name": "cloud", "region": "us-east-1", "endpoint_url": emulator.address, "instance_types": types}
    return AwsPool.model_validate(entry | fields)


class TestPool:
    async def test_slots_are_the_default_machines_accelerators(self, emulator: Emulator) -> None:
        found = await AwsAccelerators(pool(emulator, "p5.48xlarge", "g6.xlarge", "m5.large", slots_max=64), Settings()).pool()
        assert (found.placement, found.kind, len(found.slots)) == ("machines", "gpu", 64)
        assert (found.slots[0].accelerator, found.slots[0].memory_gib) == ("H100", 80)
        assert [(each.name, each.kind, each.accelerator, each.slots) for each in found.machines] == [
            ("p5.48xlarge", "gpu", "H100", 8),
            ("g6.xlarge", "gpu", "L4", 1),
            ("m5.large", "cpu", "", 2),
        ]

    async def test_a_pool_of_processors_and_one_of_trainium(self, emulator: Emulator) -> None:
        cpus = await AwsAccelerators(pool(emulator, "m5.large"), Settings()).pool()
        assert (cpus.kind, len(cpus.slots)) == ("cpu", 16) and "slots_max" in cpus.note
        assert (await AwsAccelerators(pool(emulator, "trn1.32xlarge"), Settings()).pool()).slots[0].accelerator == "Trainium1"

    async def test_a_pool_without_machines_says_so(self, emulator: Emulator) -> None:
        found = await AwsAccelerators(pool(emulator), Settings()).pool()
        assert found.slots == [] and "instance_types" in found.note

    @pytest.mark.parametrize(
        ("machine", "region", "words"), [("p5.49xlarge", "us-east-1", "p5.48xlarge"), ("p5.48xlarge", "eu-west-3", "region")]
    )
    async def test_a_machine_that_is_not_there_is_told(self, emulator: Emulator, machine: str, region: str, words: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await AwsAccelerators(pool(emulator, machine, region=region), Settings()).pool()
        assert refused.value.error_code == "machine_unknown" and machine in refused.value.reason and words in refused.value.remedy


class TestOffers:
    async def test_an_accounts_own_prices_are_kept_with_their_date(self, emulator: Emulator, tmp_path: Path) -> None:
        spec = pool(emulator, "p5.48xlarge", region="us-east-2")
        books = OfferBooks(tmp_path)
        await books.refresh("cloud", AwsOffers(spec, Settings()))
        found = await books.find(OfferQuery(accelerator="H100", count=8, price_class="spot"), "cloud")
        offer = found.offers[0]
        assert (offer.offer.machine, offer.offer.region) == ("p5.48xlarge", "us-east-2") and offer.offer.zones[0].startswith("us-east-2")
        assert offer.price is not None and offer.price.source == "history"
        prices = offer.offer.prices
        assert prices["on_demand"].usd_per_hour == Decimal("60.544") and prices["reserved"].usd_per_hour == Decimal("39.3536")
        assert "cloud" in found.source and found.doubts == []

    async def test_prices_that_may_not_be_read_are_left_out_and_that_is_said(self, emulator: Emulator) -> None:
        emulator.faults.add("refused", "GetProducts", service="pricing", code="AccessDeniedException", times=1000)
        book = await AwsOffers(pool(emulator, "p5.48xlarge"), Settings()).read()
        assert book.offers and "price list" in book.doubts[0]
        assert all("on_demand" not in offer.prices for offer in book.offers)
