"""The ledger over HTTP: filters, and reading on by the id of the last entry."""

import pytest

from factory_infra.saas.metering.models import Attribution
from tests.api.house import Doors

pytestmark = pytest.mark.stack


async def test_it_is_read_on_page_by_page(doors: Doors) -> None:
    for number in range(3):
        await doors.factory.metering.reserve_lease(f"l{number}", "cpu", 60, Attribution(tenant="vision", key_id=f"k{number}"))
    first = (await doors.ask("GET", "/v1/ledger?limit=2")).json()
    rest = (await doors.ask("GET", f"/v1/ledger?limit=2&before={first[-1]['id']}")).json()
    assert [each["key_id"] for each in [*first, *rest]] == ["k2", "k1", "k0"]
    assert [each["key_id"] for each in (await doors.ask("GET", "/v1/ledger?key_id=k1")).json()] == ["k1"]
    assert (await doors.ask("GET", "/v1/ledger?until=2020-01-01T00:00:00Z")).json() == []


@pytest.mark.parametrize("query", ["before=0", "before=x", "since=yesterday", "since=2026-11-01", "key_id=" + "k" * 25])
async def test_a_filter_that_cannot_be_is_refused(doors: Doors, query: str) -> None:
    assert (await doors.ask("GET", f"/v1/ledger?{query}")).status_code == 422
