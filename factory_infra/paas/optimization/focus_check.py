"""Checks a file against FOCUS 1.2, as strictly as its text: columns, types, empty cells, allowed values, and what must agree in a row."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, Field

from factory_infra.errors import InvalidInput
from factory_infra.paas.optimization.focus_columns import BY_NAME, MANDATORY, SUBCATEGORIES, VERSION

TOLD_MAX = 100
MISMATCH_MAX = Decimal("0.000001")
"""How far a price times a quantity may lie from the cost: prices are told to so many digits, and the ledger rounds each entry."""
NUMBER = re.compile(r"-?\d+(\.\d+)?")
MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
CURRENCY = re.compile(r"[A-Z]{3}")
CUSTOM = re.compile(r"x_[A-Za-z0-9]{1,48}")
UNIT = re.compile(r"(\d+ )?[A-Z][A-Za-z]*(-[A-Z][A-Za-z]*)*(/(\d+ )?[A-Z][A-Za-z]*)?")
Cells = Mapping[str, str | None]


class Violation(BaseModel):
    """One thing that the specification does not allow."""

    row: int = Field(description="From 1; 0 for the file's head.")
    column: str
    rule: str
    words: str


class FocusReport(BaseModel):
    """What a check found: at most 100 violations are listed."""

    version: str = VERSION
    rows: int
    billed_cost: str
    violations: int
    first: list[Violation]

    @property
    def conforms(self) -> bool:
        """Whether nothing was found."""
        return not self.violations


class Wrong(NamedTuple):
    """A violation before it has its row."""

    column: str
    rule: str
    words: str


def check_file(path: Path) -> FocusReport:
    """Check a CSV or Parquet file. Raises InvalidInput for one that cannot be read."""
    try:
        if path.suffix == ".parquet":
            return check(*parquet_rows(path))
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restkey="\0rest", strict=True)
            names = reader.fieldnames or []
            return check(names, ({name: row.get(name) or None for name in names} | rest_of(row) for row in reader))
    except (OSError, UnicodeDecodeError, csv.Error, ValueError) as error:
        raise InvalidInput(f"{path.name} cannot be read: {str(error)[:200]}", remedy="Give a file of CSV or Parquet.") from error


def rest_of(row: Mapping[str, object]) -> dict[str, str | None]:
    """Cells beyond the head, as what they are: too many."""
    return {"\0rest": "more cells than columns"} if row.get("\0rest") else {}


def parquet_rows(path: Path) -> tuple[list[str], Iterator[Cells]]:
    """The names of a file's columns, and its rows as words."""
    from pyarrow import parquet  # noqa: PLC0415 - heavy

    file = parquet.ParquetFile(path)
    names = [str(name) for name in file.schema_arrow.names]
    return names, ({name: words(row[name]) for name in names} for batch in file.iter_batches() for row in batch.to_pylist())


def words(value: object) -> str | None:
    """A value of Parquet as CSV writes it."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"{value:f}" if isinstance(value, Decimal) else None if value is None else str(value)


def check(names: Sequence[str], found: Iterable[Cells]) -> FocusReport:
    """Check rows under a head."""
    first = [Violation(row=0, **each._asdict()) for each in of_head(names)]
    violations, count, billed = len(first), 0, Decimal(0)
    for number, row in enumerate(found, 1):
        count = number
        wrong = [*of_cells(row), *of_row(row)]
        violations += len(wrong)
        first += [Violation(row=number, **each._asdict()) for each in wrong[: TOLD_MAX - len(first)]]
        if NUMBER.fullmatch(cost := row.get("BilledCost") or ""):
            billed += Decimal(cost)
    return FocusReport(rows=count, billed_cost=f"{billed:f}", violations=violations, first=first[:TOLD_MAX])


def of_head(names: Sequence[str]) -> Iterator[Wrong]:
    """What is wrong with the columns themselves."""
    for name in sorted(MANDATORY - set(names)):
        yield Wrong(name, "presence", "a mandatory column is missing")
    for name in names:
        if name not in BY_NAME and not CUSTOM.fullmatch(name):
            yield Wrong(name, "name", "is no column of the specification, and does not begin with x_")
    for name in {name for name in names if names.count(name) > 1}:
        yield Wrong(name, "name", "is there twice")
    known, own = [name for name in names if name in BY_NAME], [name for name in names if name not in BY_NAME]
    if list(names) != [*sorted(known), *sorted(own)]:
        yield Wrong("", "order", "the columns are not in order: the specification's by name, then one's own by name")


def of_cells(row: Cells) -> Iterator[Wrong]:
    """What is wrong with single cells."""
    if "\0rest" in row:
        yield Wrong("", "shape", "the row has more cells than there are columns")
    for name, value in row.items():
        column = BY_NAME.get(name)
        if column is None:
            continue
        if value is None:
            if not column.nulls:
                yield Wrong(name, "null", "must not be empty")
        elif column.allowed and value not in column.allowed:
            yield Wrong(name, "allowed values", f"'{value[:60]}' is none of the allowed values")
        elif not FORMS[column.type](value):
            yield Wrong(name, "type", f"'{value[:60]}' is no {column.type} as the specification writes it")


def of_json(value: str) -> bool:
    """Whether it is an object of names and plain values."""
    try:
        found = json.loads(value)
    except ValueError:
        return False
    return isinstance(found, dict) and all(each is None or isinstance(each, str | int | float | bool) for each in found.values())


def of_string(value: str) -> bool:
    """Whether it holds anything that is seen."""
    return bool(value.strip())


FORMS: dict[str, Callable[[str], object]] = {
    "string": of_string,
    "decimal": NUMBER.fullmatch,
    "datetime": MOMENT.fullmatch,
    "json": of_json,
}


def of_row(row: Cells) -> Iterator[Wrong]:
    """What must agree within a row."""
    for rule in RULES:
        yield from rule(row)


def formats(row: Cells) -> Iterator[Wrong]:
    """Currencies are of ISO 4217, units are words of capitals."""
    for name in ("BillingCurrency", "PricingCurrency"):
        if (value := row.get(name)) and not CURRENCY.fullmatch(value):
            yield Wrong(name, "currency format", f"'{value[:20]}' is no code of ISO 4217")
    for name in ("ConsumedUnit", "PricingUnit", "CommitmentDiscountUnit"):
        if (value := row.get(name)) and not UNIT.fullmatch(value):
            yield Wrong(name, "unit format", f"'{value[:40]}' is no unit")


def periods(row: Cells) -> Iterator[Wrong]:
    """A period ends after it begins, and a charge lies in its billing period unless it corrects another one."""
    for kind in ("BillingPeriod", "ChargePeriod"):
        begin, end = row.get(f"{kind}Start"), row.get(f"{kind}End")
        if begin and end and not begin < end:
            yield Wrong(f"{kind}End", "period", "does not lie after its start")
    if row.get("ChargeClass") != "Correction":
        inner, outer = row.get("ChargePeriodStart"), row.get("BillingPeriodStart")
        if inner and outer and inner < outer:
            yield Wrong("ChargePeriodStart", "period", "lies before its billing period")


def empty_or_not(row: Cells) -> Iterator[Wrong]:
    """Which cells of a charge must hold something, and which must not."""
    category, plain = row.get("ChargeCategory"), row.get("ChargeClass") is None
    for name in ("PricingQuantity", "PricingUnit", "ListUnitPrice", "ContractedUnitPrice", "PricingCategory", "SkuId", "SkuPriceId"):
        if name in row and category in ("Usage", "Purchase") and plain and row[name] is None:
            yield Wrong(name, "null", f"must not be empty where the charge is {category}")
        if category == "Tax" and row.get(name) is not None:
            yield Wrong(name, "null", "must be empty where the charge is Tax")
    unused = row.get("CommitmentDiscountStatus") == "Unused"
    for name in ("ConsumedQuantity", "ConsumedUnit"):
        if name in row and category == "Usage" and plain and not unused and row[name] is None:
            yield Wrong(name, "null", "must not be empty where something was used")
        if category != "Usage" and row.get(name) is not None:
            yield Wrong(name, "null", "must be empty where nothing was used")


def together(row: Cells) -> Iterator[Wrong]:
    """Cells that are empty together."""
    for left, right in (("PricingQuantity", "PricingUnit"), ("ConsumedQuantity", "ConsumedUnit"), ("SkuId", "SkuMeter")):
        if left in row and right in row and (row[left] is None) is not (row[right] is None):
            yield Wrong(right, "null", f"is empty and {left} is not, or the other way round")
    if row.get("SkuPriceDetails") is not None and row.get("SkuPriceId") is None:
        yield Wrong("SkuPriceDetails", "null", "must be empty where SkuPriceId is")
    for name in ("SubAccountName", "SubAccountType"):
        if name in row and row.get("SubAccountId") is None and row[name] is not None:
            yield Wrong(name, "null", "must be empty where SubAccountId is")
    if row.get("ResourceId") is None and row.get("ResourceName") is not None:
        yield Wrong("ResourceName", "null", "must be empty where ResourceId is")


def products(row: Cells) -> Iterator[Wrong]:
    """A price times a quantity is the cost."""
    quantity = number(row.get("PricingQuantity"))
    if row.get("ChargeClass") == "Correction" or quantity is None:
        return
    with localcontext() as context:
        context.prec = 60
        for price_name, cost_name in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
            price, cost = number(row.get(price_name)), number(row.get(cost_name))
            if price is not None and cost is not None and abs(price * quantity - cost) > MISMATCH_MAX:
                yield Wrong(cost_name, "product", f"{price_name} times PricingQuantity is {price * quantity:f}, not {cost:f}")


def signs(row: Cells) -> Iterator[Wrong]:
    """Prices are never negative; nothing negative is used unless something is corrected."""
    for name in ("ListUnitPrice", "ContractedUnitPrice"):
        if (value := number(row.get(name))) is not None and value < 0:
            yield Wrong(name, "range", "is negative")
    consumed = number(row.get("ConsumedQuantity"))
    if consumed is not None and consumed <= 0 and row.get("ChargeClass") is None:
        yield Wrong("ConsumedQuantity", "range", "is not above zero")


def categories(row: Cells) -> Iterator[Wrong]:
    """A subcategory belongs to its category; what is bought is not billed by use."""
    category, sub = row.get("ServiceCategory"), row.get("ServiceSubcategory")
    if sub and category in SUBCATEGORIES and sub not in SUBCATEGORIES[category]:
        yield Wrong("ServiceSubcategory", "allowed values", f"'{sub[:60]}' is not of {category}")
    if row.get("ChargeCategory") == "Purchase" and row.get("ChargeFrequency") == "Usage-Based":
        yield Wrong("ChargeFrequency", "allowed values", "a purchase is not billed by use")


RULES = (formats, periods, empty_or_not, together, products, signs, categories)


def number(value: str | None) -> Decimal | None:
    """A cell as a number; None where it is none."""
    return Decimal(value) if value is not None and NUMBER.fullmatch(value) else None
