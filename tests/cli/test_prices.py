"""`lineshaft prices`: what holds, and a book of one's own with imported prices."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli import prices
from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.prices import PriceBook
from tests.cli.control import Answers

BOOK = PriceBook.load()
TOLD = {"version": BOOK.version, "currency": "USD", "versions": [each.model_dump(mode="json", by_alias=True) for each in BOOK.versions]}
ENTRIES = {"nova-lite": {"in": "0.06", "out": "0.24"}}


def call(home: Path, *words: str) -> Result:
    return CliRunner().invoke(prices.app, list(words), obj=home)


@pytest.fixture
def offer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list that is read into one model's prices."""
    monkeypatch.setattr(prices, "import_bedrock", lambda document, region: ENTRIES if document == {"region": region} else {})
    path = tmp_path / "offer.json"
    path.write_text('{"region": "eu-central-1"}')
    return path


def refused(result: Result) -> str:
    assert isinstance(result.exception, LineshaftError), result.output
    return result.exception.error_code


class TestShow:
    def test_a_row_for_each_price_and_which_version_is_in_force(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(prices, "client_of", lambda _: Answers({"/v1/prices": TOLD}))
        told = call(tmp_path, "show").stdout
        for word in ("scripted", "0.06", "cpu", f"version {BOOK.version} is in force"):
            assert word in told
        assert json.loads(call(tmp_path, "show", "--json").stdout) == TOLD
        assert "scripted" in call(tmp_path, "show", "--all").stdout


class TestImport:
    def test_writes_a_book_that_holds_from_a_day_and_says_how_to_use_it(self, tmp_path: Path, offer: Path) -> None:
        told = call(tmp_path, "import", "bedrock", str(offer), "--region", "eu-central-1", "--from", "2099-01-01")
        assert told.exit_code == 0 and "LINESHAFT_PRICE_BOOK=" in told.stdout and "1 models' prices hold from 2099-01-01" in told.stdout
        book = PriceBook.load(tmp_path / "price_book.yaml")
        assert [each.version for each in book.versions] == [BOOK.version, "bedrock-2099-01-01"]
        assert book.versions[:1] == BOOK.versions[:1] and book.version == BOOK.version

    def test_again_adds_to_it_and_changes_nothing_that_is_there(self, tmp_path: Path, offer: Path) -> None:
        words = ("import", "bedrock", str(offer), "--region", "eu-central-1", "--from")
        for day in ("2099-01-01", "2099-02-01"):
            assert call(tmp_path, *words, day).exit_code == 0
        assert len(PriceBook.load(tmp_path / "price_book.yaml").versions) == 3
        before = (tmp_path / "price_book.yaml").read_bytes()
        assert refused(call(tmp_path, *words, "2099-02-01")) == "price_version_taken"
        assert (tmp_path / "price_book.yaml").read_bytes() == before

    def test_no_day_that_is_over_and_no_file_that_is_none(self, tmp_path: Path, offer: Path) -> None:
        assert refused(call(tmp_path, "import", "bedrock", str(offer), "--from", "2020-01-01")) == "price_date_over"
        offer.write_text("[]")
        assert refused(call(tmp_path, "import", "bedrock", str(offer))) == "invalid_input"
        assert refused(call(tmp_path, "import", "bedrock", str(tmp_path / "absent"))) == "invalid_input"
