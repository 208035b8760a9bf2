"""Chargeback as FOCUS 1.2: the ledger's charges as rows of the specification's columns, in CSV or Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import BinaryIO, NamedTuple

from factory_infra.paas.optimization.focus_columns import BY_NAME
from factory_infra.paas.optimization.models import Charge, midnight

Value = str | Decimal | datetime | None
Row = dict[str, Value]
PROVIDER = "Lineshaft"
OWN = "lineshaft/"
"""How our own tags begin: those without it are the team's."""
EMITTED = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId"),
    *("InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName"),
    *("PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId"),
    *("SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags"),
    *("x_Charges", "x_Pool", "x_PriceBasis", "x_PriceVersion"),
)
"""The columns of an export: those of the specification by name, then our own, which begin with x_."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet would carry out, were it to begin a cell of words."""
DECIMAL_DIGITS, DECIMAL_PLACES = 38, 18
PARQUET_ROWS = 20_000


class Service(NamedTuple):
    """How a unit of the ledger is called in the specification's words."""

    category: str
    subcategory: str
    name: str
    consumed_unit: str
    pricing_unit: str


SERVICES: dict[str, Service] = {
    "slot_seconds": Service("Compute", "Other (Compute)", "Slots", "Slot-Seconds", "Slot-Hours"),
    "tokens": Service("AI and Machine Learning", "Generative AI", "Models", "Tokens", "1000000 Tokens"),
    "characters": Service("AI and Machine Learning", "Generative AI", "Speech", "Characters", "1000000 Characters"),
    "audio_seconds": Service("AI and Machine Learning", "Generative AI", "Speech", "Seconds", "Minutes"),
}
METERS = {
    "slots": "Slot Hours",
    "input": "Input Tokens",
    "cached": "Cached Input Tokens",
    "output": "Output Tokens",
    "audio": "Audio Minutes",
    "characters": "Characters",
    "blended": "Blended Usage",
    "correction": "Correction",
}


def rows(charges: Iterable[Charge], currency: str) -> Iterator[Row]:
    """Charges as rows: `BilledCost` adds up to the ledger's total of the same days."""
    for charge in charges:
        yield row_of(charge, currency)


def row_of(charge: Charge, currency: str) -> Row:
    """One charge. There are no discounts and no commitments: what is billed is what was listed, and what was effective."""
    service = SERVICES[charge.unit]
    usage = charge.unit_price is not None
    earlier = charge.corrects == "earlier period"
    row: Row = dict.fromkeys(EMITTED)
    row |= owner_of(charge) | times_of(charge.day)
    row |= dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), charge.amount)
    row |= {
        "BillingCurrency": currency,
        "ChargeCategory": "Usage" if usage or earlier else "Adjustment",
        "ChargeClass": "Correction" if earlier else None,
        "ChargeDescription": described(charge),
        "ChargeFrequency": "Usage-Based" if usage or earlier else "One-Time",
        "InvoiceIssuerName": PROVIDER,
        "ProviderName": PROVIDER,
        "PublisherName": PROVIDER,
        "ServiceCategory": service.category,
        "ServiceName": service.name,
        "ServiceSubcategory": service.subcategory,
        "x_Charges": Decimal(charge.charges),
        "x_Pool": charge.pool or None,
        "x_PriceBasis": charge.basis,
        "x_PriceVersion": charge.price_version or None,
    }
    row |= priced(charge, service) if usage else {}
    if charge.resource:
        row |= {"ResourceId": charge.resource, "ResourceName": charge.resource, "ResourceType": charge.resource_kind.capitalize()}
    return row


def owner_of(charge: Charge) -> Row:
    """Who pays: the organisation has the account, a team is a part of it; a team of none has its own."""
    tags = {"project": charge.project, f"{OWN}agent": charge.agent, f"{OWN}key": charge.key, f"{OWN}plan": charge.plan}
    return {
        "BillingAccountId": charge.organisation or charge.team,
        "BillingAccountName": charge.organisation or charge.team_title or charge.team,
        "BillingAccountType": "Organisation" if charge.organisation else "Team",
        "InvoiceId": f"{charge.team}/{charge.day:%Y-%m}",
        "SubAccountId": charge.team,
        "SubAccountName": charge.team_title or charge.team,
        "SubAccountType": "Team",
        "Tags": json.dumps({name: value for name, value in tags.items() if value}, ensure_ascii=False, sort_keys=True),
    }


def times_of(day: date) -> Row:
    """The day, and the month that it is billed in."""
    first = day.replace(day=1)
    return {
        "BillingPeriodStart": midnight(first),
        "BillingPeriodEnd": midnight((first + timedelta(days=31)).replace(day=1)),
        "ChargePeriodStart": midnight(day),
        "ChargePeriodEnd": midnight(day + timedelta(days=1)),
    }


def priced(charge: Charge, service: Service) -> Row:
    """What was used, and at which price."""
    return {
        "ConsumedQuantity": charge.consumed,
        "ConsumedUnit": service.consumed_unit,
        "ContractedUnitPrice": charge.unit_price,
        "ListUnitPrice": charge.unit_price,
        "PricingCategory": "Dynamic" if charge.subject.endswith(":spot") else "Standard",
        "PricingQuantity": charge.priced,
        "PricingUnit": service.pricing_unit,
        "SkuId": charge.subject,
        "SkuMeter": METERS[charge.meter],
        "SkuPriceDetails": json.dumps({"x_Meter": charge.meter}),
        "SkuPriceId": f"{charge.subject}/{charge.meter}",
    }


def described(charge: Charge) -> str:
    """A charge in a few words."""
    if charge.corrects:
        return f"Correction of what {charge.subject} cost"
    return f"{METERS[charge.meter]} of {charge.subject}" + (f" in pool {charge.pool}" if charge.pool else "")


def csv_lines(found: Iterable[Row]) -> Iterator[str]:
    """The rows as lines of CSV under a head. Empty is null; no cell of words is one that a spreadsheet takes for a formula."""
    yield line_of(EMITTED)
    for row in found:
        yield line_of(cell(row[name]) for name in EMITTED)


def line_of(cells: Iterable[str]) -> str:
    """Cells as one line of CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def cell(value: Value) -> str:
    """A value as the specification writes it: numbers in full, moments in UTC."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return f"'{value}" if value.startswith(FORMULA) else value


def plain(number: Decimal) -> str:
    """A number without an exponent and without zeros at its end."""
    words = f"{number:f}"
    words = words.rstrip("0").rstrip(".") if "." in words else words
    return "0" if words in ("", "-0") else words


def write_parquet(found: Iterable[Row], where: Path | BinaryIO) -> int:
    """Write the rows as Parquet, a part at a time; returns how many there are.

    Numbers are decimals of 38 digits with 18 places: nothing is rounded.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy
    from pyarrow import parquet  # noqa: PLC0415 - heavy

    schema = pa.schema([pa.field(name, arrow_type(name, pa)) for name in EMITTED])
    count = 0
    with parquet.ParquetWriter(where, schema) as writer:
        for part in parts(found):
            writer.write_table(pa.Table.from_pylist([dict(row) for row in part], schema=schema))
            count += len(part)
    return count


def parquet_bytes(found: Iterable[Row]) -> bytes:
    """The rows as a Parquet file in memory."""
    out = io.BytesIO()
    write_parquet(found, out)
    return out.getvalue()


def arrow_type(name: str, arrow: object) -> object:
    """A column's type in Parquet."""
    kind = BY_NAME[name].type if name in BY_NAME else "decimal" if name == "x_Charges" else "string"
    if kind == "decimal":
        return arrow.decimal128(DECIMAL_DIGITS, DECIMAL_PLACES)  # type: ignore[attr-defined]
    return arrow.timestamp("us", tz="UTC") if kind == "datetime" else arrow.string()  # type: ignore[attr-defined]


def parts(found: Iterable[Row]) -> Iterator[list[Mapping[str, Value]]]:
    """Rows in parts that fit into memory."""
    held: list[Mapping[str, Value]] = []
    for row in found:
        held.append(row)
        if len(held) == PARQUET_ROWS:
            yield held
            held = []
    if held:
        yield held
