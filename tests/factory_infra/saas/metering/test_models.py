"""Amounts in JSON: in full, whatever their exponent."""

import json
from datetime import date
from decimal import Decimal

import pytest

from factory_infra.saas.metering.invoices import Invoice, InvoiceLine
from factory_infra.saas.metering.models import Charge, Cost, CostLine, UsageLine, plain
from factory_infra.saas.metering.prices import AudioPrice

SMALL, NOTHING = Decimal("3.0000E-8"), Decimal("0E-12")


@pytest.mark.parametrize(
    ("number", "told"), [(SMALL, "0.000000030000"), (NOTHING, "0.000000000000"), (Decimal("1E+3"), "1000"), (Decimal("20.5"), "20.5")]
)
def test_json_has_no_exponent(number: Decimal, told: str) -> None:
    charge = Charge(unit="tokens", subject="m", quantity=number)
    assert json.loads(charge.model_dump_json())["quantity"] == told
    assert charge.model_dump(mode="json")["quantity"] == told
    assert Charge.model_validate_json(charge.model_dump_json()).quantity == number
    assert AudioPrice(minute=number).model_dump(mode="json")["minute"] == told


def test_in_the_process_an_amount_stays_a_number() -> None:
    assert Charge(unit="tokens", subject="m", quantity=SMALL).model_dump()["quantity"] == SMALL


def test_none_of_what_the_ledger_tells_has_an_exponent() -> None:
    line = CostLine(unit="tokens", subject="m", quantity=NOTHING, quantity_out=NOTHING, amount=SMALL)
    cost = Cost(currency="USD", spent=SMALL, reserved=NOTHING, lines=[line])
    sums = dict.fromkeys(("quantity", "quantity_out", "quantity_cached", "quantity_reasoning", "amount"), SMALL)
    of = InvoiceLine.model_validate({"unit": "tokens", "calls": 1, **sums})
    day = date(2026, 11, 1)
    invoice = Invoice(tenant="vision", since=day, until=day, currency="USD", by=[], lines=[of], total=SMALL)
    for told in (cost, invoice, UsageLine(name="", amount=NOTHING)):
        assert "E-" not in told.model_dump_json()


def test_a_number_for_people_has_no_zeros_at_its_end() -> None:
    assert [plain(each) for each in (SMALL, NOTHING, Decimal("20.000000"), Decimal("1E+3"))] == ["0.00000003", "0", "20", "1000"]
