"""The pages of the control plane over a small factory: one bar, what is said where nothing answers, and what is asked for."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.console import furniture
from tests.console.sight import faults, settled
from tests.waiting import eventually

CONSOLE = Path(__file__).parents[2] / "console"
FILES = sorted(CONSOLE.glob("*.html"))
SOME = ["audit.html", "catalog.html", "costs.html", "team.html"]
"""Of each way in which a page asks, one."""
KEY = "the-key-of-the-test"
Fake = Any


async def look(page: Page, fake: Fake, place: str) -> None:
    """Be signed in and open a page."""
    await page.request.post(fake.url + "/v1/session", data={"key": KEY})
    await page.goto(f"{fake.url}/console/{place}")
    await settled(page)


class TestFiles:
    """What holds of the files, without a browser."""

    @pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
    def test_a_page_has_nothing_inline_and_nothing_of_others(self, file: Path) -> None:
        words = file.read_text()
        assert not re.search(r"<style|\bstyle=|\son\w+=|https?://|<script(?![^>]*src=)", words)
        for asked in re.findall(r'(?:src|href)="([^"#]+)"', words):
            assert asked.startswith("/v1/") or (CONSOLE / asked).exists(), asked

    def test_each_page_is_in_the_navigation_and_each_entry_has_its_page(self) -> None:
        listed = re.findall(r'file: "([\w.]+html)"', (CONSOLE / "js" / "pages.js").read_text())
        assert sorted(listed) == sorted(file.name for file in FILES if file.name != "index.html")

    def test_no_module_makes_markup_of_text_or_calls_another_host(self) -> None:
        for file in (CONSOLE / "js").glob("*.js"):
            words = file.read_text()
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", words), file.name
            assert set(re.findall(r"https?://[\w.]+", words)) <= {"http://www.w3.org"}, file.name


@pytest.mark.stack
async def test_the_look_at_a_page_finds_what_is_wrong_with_it(page: Page) -> None:
    wrong = "<h1>One</h1><h1>Two</h1><h4>Deep</h4><main><input><button id=a></button><p id=a></p><table><th>x</th></table></main>"
    await page.set_content(wrong)
    found = " ".join(await faults(page))
    assert all(
        each in found for each in ("no name: <input", "no name: <button", "twice: #a", "not one h1", "a level is left out", "th without")
    )


@pytest.mark.stack
class TestEverywhere:
    async def test_what_does_not_answer_is_said_and_asked_again(self, page: Page, fake: Fake) -> None:
        fake.tenant, fake.role, fake.broken = "vision", "approver", True
        await look(page, fake, SOME[0])
        for name in SOME:
            await page.goto(f"{fake.url}/console/{name}")
            await settled(page)
            await expect(page.get_by_text("The database does not answer. Try again in a moment.").first).to_be_visible()
            assert await faults(page) == [], name
        fake.broken, fake.answers = False, {"/v1/audit": []}
        await page.goto(f"{fake.url}/console/audit.html")
        fake.broken = True
        await page.reload()
        await settled(page)
        fake.broken = False
        await page.get_by_role("button", name="Try again").click()
        await expect(page.get_by_text("Nothing more of that.")).to_be_visible()
        await expect(page.locator(".problem")).to_have_count(0)

    async def test_a_session_that_ended_leads_to_the_key_and_back(self, page: Page, fake: Fake) -> None:
        fake.answers = {"/v1/nodes": [], "/v1/pools": [], "/v1/reliability": furniture.FIGURES}
        await page.goto(fake.url + "/console/nodes.html")
        await page.get_by_label("Key", exact=True).fill(KEY)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_text("No node reports yet")).to_be_visible()
        await expect(page.get_by_role("link", name="Nodes")).to_have_attribute("aria-current", "page")
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_label("Key", exact=True)).to_be_visible()

    async def test_the_team_that_is_looked_at_goes_along(self, page: Page, fake: Fake) -> None:
        fake.answers = {"/v1/rollouts": []}
        await look(page, fake, "endpoints.html")
        await page.get_by_label("Team", exact=True).select_option("vision")
        await expect(page.get_by_role("link", name="Features")).to_have_attribute("href", "features.html?team=vision")
        await expect(page.get_by_text("No roll-out yet")).to_be_visible()
        assert any("tenant=vision" in query for query in fake.asked)

    async def test_a_person_chooses_the_team_to_act_in(self, page: Page, fake: Fake) -> None:
        me = {"name": "ann", "role": "user", "tenant": "vision", "teams": ["language", "vision"], "permissions": None, "manages": []}
        fake.answers = {"/v1/me": me, "/v1/plans": []}
        await look(page, fake, "plans.html")
        fake.answers["/v1/me"] = {**me, "tenant": "language"}
        await page.get_by_label("Acting in team").select_option("language")
        await expect(page.get_by_text("ann · user of language")).to_be_visible()
        assert {each["name"]: each["value"] for each in await page.context.cookies()}["lineshaft_team"] == "language"

    async def test_the_provider_of_identities_is_offered_where_there_is_one(self, page: Page, fake: Fake) -> None:
        await page.goto(fake.url + "/console/")
        offered = page.get_by_role("link", name="sign in at login.example.org")
        await expect(page.get_by_label("Key", exact=True)).to_be_visible()
        await expect(offered).to_have_count(0)
        fake.provider = "login.example.org"
        await page.reload()
        await expect(offered).to_have_attribute("href", "/v1/sign-in")


@pytest.mark.stack
class TestEndpoints:
    async def test_a_roll_out_is_held_and_given_up_with_a_reason_but_by_no_viewer(self, page: Page, fake: Fake) -> None:
        report = furniture.rollout_report()
        fake.answers = {"/v1/rollouts": [report["rollout"]], "/v1/rollouts/ro-1": report}
        await look(page, fake, "endpoints.html")
        await page.get_by_role("link", name="ro-1").click()
        shown = page.get_by_role("region", name="digits: <b>digits</b> 2")
        await expect(shown.get_by_role("heading", name="digits: <b>digits</b> 2")).to_be_focused()
        await expect(shown.get_by_role("listitem").nth(1)).to_contain_text("10 % now")
        await expect(shown.get_by_role("row", name="failed")).to_contain_text("5 % of 40")
        await shown.get_by_role("button", name="Hold").click()
        await expect(shown.get_by_role("button", name="Hold")).to_be_enabled()
        await shown.get_by_role("button", name="Abort").click()
        await shown.get_by_label("Why").fill("wrong labels")
        await shown.get_by_role("button", name="Yes, abort").click()
        await asked(fake, 2)
        assert fake.acts == [("POST", "/v1/rollouts/ro-1/pause", {}), ("POST", "/v1/rollouts/ro-1/abort", {"reason": "wrong labels"})]
        fake.role, fake.tenant = "viewer", "vision"
        await page.reload()
        await expect(page.get_by_role("region", name="Moves")).to_be_visible()
        await expect(page.get_by_role("button", name=re.compile("Hold|Abort"))).to_have_count(0)


@pytest.mark.stack
class TestFeatures:
    async def test_drift_is_told_by_feature_and_a_change_names_its_revision(self, page: Page, fake: Fake) -> None:
        fake.answers = furniture.drift()
        await look(page, fake, "features.html#/monitor/vision/spending")
        await page.get_by_role("button", name="Show").click()
        row = page.get_by_role("region", name="By feature").get_by_role("row", name="<b>spent</b>")
        await expect(row).to_contain_text("5.83 (chance up to 0.178)")
        await expect(row).to_contain_text("p < 0.001")
        await expect(page.get_by_role("link", name="plan-7").first).to_have_attribute("href", "plans.html#/plan-7")
        refusal = (409, "revision_stale", "Somebody changed the monitor.", "Read it again.")
        fake.answers["PUT /v1/features/monitors/spending"] = refusal
        await page.get_by_text("Change what is watched").click()
        await page.get_by_label("Definition").last.fill("{")
        await page.get_by_role("button", name="Change it").click()
        await expect(page.get_by_role("alert").filter(has_text="is no JSON")).to_be_visible()
        assert fake.acts == []
        await page.get_by_label("Definition").last.fill('{"name": "spending"}')
        await page.get_by_role("button", name="Change it").click()
        await expect(page.get_by_role("alert").filter(has_text="Somebody changed the monitor. Read it again.")).to_be_visible()
        assert fake.acts == [("PUT", "/v1/features/monitors/spending?tenant=vision", {"spec": {"name": "spending"}, "revision": 3})]


@pytest.mark.stack
class TestWaiting:
    async def test_it_says_why_and_what_would_help_and_what_is_simulated(self, page: Page, fake: Fake) -> None:
        fake.answers = furniture.waiting()
        await look(page, fake, "waiting.html")
        await expect(page.get_by_role("region", name="Leases that wait").get_by_role("row")).to_have_count(2)
        await page.get_by_role("link", name="lease-1").click()
        await expect(page.get_by_role("region", name="Why lease-1 waits")).to_contain_text("8 of 10 times between")
        await expect(page.get_by_role("row", name="begin with 1 slot")).to_contain_text('{"slots_min":1}')
        await page.get_by_label("If", exact=True).fill("add 2 nodes")
        await page.get_by_role("button", name="Simulate").click()
        answer = page.get_by_role("status").filter(has_text="2 more nodes")
        await expect(answer.get_by_text("simulated")).to_be_visible()
        await expect(answer.get_by_role("row", name="lease-1")).to_contain_text("60 min sooner")
        await expect(answer.get_by_role("img")).to_be_visible()
        assert fake.acts == [("POST", "/v1/twin/what-if", {"words": "add 2 nodes", "pool": "local"})]
        assert await faults(page) == []


@pytest.mark.stack
class TestPeople:
    async def test_a_key_is_shown_once_no_role_is_taken_unasked_and_one_is_made_for_the_team(self, page: Page, fake: Fake) -> None:
        fake.answers = furniture.people()
        await look(page, fake, "people.html")
        await page.get_by_role("row", name="<b>loader</b>").get_by_role("button", name="New key").click()
        await page.get_by_role("button", name="Make it").first.click()
        await expect(page.get_by_text("ls_secret")).to_be_visible()
        await page.get_by_role("button", name="I have kept it").click()
        assert "ls_secret" not in await page.content()
        row = page.get_by_role("row", name="oidc:ann")
        await row.get_by_role("button", name="Remove").click()
        await row.get_by_role("button", name="No").click()
        assert [each[0] for each in fake.acts] == ["POST"]
        await row.get_by_role("button", name="Remove").click()
        await row.get_by_role("button", name="Yes, remove").click()
        await asked(fake, 2)
        assert fake.acts[1] == ("DELETE", "/v1/members/m-1", None)
        await page.get_by_text("Make a role").click()
        form = page.get_by_role("form", name="Make a role")
        await form.get_by_label("Name").fill("auditor")
        await form.get_by_label("May").fill("audit:read, jobs:read")
        await form.get_by_role("button", name="Make it").click()
        await asked(fake, 3)
        sent = {"tenant": "vision", "name": "auditor", "counts_as": "viewer", "permissions": ["audit:read", "jobs:read"]}
        assert fake.acts[2] == ("POST", "/v1/roles", sent)


@pytest.mark.stack
class TestAudit:
    async def test_it_is_read_page_by_page_and_checked(self, page: Page, fake: Fake) -> None:
        fake.answers = {"/v1/audit": [furniture.audit_row(each) for each in range(1, 121)]}
        fake.answers["/v1/audit/verify"] = {"holds": True, "rows": 120, "head": "120:abc", "broken_at": None, "reason": ""}
        await look(page, fake, "audit.html")
        pages = page.get_by_role("group", name="Pages of Who changed what")
        await pages.get_by_role("button", name="Next").click()
        await expect(pages.get_by_role("status")).to_have_text("51 to 100")
        assert any("after=50" in query and "limit=51" in query for query in fake.asked)
        await pages.get_by_role("button", name="Next").click()
        await expect(pages.get_by_role("button", name="Next")).to_be_disabled()
        await expect(pages.get_by_role("status")).to_have_text("101 to 120")
        await page.get_by_label("Who", exact=True).fill("ann")
        await page.get_by_label("Who", exact=True).blur()
        await expect(pages.get_by_role("status")).to_have_text("1 to 50")
        await expect(page.get_by_role("link", name="CSV")).to_have_attribute("href", re.compile(r"^/v1/audit\.csv\?actor=ann&since=[^&]+$"))
        await page.get_by_role("button", name="Compute every digest again").click()
        await expect(page.get_by_text("120:abc")).to_be_visible()


async def asked(fake: Fake, count: int) -> None:
    """Wait until so much was asked to be done."""
    await eventually(lambda: len(fake.acts) >= count, 30)
