"""Why something waits, over HTTP and through the tools: each team its own, and nothing of another's in its words."""

import pytest

from factory_infra.iaas.jobs.models import JobSpec, Waiting
from factory_infra.iaas.leases.models import LEASE_QUEUED, Lease, LeaseRequest
from tests.api.house import Doors

pytestmark = pytest.mark.stack


async def full_pool(doors: Doors) -> tuple[Lease, Lease]:
    """Team language holds what is left of six slots, and vision waits for two."""
    leases = doors.factory.leases
    free = (await leases.usage("language")).slots_free
    await leases.set_quota("language", 6)
    holder = (
        await leases.acquire(LeaseRequest(tenant="language", slots=free, key="all", seconds=1200)) if free else (await leases.list())[0]
    )
    waiting = await leases.acquire(LeaseRequest(tenant="vision", slots=2, key="waits", seconds=600, wait_seconds=3600))
    return holder, waiting


async def test_a_team_is_told_why_its_lease_waits_and_nothing_of_another(doors: Doors) -> None:
    holder, waiting = await full_pool(doors)
    answer = await doors.ask("GET", f"/v1/leases/{waiting.id}/why", "viewer")
    told = answer.json()
    assert (answer.status_code, told["state"], told["binding"]) == (200, "queued", "capacity")
    assert told["reason"].startswith("0 of the 6 slots of pool local that would do are free, and it needs 2")
    assert told["starts_at"] and told["starts_earliest"] <= told["starts_at"] <= told["starts_latest"]
    assert holder.id not in answer.text and "language" not in answer.text
    listed = (await doors.ask("GET", "/v1/leases", "viewer")).json()
    assert [(each["id"], each["state"], each["waiting"]["binding"]) for each in listed] == [(waiting.id, "queued", "capacity")]
    foreign, absent = [await doors.ask("GET", f"/v1/leases/{name}/why", "stranger") for name in (waiting.id, "lease-nowhere")]
    assert (foreign.status_code, foreign.json()["code"]) == (absent.status_code, absent.json()["code"]) == (404, "not_found")
    assert (await doors.ask("GET", f"/v1/leases/{waiting.id}/why", "admin")).json()["lease_id"] == waiting.id


async def test_a_job_that_waits_for_it_says_the_same(doors: Doors) -> None:
    _, waiting = await full_pool(doors)
    spec = JobSpec(id="job-waits", tenant="vision", name="train", argv=["/bin/true"], pool="local", lease_id=waiting.id)
    await doors.factory.jobs.hold(spec, Waiting(code=LEASE_QUEUED, reason="its lease waits"))
    told = (await doors.ask("GET", "/v1/jobs/job-waits/why", "viewer")).json()
    assert (told["job_id"], told["lease_id"], told["binding"]) == ("job-waits", waiting.id, "capacity")
    assert (await doors.ask("GET", "/v1/jobs/job-waits/why", "stranger")).status_code == 404
    jobs = (await doors.ask("GET", "/v1/jobs?state=pending", "viewer")).json()
    assert [each["id"] for each in jobs] == ["job-waits"]


async def test_what_would_become_of_a_lease(doors: Doors) -> None:
    await full_pool(doors)
    answer = await doors.ask("POST", "/v1/scheduling/foresee", "viewer", json={"slots": 1, "seconds": 600})
    told = answer.json()
    assert (answer.status_code, told["at_once"], told["slots"], told["currency"]) == (200, False, 1, "USD")
    assert told["starts_in_seconds"] > 0 and "language" not in answer.text
    for body, status in (
        ({"slots": 7}, 409),
        ({"slots": 0}, 422),
        ({"slots": 1, "queue": "org/language"}, 422),
    ):
        assert (await doors.ask("POST", "/v1/scheduling/foresee", "viewer", json=body)).status_code == status
    assert len(await doors.factory.leases.list("vision")) == 1


async def test_agents_have_the_same_as_tools(doors: Doors) -> None:
    _, waiting = await full_pool(doors)
    why = (await doors.ask("POST", "/v1/tools/scheduling.why/call", "viewer", json={"arguments": {"lease_id": waiting.id}})).json()
    assert (why["outcome"], why["result"]["binding"]) == ("ok", "capacity")
    foreseen = (await doors.ask("POST", "/v1/tools/scheduling.foresee/call", "viewer", json={"arguments": {"slots": 1}})).json()
    assert (foreseen["outcome"], foreseen["result"]["at_once"]) == ("ok", False)
    neither = await doors.ask("POST", "/v1/tools/scheduling.why/call", "viewer", json={"arguments": {}})
    assert "invalid_input" in neither.text and "Name a lease or a job." in neither.text
