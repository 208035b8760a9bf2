"""A file that conforms passes; each way of breaking it is named, by row, column and rule."""

import csv
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.optimization.focus import EMITTED, csv_lines, parquet_bytes, row_of, rows
from factory_infra.paas.optimization.focus_check import check, check_file
from factory_infra.paas.optimization.focus_columns import COLUMNS, MANDATORY, SUBCATEGORIES
from factory_infra.paas.optimization.models import Charge

CHARGE = Charge(
    day=date(2026, 11, 30),
    organisation="acme",
    team="vision",
    team_title="=HYPERLINK(1)",
    project="maps",
    key="key-1",
    agent="trainer",
    plan="plan-1",
    subject="gpu:H100:spot",
    unit="slot_seconds",
    meter="slots",
    pool="h100",
    resource="lease-1",
    resource_kind="lease",
    price_version="2026-11-01",
    consumed=Decimal(7200),
    priced=Decimal(2),
    unit_price=Decimal("2.5"),
    basis="list",
    amount=Decimal("5.000000000000"),
    charges=1,
)


def cells(**changed: str | None) -> dict[str, str | None]:
    """A row that conforms, with some cells changed."""
    head, line = csv_lines(rows([CHARGE], "USD"))
    row = dict(zip(next(csv.reader([head])), next(csv.reader([line])), strict=True))
    return {name: value or None for name, value in row.items()} | changed


def wrong(**changed: str | None) -> set[tuple[str, str]]:
    """What is wrong with it then."""
    return {(each.column, each.rule) for each in check(EMITTED, [cells(**changed)]).first}


def test_the_table_is_that_of_the_specification() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == 57 and names == sorted(names) and len(MANDATORY) == 21
    assert len(SUBCATEGORIES) == 19 and sum(len(each) for each in SUBCATEGORIES.values()) == 82


def test_what_is_exported_conforms_and_is_no_formula() -> None:
    found = cells()
    assert wrong() == set()
    assert found["BilledCost"] == "5" and found["SubAccountName"] == "'=HYPERLINK(1)"
    assert (found["BillingPeriodStart"], found["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert found["PricingCategory"] == "Dynamic" and found["InvoiceId"] == "vision/2026-11"
    assert set(EMITTED) >= MANDATORY


@pytest.mark.parametrize(
    ("changed", "column", "rule"),
    [
        ({"BilledCost": None}, "BilledCost", "null"),
        ({"BilledCost": "5e3"}, "BilledCost", "type"),
        ({"BilledCost": "5,000"}, "BilledCost", "type"),
        ({"BillingPeriodStart": "2026-11-01"}, "BillingPeriodStart", "type"),
        ({"ChargeCategory": "Use"}, "ChargeCategory", "allowed values"),
        ({"ChargeClass": "Refund"}, "ChargeClass", "allowed values"),
        ({"BillingCurrency": "dollars"}, "BillingCurrency", "currency format"),
        ({"PricingUnit": "hours"}, "PricingUnit", "unit format"),
        ({"ListCost": "6"}, "ListCost", "product"),
        ({"ListUnitPrice": "-1"}, "ListUnitPrice", "range"),
        ({"ConsumedQuantity": "0"}, "ConsumedQuantity", "range"),
        ({"PricingQuantity": None}, "PricingQuantity", "null"),
        ({"SkuId": None}, "SkuId", "null"),
        ({"ServiceSubcategory": "Generative AI"}, "ServiceSubcategory", "allowed values"),
        ({"ChargePeriodEnd": "2026-11-30T00:00:00Z"}, "ChargePeriodEnd", "period"),
        ({"Tags": "team=vision"}, "Tags", "type"),
        ({"ChargeCategory": "Purchase"}, "ChargeFrequency", "allowed values"),
        ({"ChargeCategory": "Tax"}, "SkuId", "null"),
        ({"ProviderName": "  "}, "ProviderName", "type"),
        ({"SubAccountId": None}, "SubAccountName", "null"),
    ],
)
def test_each_way_to_break_it_is_named(changed: dict[str, str | None], column: str, rule: str) -> None:
    assert (column, rule) in wrong(**changed)


def test_the_head_is_checked_too() -> None:
    names = [name for name in EMITTED if name != "BilledCost"]
    found = {(each.column, each.rule) for each in check([*names, "Cost", "x_bad-name"], []).first}
    assert {("BilledCost", "presence"), ("Cost", "name"), ("x_bad-name", "name"), ("", "order")} <= found


def test_a_correction_needs_no_price() -> None:
    corrected = replace(CHARGE, corrects="earlier period", unit_price=None, amount=Decimal(-1))
    same = replace(corrected, corrects="same period")
    head, *lines = csv_lines(rows([corrected, same], "USD"))
    names = next(csv.reader([head]))
    report = check(names, [{name: cell or None for name, cell in zip(names, next(csv.reader([line])), strict=True)} for line in lines])
    assert report.conforms, report.first
    assert row_of(corrected, "USD")["ChargeClass"] == "Correction" and row_of(same, "USD")["ChargeCategory"] == "Adjustment"


def test_files_of_both_kinds(tmp_path: Path) -> None:
    csv_file, parquet_file = tmp_path / "a.csv", tmp_path / "a.parquet"
    csv_file.write_text("".join(csv_lines(rows([CHARGE], "USD"))))
    parquet_file.write_bytes(parquet_bytes(rows([CHARGE], "USD")))
    for file in (csv_file, parquet_file):
        report = check_file(file)
        assert report.conforms, report.first
        assert report.rows == 1 and Decimal(report.billed_cost) == 5
    csv_file.write_text(csv_file.read_text().rstrip("\n") + ",surplus\n")
    assert {each.rule for each in check_file(csv_file).first} == {"shape"}
    with pytest.raises(InvalidInput):
        check_file(tmp_path / "none.csv")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    with pytest.raises(InvalidInput):
        check_file(tmp_path / "b.parquet")
