"""The doors of the key figures: for administrators, over any window, with what is wrong said clearly."""

import pytest

from tests.api.house import Doors

pytestmark = pytest.mark.stack

DOCUMENT = {"name": "list", "currency": "EUR", "hourly": {"gpu": 10.0}, "used_share": 0.5}


async def test_only_administrators_see_them(doors: Doors) -> None:
    for path in ("/v1/kpis", "/v1/kpis/availability", "/v1/kpis/alerts", "/v1/kpis/counterfactuals"):
        assert (await doors.ask("GET", path, "approver")).status_code == 403
        assert (await doors.ask("GET", path, None)).status_code == 401
        assert (await doors.ask("GET", path, "admin")).status_code == 200


async def test_a_page_says_what_each_is_made_of(doors: Doors) -> None:
    page = (await doors.ask("GET", "/v1/kpis?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z", "admin")).json()
    assert len(page["kpis"]) == 13 and page["since"].startswith("2026-01-01")
    assert all(each["value"] is None and each["note"] for each in page["kpis"])
    some = (await doors.ask("GET", "/v1/kpis?name=availability&name=self_service", "admin")).json()
    assert [each["name"] for each in some["kpis"]] == ["availability", "self_service"]
    one = (await doors.ask("GET", "/v1/kpis/use_across_teams", "admin")).json()
    assert one["query"].startswith("WITH facts AS")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/kpis/profit", 404, "kpi_unknown"),
        ("/v1/kpis?name=profit", 404, "kpi_unknown"),
        ("/v1/kpis?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z", 422, "period_invalid"),
        ("/v1/kpis?since=1900-01-01T00:00:00Z", 422, "period_invalid"),
        ("/v1/kpis?since=yesterday", 422, "invalid_input"),
        ("/v1/kpis?since=2026-01-01T00:00:00", 422, "invalid_input"),
    ],
)
async def test_what_cannot_be_is_refused(doors: Doors, path: str, status: int, code: str) -> None:
    answer = await doors.ask("GET", path, "admin")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_counterfactual_is_fixed_once(doors: Doors) -> None:
    made = await doors.ask("POST", "/v1/kpis/counterfactuals", "admin", json=DOCUMENT)
    assert made.status_code == 201 and len(made.json()["digest"]) == 64
    assert (await doors.ask("POST", "/v1/kpis/counterfactuals", "admin", json=DOCUMENT)).status_code == 409
    assert (await doors.ask("POST", "/v1/kpis/counterfactuals", "admin", json={**DOCUMENT, "used_share": 0})).status_code == 422
    assert (await doors.ask("POST", "/v1/kpis/counterfactuals", "admin", json={**DOCUMENT, "more": 1})).status_code == 422
    listed = (await doors.ask("GET", "/v1/kpis/counterfactuals", "admin")).json()
    assert [each["document"]["name"] for each in listed] == ["list"]


async def test_figures_are_scraped_by_administrators_only(doors: Doors) -> None:
    factory = doors.factory
    await factory.alerts.keep(await factory.kpis.page(), [])
    assert "lineshaft_kpi_goal" in (await doors.ask("GET", "/v1/metrics", "admin")).text
    assert "lineshaft_kpi" not in (await doors.ask("GET", "/v1/metrics", "approver")).text


async def test_sums_are_made_anew(doors: Doors) -> None:
    told = (await doors.ask("POST", "/v1/kpis/rebuild", "admin", json={})).json()
    assert told["whole"] is True and told["events"] > 0
