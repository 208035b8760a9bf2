"""The page of keys and limits, in a real browser: what it shows and asks for, a secret once, and no end unasked."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.console.desk import SECRET

pytestmark = pytest.mark.stack

KEY = "the-key-of-the-test"
Fake = Any


async def look(page: Page, fake: Fake) -> None:
    """Sign in by the page itself, which leads there and back."""
    await page.goto(fake.url + "/console/keys.html")
    await page.get_by_label("Key", exact=True).fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Keys and limits")).to_be_visible()
    await expect(page.get_by_label("Team", exact=True) if fake.tenant is None else page.locator("#who")).to_be_visible()


def furnish(fake: Fake) -> None:
    """A team with keys and limits."""
    fake.desk.key("<b>reader</b>", project="ocr", models=["fast", "other"])
    fake.desk.key("writer", scopes=["gateway", "manage"], role="approver", expires_at="2027-01-02T03:04:05Z")
    fake.desk.limit("money", "month", "50", "12.500000000001")
    fake.desk.limit("parallel", "now", "8", "8", key_id=fake.desk.keys[0]["id"])


async def test_it_shows_keys_and_limits_as_text(page: Page, fake: Fake) -> None:
    furnish(fake)
    await look(page, fake)
    keys, limits = page.get_by_role("region", name="Keys of the team"), page.get_by_role("region", name="Limits of the team")
    await expect(keys.get_by_role("row").nth(1)).to_contain_text("<b>reader</b>")
    await expect(keys.get_by_role("row").nth(1)).to_contain_text("fast, other")
    await expect(keys.get_by_role("row").nth(2)).to_contain_text("call models, rest of the API")
    await expect(limits.get_by_role("row").nth(1)).to_contain_text("12.500000000001")
    await expect(limits.get_by_role("row").nth(2)).to_contain_text("key <b>reader</b>")
    await expect(limits.get_by_role("progressbar").nth(1)).to_have_attribute("value", "1")
    assert any("tenant=vision" in query and "state=active" in query for query in fake.asked)
    await page.get_by_label("also keys").check()
    await expect(keys).to_be_visible()
    assert any("tenant=vision" in query and "state=" not in query for query in fake.asked)


async def test_a_secret_is_shown_once(page: Page, fake: Fake) -> None:
    await look(page, fake)
    await expect(page.get_by_text("Team vision has no such key.")).to_be_visible()
    await page.get_by_text("Make a key").click()
    await page.get_by_label("Name").fill("reader-app")
    await page.get_by_role("textbox", name="Models").fill("fast, other ,")
    await page.get_by_label("Days").fill("90")
    await page.get_by_role("button", name="Make the key").click()
    shown = page.get_by_role("status")
    await expect(shown).to_contain_text(SECRET)
    await expect(page.get_by_role("row", name="reader-app")).to_be_visible()
    method, path, body = fake.desk.asked[-1]
    assert (method, path, body["tenant"], body["models"], body["scopes"]) == ("POST", "/v1/keys", "vision", ["fast", "other"], ["gateway"])
    assert body["expires_at"].endswith("Z") and "project" in body
    await page.get_by_role("button", name="I have kept it").click()
    assert SECRET not in await page.content()


async def test_nothing_ends_before_it_is_asked_once_more(page: Page, fake: Fake) -> None:
    furnish(fake)
    await look(page, fake)
    row = page.get_by_role("row", name="writer")
    await row.get_by_role("button", name="Revoke").click()
    await row.get_by_role("button", name="No").click()
    assert fake.desk.asked == []
    await row.get_by_role("button", name="Revoke").click()
    await row.get_by_role("button", name="Yes, revoke").click()
    await expect(page.get_by_role("row", name="writer")).to_have_count(0)
    assert fake.desk.asked[-1][:2] == ("DELETE", "/v1/keys/000000000002")
    await page.get_by_role("region", name="Limits").get_by_role("button", name="Remove").first.click()
    await page.get_by_role("button", name="Yes, remove").click()
    await expect(page.get_by_role("region", name="Limits").get_by_role("row")).to_have_count(2)
    assert fake.desk.asked[-1][:2] == ("DELETE", "/v1/limits/vision:money:month")


async def test_a_rotation_says_how_long_the_old_secret_stands(page: Page, fake: Fake) -> None:
    furnish(fake)
    await look(page, fake)
    row = page.get_by_role("row", name="writer")
    await row.get_by_role("button", name="Rotate").click()
    await row.get_by_label("The secret of now").select_option("3600")
    await row.get_by_role("button", name="Make it").click()
    await expect(page.get_by_role("status")).to_contain_text(SECRET)
    assert fake.desk.asked[-1] == ("POST", "/v1/keys/000000000002/rotate", {"overlap_seconds": 3600})


async def test_a_limit_is_set_for_a_key(page: Page, fake: Fake) -> None:
    furnish(fake)
    await look(page, fake)
    await page.get_by_text("Set a limit").click()
    await page.get_by_label("What").select_option("parallel")
    await expect(page.get_by_label("Per", exact=True)).to_be_disabled()
    await page.get_by_label("At most").fill("3")
    await page.get_by_label("Of the key").select_option(fake.desk.keys[1]["id"])
    await page.get_by_role("button", name="Set the limit").click()
    await expect(page.get_by_role("row", name="key writer")).to_be_visible()
    sent = {"tenant": "vision", "project": "", "key_id": "000000000002", "resource": "parallel", "window": "now", "cap": "3"}
    assert fake.desk.asked[-1] == ("PUT", "/v1/limits", sent)


async def test_a_refusal_is_said_where_it_was_asked_for(page: Page, fake: Fake) -> None:
    await look(page, fake)
    await page.get_by_text("Make a key").click()
    await page.get_by_label("Name").fill("refused")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_role("alert").filter(has_text="An approver makes no such key.")).to_be_visible()


@pytest.mark.parametrize(("role", "keys", "limits"), [("user", False, False), ("approver", True, False)])
async def test_a_role_sees_what_it_may_do(page: Page, fake: Fake, role: str, keys: bool, limits: bool) -> None:
    furnish(fake)
    fake.role, fake.tenant = role, "vision"
    await look(page, fake)
    await expect(page.get_by_role("region", name="Limits").get_by_role("row")).to_have_count(3)
    await expect(page.get_by_text("Make a key")).to_be_visible(visible=keys)
    await expect(page.get_by_text("Set a limit")).to_be_visible(visible=limits)
    await expect(page.get_by_role("button", name="Revoke").first).to_be_visible(visible=keys)
    await expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    await expect(page.get_by_text("Keys are shown to approvers.")).to_be_visible(visible=not keys)
