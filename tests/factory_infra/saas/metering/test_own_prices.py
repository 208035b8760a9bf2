"""A price book of one's own: a further version, and nothing of the others changed."""

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.database import utcnow
from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.own_prices import extended, write
from factory_infra.saas.metering.prices import PriceBook

ENTRIES = {"nova-lite": {"in": "0.06", "out": "0.24", "cached": "0.015"}}
LATER = date(2099, 1, 1)


def test_a_further_version_holds_from_its_day_and_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    shipped = PriceBook.load()
    write(extended(shipped, ENTRIES, LATER, "bedrock"), tmp_path / "home" / "book.yaml")
    book = PriceBook.load(tmp_path / "home" / "book.yaml")
    assert book.versions[:-1] == shipped.versions and book.version == shipped.version
    then = book.at(utcnow().replace(year=2099, month=1, day=1) + timedelta(days=1))
    assert (then.version, then.rate("nova-lite").into, then.rate("nova-lite").cached) == (
        "bedrock",
        Decimal("0.06") / 1_000_000,
        Decimal("0.015") / 1_000_000,
    )
    assert then.rate("scripted").into == shipped.rate("scripted").into and then.audio == shipped.now.audio
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["book.yaml"]


@pytest.mark.parametrize(
    ("entries", "since", "version", "code"),
    [
        (ENTRIES, PriceBook.load().versions[0].since, "other", "price_version_taken"),
        (ENTRIES, LATER, PriceBook.load().versions[0].version, "price_version_taken"),
        ({"m": {"in": "-1", "out": "1"}}, LATER, "other", "invalid_input"),
        ({"m": {"in": "1"}}, LATER, "other", "invalid_input"),
        (ENTRIES, LATER, "v" * 33, "invalid_input"),
    ],
)
def test_what_cannot_be_is_refused(entries: dict[str, dict[str, str]], since: date, version: str, code: str) -> None:
    with pytest.raises(LineshaftError) as raised:
        extended(PriceBook.load(), entries, since, version)
    assert raised.value.error_code == code
