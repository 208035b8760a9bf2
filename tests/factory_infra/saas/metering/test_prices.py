"""The price book: exact money, a price for every model, none for an unknown kind of slot."""

from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Charge
from factory_infra.saas.metering.prices import PriceBook

BOOK = """
version: test
currency: EUR
slot_hour: {cpu: "0.36"}
million_tokens:
  default: {in: "3", out: "5"}
  small: {in: "0.1", out: "0.3"}
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    path = tmp_path / "prices.yaml"
    path.write_text(BOOK)
    return PriceBook.load(path)


def tokens(subject: str, into: int, out: int) -> Charge:
    return Charge(unit="tokens", subject=subject, quantity=Decimal(into), quantity_out=Decimal(out))


class TestPrice:
    def test_tokens_in_and_out_have_prices_of_their_own(self, book: PriceBook) -> None:
        assert book.price(tokens("small", 1_000_000, 1)) == Decimal("0.1000003")

    def test_money_is_exact(self, book: PriceBook) -> None:
        each = book.price(tokens("small", 1, 0))
        assert isinstance(each, Decimal)
        assert sum((each for _ in range(10)), Decimal(0)) == Decimal("0.000001")

    def test_an_unknown_model_costs_the_default(self, book: PriceBook) -> None:
        assert book.price(tokens("nobody-knows", 1_000_000, 1_000_000)) == Decimal(8)

    def test_a_model_with_a_tag_costs_as_its_family(self, book: PriceBook) -> None:
        assert book.price(tokens("small:latest", 1_000_000, 0)) == Decimal("0.1")

    def test_slot_seconds_are_a_part_of_an_hour(self, book: PriceBook) -> None:
        assert book.price(Charge(unit="slot_seconds", subject="cpu", quantity=Decimal(10))) == Decimal("0.001")

    def test_an_unknown_kind_of_slot_is_refused(self, book: PriceBook) -> None:
        with pytest.raises(InvalidInput, match="abacus") as raised:
            book.price(Charge(unit="slot_seconds", subject="abacus", quantity=Decimal(1)))
        assert "slot_hour" in raised.value.remedy


class TestLoad:
    def test_the_shipped_book_prices_every_kind_of_slot(self) -> None:
        assert {"cpu", "gpu"} <= set(PriceBook.load().slot_hour)

    @pytest.mark.parametrize(
        ("text", "field"),
        [
            (BOOK.replace("currency: EUR", ""), "currency"),
            (BOOK.replace('"0.36"', "cheap"), "slot_hour.cpu"),
            (BOOK.replace('in: "3"', 'in: "-3"'), "million_tokens.default.in"),
            (BOOK + "discount: 5\n", "discount"),
            (BOOK.replace("  default:", "  other:"), "default"),
            ("version: [", "version"),
            ("", "PriceBook"),
        ],
    )
    def test_a_broken_book_is_refused_by_file_and_field(self, tmp_path: Path, text: str, field: str) -> None:
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        with pytest.raises(InvalidInput) as raised:
            PriceBook.load(path)
        assert str(path) in raised.value.reason
        assert field in raised.value.reason

    def test_an_absent_book_is_refused_by_name(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"nowhere\.yaml"):
            PriceBook.load(tmp_path / "nowhere.yaml")
