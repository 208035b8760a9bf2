"""Machines by what is in them and what they cost; the shipped book, and one that an account told."""

from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.foundation.accelerators.catalogue import ACCELERATORS
from factory_infra.foundation.accelerators.offer_books import OfferBooks, shipped_book
from factory_infra.foundation.accelerators.offers import OfferBook, OfferQuery, search


class TestShipped:
    def test_every_type_of_the_catalogue_has_a_machine(self) -> None:
        assert {offer.accelerator for offer in shipped_book().offers} == set(ACCELERATORS)

    def test_it_says_of_when_it_is_and_what_is_doubtful(self) -> None:
        book = shipped_book()
        assert str(book.at) in book.source and "estimate" in " ".join(book.doubts)
        assert all(price.at == book.at for offer in book.offers for price in offer.prices.values())
        assert all(offer.prices["spot"].source == "estimate" for offer in book.offers if "spot" in offer.prices)

    def test_the_machine_of_eight_h100(self) -> None:
        found = search(shipped_book(), OfferQuery(accelerator="H100", count=8, price_class="spot", network_gbit_min=400)).offers
        assert [each.offer.machine for each in found] == ["p5.48xlarge"]
        offer = found[0].offer
        assert (offer.count, offer.network_gbit, offer.efa_interfaces, offer.nvme_gb, offer.vcpus) == (8, 3200, 32, 30400, 192)
        assert found[0].network_fast and found[0].usd_per_accelerator_hour == Decimal("2.7520")


class TestSearch:
    def test_the_cheapest_accelerator_comes_first_and_what_has_no_price_last(self) -> None:
        found = search(shipped_book(), OfferQuery(count=8, limit=500)).offers
        prices = [each.usd_per_accelerator_hour for each in found]
        known = [price for price in prices if price is not None]
        assert known == sorted(known) and prices[: len(known)] == known and None in prices

    def test_several_machines_make_up_the_count(self) -> None:
        query = OfferQuery(accelerator="H100", count=20, several_machines=True)
        found = {each.offer.machine: each for each in search(shipped_book(), query).offers}
        assert (found["p5.48xlarge"].machines, found["p5.4xlarge"].machines) == (3, 20)
        assert found["p5.48xlarge"].usd_per_hour == 3 * Decimal("55.04")
        assert search(shipped_book(), OfferQuery(accelerator="H100", count=20)).offers == []

    @pytest.mark.parametrize(
        ("fields", "holds"),
        [
            ({"efa": True}, lambda offer: offer.efa_interfaces > 0),
            ({"network_gbit_min": 400}, lambda offer: offer.network_gbit >= 400),
            ({"kind": "neuron"}, lambda offer: ACCELERATORS[offer.accelerator].kind == "neuron"),
            ({"memory_gib_min": 100}, lambda offer: ACCELERATORS[offer.accelerator].memory_gib >= 100),
            ({"region": "us-east-2"}, lambda offer: offer.region == "us-east-2"),
            ({"machine": "trn1.32xlarge"}, lambda offer: offer.machine == "trn1.32xlarge"),
        ],
    )
    def test_filters(self, fields: dict[str, object], holds: object) -> None:
        found = search(shipped_book(), OfferQuery.model_validate({"limit": 500, **fields})).offers
        assert found and all(holds(each.offer) for each in found)  # type: ignore[operator]
        assert len(found) < len(shipped_book().offers)

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"count": 0}, "accelerator_count_invalid"),
            ({"count": 10_001}, "accelerator_count_invalid"),
            ({"accelerator": "H1000"}, "accelerator_unknown"),
            ({"region": "us-est-1"}, "region_unknown"),
            ({"machine": "p5.49xlarge"}, "machine_unknown"),
        ],
    )
    def test_what_cannot_be_is_told(self, fields: dict[str, object], code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            search(shipped_book(), OfferQuery.model_validate(fields))
        assert refused.value.error_code == code and refused.value.remedy


class TestBooks:
    async def test_a_pool_that_was_asked_has_its_own_and_one_that_was_not_says_so(self, tmp_path: Path) -> None:
        books = OfferBooks(tmp_path)
        own = shipped_book().model_copy(update={"source": "pool cloud", "doubts": ()})

        class Source:
            async def read(self) -> OfferBook:
                return own

        assert "never asked" in (await books.find(OfferQuery(), "cloud")).doubts[0]
        assert await books.refresh("cloud", Source()) == own
        found = await OfferBooks(tmp_path).find(OfferQuery(), "cloud")
        assert (found.source, found.doubts) == ("pool cloud", [])
        assert (await books.find(OfferQuery())).source == shipped_book().source

    async def test_a_damaged_file_counts_as_none(self, tmp_path: Path) -> None:
        (tmp_path / "accelerators").mkdir()
        (tmp_path / "accelerators/cloud.json").write_text("{")
        assert "never asked" in OfferBooks(tmp_path).book("cloud").doubts[0]
