"""The price book: exact money, dated versions, a price for every model, none for an unknown kind of slot."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.models import Charge, Usage
from factory_infra.saas.metering.prices import PriceBook, Prices

BOOK = """
version: test
currency: EUR
slot_hour: {cpu: "0.36"}
million_tokens:
  default: {in: "3", out: "5"}
  small: {in: "0.1", out: "0.3"}
"""
"""A single version, as books were before they had several."""
VERSIONS = """
versions:
  - version: second
    from: 2026-02-01
    currency: EUR
    slot_hour: {cpu: "2"}
    million_tokens:
      default: {in: "30", out: "50"}
      careful: {in: "10", out: "20", cached: "1", cache_write: "12.5", batch: "0.5"}
    audio:
      default: {minute: "0.6", million_characters: "4"}
      listener: {minute: "0.06"}
  - version: first
    from: "2026-01-01"
    currency: EUR
    slot_hour: {cpu: "1"}
    million_tokens:
      default: {in: "3", out: "5"}
"""


@pytest.fixture
def book(tmp_path: Path) -> PriceBook:
    return load(tmp_path, BOOK)


PARSED = yaml.safe_load(VERSIONS)


def load(folder: Path, words: str) -> PriceBook:
    path = folder / "prices.yaml"
    path.write_text(words)
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

    def test_a_price_is_rounded_to_what_the_ledger_keeps(self, book: PriceBook) -> None:
        price = book.price(Charge(unit="slot_seconds", subject="cpu", quantity=Decimal("0.000001")))
        assert price == Decimal("0.0000000001")
        assert -int(price.as_tuple().exponent) == 12

    def test_cached_and_kept_tokens_cost_as_the_others_where_nothing_else_is_said(self, book: PriceBook) -> None:
        charge = tokens("small", 1_000_000, 0).model_copy(update={"quantity_cached": Decimal(400_000)})
        assert book.price(charge) == Decimal("0.1")


class TestVersions:
    @pytest.mark.parametrize(
        ("moment", "version"),
        [
            (datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC), "first"),
            (datetime(2026, 2, 1, tzinfo=UTC), "second"),
            (datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2))), "first"),
            (datetime(2030, 1, 1, tzinfo=UTC), "second"),
            (datetime(2001, 1, 1, tzinfo=UTC), "first"),
        ],
    )
    def test_each_holds_from_its_day_on_and_the_first_before_it_too(self, tmp_path: Path, moment: datetime, version: str) -> None:
        assert load(tmp_path, VERSIONS).at(moment).version == version

    def test_a_version_is_found_by_name_and_what_holds_now_in_place_of_one_that_is_gone(self, tmp_path: Path) -> None:
        book = load(tmp_path, VERSIONS)
        assert book.named("first").slot_hour == {"cpu": 1}
        assert book.named("forgotten") == book.now

    def test_a_single_version_is_a_book(self, book: PriceBook) -> None:
        assert (book.version, book.currency, book.slot_hour, len(book.versions)) == ("test", "EUR", {"cpu": Decimal("0.36")}, 1)


class TestRate:
    @pytest.fixture
    def prices(self, tmp_path: Path) -> Prices:
        return load(tmp_path, VERSIONS).named("second")

    def test_each_direction_has_its_price(self, prices: Prices) -> None:
        usage = Usage(tokens_in=1_000_000, tokens_out=100_000, tokens_cached=600_000, tokens_cache_written=200_000)
        assert prices.rate("careful").cost(usage) == Decimal("2") + Decimal("0.6") + Decimal("2.5") + Decimal("2")
        assert prices.rate("careful", batch=True).cost(usage) == Decimal("3.55")

    def test_speech_is_priced_by_the_minute_and_by_characters(self, prices: Prices) -> None:
        assert prices.rate("listener").cost(Usage(audio_seconds=90.0)) == Decimal("0.09")
        assert prices.rate("speaker").cost(Usage(characters=1_000)) == Decimal("0.004")
        assert prices.price(Charge(unit="audio_seconds", subject="listener", quantity=Decimal(90))) == Decimal("0.09")
        assert prices.price(Charge(unit="characters", subject="speaker", quantity=Decimal(1_000))) == Decimal("0.004")

    def test_a_book_without_audio_has_a_price_for_it(self, book: PriceBook) -> None:
        assert book.rate("any").cost(Usage(audio_seconds=60.0)) > 0
        assert book.rate("any").cost(Usage(characters=60)) > 0

    def test_more_cached_than_came_in_is_never_a_refund(self, prices: Prices) -> None:
        assert prices.rate("careful").cost(Usage(tokens_in=5, tokens_cached=10)) == Decimal("0.00001")

    @given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5), st.booleans())
    def test_a_rate_and_a_price_agree_and_the_worst_is_worst(self, first: int, second: int, out: int, batch: bool) -> None:
        prices = PriceBook.model_validate(PARSED).named("second")
        usage = Usage(tokens_in=first + second, tokens_out=out, tokens_cached=first, tokens_cache_written=second // 2)
        charge = tokens("careful", first + second, out).model_copy(
            update={"quantity_cached": Decimal(first), "quantity_cache_written": Decimal(second // 2), "batch": batch}
        )
        rate = prices.rate("careful", batch=batch)
        assert rate.cost(usage) == prices.price(charge) <= rate.worst(usage.tokens_in, usage.tokens_out)


class TestLoad:
    def test_the_shipped_book_prices_every_kind_of_slot(self) -> None:
        assert {"cpu", "gpu"} <= set(PriceBook.load().slot_hour)

    def test_the_shipped_book_prices_the_models_of_the_house(self) -> None:
        assert {"qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "scripted"} <= set(PriceBook.load().now.million_tokens)

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
            (BOOK.replace('"0.36"', "-0.36"), "slot_hour.cpu"),
            (VERSIONS.replace("from: 2026-02-01", "from: 2026-01-01"), "from"),
            (VERSIONS.replace("from: 2026-02-01", "from: soon"), "versions.0.from"),
            (VERSIONS.replace("version: second", "version: first"), "version"),
            (VERSIONS.replace("currency: EUR", "currency: USD", 1), "currency"),
            (VERSIONS.replace('minute: "0.6"', 'minute: "-1"'), "versions.0.audio.default.minute"),
            (VERSIONS.replace('cached: "1"', 'cached: "-1"'), "versions.0.million_tokens.careful.cached"),
            (VERSIONS.replace("      default: {minute", "      other: {minute"), "versions.0.audio"),
            ("versions: []", "versions"),
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
