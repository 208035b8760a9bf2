"""The fleet page, in a real browser: what is there, what does not answer, and why a job waits, all of it as text."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

pytestmark = pytest.mark.stack

KEY = "the-key-of-the-test"
Fake = Any
POOL = {
    "name": "slurm-a",
    "title": "",
    "provider": "slurm",
    "default": False,
    "reachable": True,
    "placement": "engine",
    "slot_kind": "gpu",
    "slots_total": 16,
    "slots_free": 3,
    "accelerators": {"H100": 16},
    "machines": [],
    "note": "",
}
NODE = {
    "pool": "slurm-a",
    "name": "n1",
    "health": "draining",
    "reason": "<b>XID 79</b>: fell off the bus.",
    "accelerator": "H100",
    "accelerators": 8,
    "accelerators_ok": 7,
    "cores": 96,
    "heartbeat_at": "2026-11-25T12:00:00Z",
}
JOB = {
    "id": "job-1",
    "tenant": "vision",
    "name": "train",
    "pool": "slurm-a",
    "state": "pending",
    "percent": None,
    "waiting": {"code": "AssocGrpGRES", "reason": "The team's GPUs are all in use.", "remedy": "Wait, or ask for fewer."},
    "failure": None,
}


async def look(page: Page, fake: Fake) -> None:
    """Sign in and open the page."""
    await page.goto(fake.url + "/console/")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("link", name="Fleet").first).to_be_visible()
    await page.goto(fake.url + "/console/fleet.html")


async def test_what_is_there_is_shown_as_text(page: Page, fake: Fake) -> None:
    fake.fleet = {"/v1/pools": [POOL], "/v1/nodes": [NODE], "/v1/jobs": [JOB]}
    await look(page, fake)
    pools, nodes, jobs = (page.get_by_role("region", name=name) for name in ("Pools", "Nodes", "Jobs"))
    await expect(pools.get_by_role("row").nth(1)).to_contain_text("slurm-a")
    await expect(pools.get_by_role("row").nth(1)).to_contain_text("H100")
    await expect(nodes.get_by_role("row").nth(1)).to_contain_text("7 of 8 H100")
    await expect(nodes.get_by_role("row").nth(1)).to_contain_text("<b>XID 79</b>")
    await expect(jobs.get_by_role("row").nth(1)).to_contain_text("The team's GPUs are all in use. Wait, or ask for fewer.")
    await expect(page.get_by_text("Nothing is leased.")).to_be_visible()


async def test_a_pool_that_does_not_answer_says_so(page: Page, fake: Fake) -> None:
    away = {"reachable": False, "note": "slurmctld does not answer."}
    fake.fleet = {"/v1/pools": [{**POOL, **away}], "/v1/nodes": [], "/v1/jobs": []}
    await look(page, fake)
    row = page.get_by_role("region", name="Pools").get_by_role("row").nth(1)
    await expect(row).to_contain_text("does not answer")
    await expect(row).to_contain_text("slurmctld does not answer.")
    await expect(page.get_by_text("No node reports yet")).to_be_visible()


async def test_what_the_twin_makes_up_is_marked_wherever_its_pool_is_named(page: Page, fake: Fake) -> None:
    fake.fleet = {
        "/v1/pools": [POOL, {**POOL, "name": "hall", "provider": "twin"}],
        "/v1/nodes": [{**NODE, "pool": "hall"}, NODE],
        "/v1/jobs": [],
    }
    await look(page, fake)
    await expect(page.get_by_text("simulated")).to_have_count(2)
    await expect(page.get_by_role("region", name="Nodes, table").get_by_role("row").nth(1)).to_contain_text("hall simulated")


async def test_it_is_asked_again_by_itself(page: Page, fake: Fake) -> None:
    fake.fleet = {"/v1/pools": [POOL], "/v1/nodes": [], "/v1/jobs": []}
    await look(page, fake)
    await expect(page.get_by_text("No job yet.")).to_be_visible()
    fake.fleet["/v1/jobs"] = [{**JOB, "state": "running", "percent": 40.0, "waiting": None}]
    row = page.get_by_role("region", name="Jobs").get_by_role("row").nth(1)
    await expect(row).to_contain_text("running 40 %", timeout=30_000)  # the page asks every five seconds


async def test_without_a_session_it_leads_to_the_key_and_back(page: Page, fake: Fake) -> None:
    await page.goto(fake.url + "/console/fleet.html")
    await page.get_by_label("Key").fill(KEY)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Fleet")).to_be_visible()
