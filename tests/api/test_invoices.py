"""Invoices and prices over HTTP: as JSON and as CSV, of one team, broken down as asked."""

import csv
import io
import re
from decimal import Decimal

import pytest

from factory_infra.database import utcnow
from factory_infra.saas.metering.models import Attribution, Charge
from tests.api.house import Doors

pytestmark = pytest.mark.stack
NOW = utcnow()
MONTH = f"{NOW:%Y-%m}"
EXPONENT = re.compile(r'"-?[0-9.]+E[+-]?[0-9]+"')


async def spend(doors: Doors) -> Decimal:
    """Have team vision spend under two projects; what it spent in all."""
    total = Decimal(0)
    for name, project in (("one", "reader"), ("two", "")):
        charge = Charge(unit="tokens", subject="scripted", quantity=Decimal(1_000), quantity_out=Decimal(500))
        await doors.factory.metering.reserve(f"invoice/{name}", charge, Attribution(tenant="vision", project=project, key_id="k"))
        total += await doors.factory.metering.settle(f"invoice/{name}", charge)
    return total


async def test_json_and_csv_add_up_to_the_ledger(doors: Doors) -> None:
    total = await spend(doors)
    told = (await doors.ask("GET", f"/v1/invoices?month={MONTH}&by=project,model", "viewer")).json()
    assert (told["tenant"], told["by"], told["since"]) == ("vision", ["project", "model"], f"{MONTH}-01")
    assert Decimal(told["total"]) == total == sum(Decimal(line["amount"]) for line in told["lines"])
    assert [(line["project"], line["model"]) for line in told["lines"]] == [("", "scripted"), ("reader", "scripted")]
    negotiated = await doors.ask("GET", f"/v1/invoices?month={MONTH}&by=project,model", headers={"accept": "text/csv"})
    named = await doors.ask("GET", f"/v1/invoices.csv?month={MONTH}&by=project,model")
    assert negotiated.text == named.text and named.headers["content-type"] == "text/csv; charset=utf-8"
    assert f"invoice-vision-{MONTH}.csv" in named.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(named.text)))
    assert [row["project"] for row in rows] == ["", "reader"] and sum(Decimal(row["amount"]) for row in rows) == total


@pytest.mark.parametrize("path", ["/v1/invoices", "/v1/ledger", "/v1/cost"])
async def test_no_amount_has_an_exponent(doors: Doors, path: str) -> None:
    charge = Charge(unit="tokens", subject="scripted", quantity=Decimal(1))
    await doors.factory.metering.reserve("small", charge, Attribution(tenant="vision"))
    await doors.factory.metering.settle("small", charge)
    answer = await doors.ask("GET", path)
    assert answer.status_code == 200
    assert "0.000000" in answer.text
    assert not EXPONENT.search(answer.text)


async def test_another_month_is_empty_and_this_one_is_meant_where_none_is_named(doors: Doors) -> None:
    assert (await doors.ask("GET", "/v1/invoices?month=2020-02")).json()["lines"] == []
    assert (await doors.ask("GET", "/v1/invoices")).json()["since"] == f"{MONTH}-01"


@pytest.mark.parametrize(
    ("query", "who", "status", "code"),
    [
        ("month=2026-13", "user", 422, "invalid_input"),
        ("month=soon", "user", 422, "invalid_input"),
        ("by=colour", "user", 422, "breakdown_invalid"),
        ("by=", "user", 422, "breakdown_invalid"),
        ("", "admin", 422, "tenant_missing"),
        ("tenant=atlantis", "admin", 404, "team_unknown"),
    ],
)
async def test_what_cannot_be_is_refused(doors: Doors, query: str, who: str, status: int, code: str) -> None:
    answer = await doors.ask("GET", f"/v1/invoices?{query}", who)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_prices_are_shown_with_the_version_in_force(doors: Doors) -> None:
    told = (await doors.ask("GET", "/v1/prices", "viewer")).json()
    assert told["version"] in [each["version"] for each in told["versions"]]
    assert told["versions"][0]["million_tokens"]["default"]["in"]
    assert (await doors.ask("GET", "/v1/prices", None)).status_code == 401
