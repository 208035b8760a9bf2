"""The invoice page, in a real browser: what it asks for, what it shows, and that what it is told becomes text."""

import re
from typing import Any

import pytest
from playwright.async_api import Page, expect

pytestmark = pytest.mark.stack

KEY = "the-key-of-the-test"
Fake = Any


async def look(page: Page, fake: Fake) -> None:
    """Sign in, and follow the link to the invoice."""
    await page.goto(fake.url + "/console/")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("link", name="Invoice").first).to_have_attribute("href", re.compile("invoice.html$"))
    await page.goto(fake.url + "/console/invoice.html")
    await expect(page.get_by_role("cell").first).to_be_visible()


async def test_it_shows_lines_and_total_as_text(page: Page, fake: Fake) -> None:
    await look(page, fake)
    await expect(page.get_by_role("status")).to_contain_text("0.0004321 USD for team vision in 2026-11, 12 attempts.")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("<b>fast</b>")
    await expect(page.get_by_role("row").nth(1)).to_contain_text("15,300")
    await expect(page.get_by_role("columnheader", name="attempts")).to_be_visible()


async def test_the_total_is_a_row_with_the_digits_of_the_lines(page: Page, fake: Fake) -> None:
    lines = [{**fake.invoice["lines"][0], "amount": amount} for amount in ("1234567.000000000001", "0.000000000002")]
    fake.invoice = {**fake.invoice, "lines": lines, "total": "1234567.000000000003"}
    await look(page, fake)
    await expect(page.get_by_role("row").nth(1)).to_contain_text("1,234,567.000000000001")
    last = page.get_by_role("row").last
    await expect(last).to_contain_text("Total")
    await expect(last).to_contain_text("24")
    await expect(last).to_contain_text("1,234,567.000000000003")
    await expect(page.get_by_role("status")).to_contain_text("1,234,567.000000000003 USD")


async def test_it_asks_for_what_is_ticked_and_the_file_is_the_same(page: Page, fake: Fake) -> None:
    await look(page, fake)
    await page.get_by_label("key").uncheck()
    await page.get_by_label("day").check()
    await page.get_by_label("Month").fill("2026-10")
    await page.get_by_label("Month").blur()
    query = "month=2026-10&by=project%2Cmodel%2Cday&tenant=vision"
    await expect(page.get_by_role("link", name="CSV")).to_have_attribute("href", f"/v1/invoices.csv?{query}")
    assert query in fake.asked


async def test_nothing_spent_is_said(page: Page, fake: Fake) -> None:
    await look(page, fake)
    fake.invoice = {**fake.invoice, "lines": [], "total": "0"}
    await page.get_by_label("agent").check()
    await expect(page.get_by_role("status")).to_contain_text("Team vision spent nothing in 2026-11.")


async def test_without_a_session_it_leads_to_the_sign_in(page: Page, fake: Fake) -> None:
    await page.goto(fake.url + "/console/invoice.html")
    await expect(page.get_by_label("Key")).to_be_visible()
    await expect(page.get_by_text("secrets/admin.key")).to_be_visible()


async def test_the_sign_in_leads_back(page: Page, fake: Fake) -> None:
    await page.goto(fake.url + "/console/invoice.html")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Invoice")).to_be_visible()
    assert page.url == fake.url + "/console/invoice.html"


async def test_a_session_that_ended_leads_to_the_sign_in_and_back(page: Page, fake: Fake) -> None:
    await look(page, fake)
    fake.revoked = True
    await page.get_by_label("agent").click()
    await page.get_by_label("Key", exact=True).fill(KEY)
    fake.revoked = False
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("cell").first).to_be_visible()


@pytest.mark.parametrize("to", ["//example.org", "https://example.org", "/invoice/../..//example.org", "javascript:alert(1)"])
async def test_the_sign_in_leads_nowhere_else(page: Page, fake: Fake, to: str) -> None:
    await page.goto(f"{fake.url}/console/?next={to}#{to}")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    assert page.url.startswith(fake.url + "/console/")
