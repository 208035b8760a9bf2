"""The pages of the catalog, of pipelines and of costs over a small factory: what is asked for, and what it becomes."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.console import furniture
from tests.console.sight import faults, settled
from tests.waiting import eventually

pytestmark = pytest.mark.stack

KEY = "the-key-of-the-test"
Fake = Any


async def look(page: Page, fake: Fake, place: str, answers: dict[str, Any]) -> None:
    """Be signed in and open a page of team vision."""
    fake.tenant, fake.role, fake.answers = "vision", "approver", answers
    await page.request.post(fake.url + "/v1/session", data={"key": KEY})
    await page.goto(f"{fake.url}/console/{place}")
    await settled(page)


class TestCatalog:
    async def test_access_is_asked_for_and_lineage_is_drawn(self, page: Page, fake: Fake) -> None:
        await look(page, fake, "catalog.html", furniture.catalog())
        await page.get_by_role("link", name="<b>letters</b>").click()
        await expect(page.get_by_role("row", name="dataset/language/letters")).to_contain_text("trained")
        drawn = page.get_by_role("group", name="Lineage of dataset/language/letters")
        await expect(drawn.get_by_role("link", name="run/1")).to_have_attribute("href", "#/lineage/run%2F1")
        assert await faults(page) == []
        await page.get_by_label("What for").fill("To read post.")
        await page.get_by_role("button", name="Ask for access").click()
        await expect(page.get_by_text("Request ask-1: team language decides.")).to_be_visible()
        sent = {"entry_id": "dataset/language/letters", "reason": "To read post.", "days": 30, "tenant": "vision"}
        assert fake.acts == [("POST", "/v1/access-requests", sent)]

    async def test_a_blueprint_becomes_a_plan(self, page: Page, fake: Fake) -> None:
        await look(page, fake, "catalog.html#/entry/service%2Fshared%2Fship", furniture.catalog())
        await page.get_by_label("Slots").fill("4")
        await page.get_by_role("button", name="Make a plan of it").click()
        await expect(page.get_by_role("link", name="plan-9")).to_have_attribute("href", "plans.html#/plan-9")
        assert fake.acts[0][2] | {"key": ""} == {"entry_id": "service/shared/ship", "values": {"slots": 4}, "key": "", "tenant": "vision"}
        assert len(fake.acts[0][2]["key"]) == 32


class TestPipelines:
    async def test_a_gate_is_approved_by_exactly_what_it_asks(self, page: Page, fake: Fake) -> None:
        await look(page, fake, "pipelines.html#/run/run-1", furniture.pipeline_run())
        await expect(page.get_by_role("row", name="train")).to_contain_text("as in run run-0 accuracy: 0.97")
        await expect(page.get_by_text("word = <b>a</b>")).to_be_visible()
        assert await faults(page) == []
        await page.get_by_role("button", name="Approve").click()
        await page.get_by_role("button", name="Yes, approve").click()
        await eventually(lambda: fake.acts, 30)
        assert fake.acts == [("POST", "/v1/pipeline-runs/run-1/approve", {"digest": "e" * 64})]


class TestCosts:
    async def test_the_lines_are_the_ledger_and_a_finding_becomes_a_plan(self, page: Page, fake: Fake) -> None:
        await look(page, fake, "costs.html", furniture.costs())
        await expect(page.get_by_text("1.000000000001 USD in 1 line")).to_be_visible()
        await expect(page.get_by_text("the ledger says the same.")).to_be_visible()
        row = page.get_by_role("row", name="<b>lease-1</b> is idle")
        await row.get_by_role("button", name="Fix").click()
        await row.get_by_role("button", name="Yes, propose it").click()
        await expect(row.get_by_role("link", name="plan-5")).to_be_visible()
        assert fake.acts == [("POST", "/v1/costs/findings/f-1/fix", {})]
        await page.get_by_role("button", name="Foresee").click()
        await expect(page.get_by_role("img", name="Slots that will be asked for")).to_be_visible()
        assert await faults(page) == []
        await expect(page.get_by_role("heading", name="How it is bought best simulated")).to_be_visible()
