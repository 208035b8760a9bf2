"""What is asked for in a project: charged to it from the plan to the invoice, shown and filtered by it, and never to another team's."""

from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from api.routers import tools as door
from factory_infra.database import utcnow
from factory_infra.iaas.jobs.models import JobSpec
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.paas.tenants.models import KeyTerms, Role
from factory_infra.records.models import PlanRecord
from tests.api.house import Doors
from tools.leases import AcquireArguments, ReleaseArguments, RenewArguments, acquire, release, renew
from tools.plan import Plan
from tools.spec import ToolContext
from workflows.proposal import Starter

pytestmark = pytest.mark.stack


async def kept(starter: Starter, plan: Plan, role: str) -> PlanRecord:
    """Keep a plan as its workflow would."""
    told = plan.model_dump(include={"id", "tenant", "project", "thread_id"})
    document = plan.model_dump(mode="json")
    moments = {"created_at": utcnow(), "updated_at": utcnow()}
    record = PlanRecord(**told, digest=plan.digest(), state="proposed", document=document, outcome={}, decided_by=None, **moments)
    await starter.factory.records.save_plan(record)
    return record


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def reader(doors: Doors) -> str:
    """A project of team vision, one of the other team, and a key that is bound to the first."""
    for team, name in (("vision", "reader"), ("vision", "writer"), ("language", "whisper")):
        await doors.factory.organisations.create_project(team, name, "")
    bound = KeyTerms(project="reader")
    doors.keys["bound"] = (await doors.factory.tenants.issue_key("vision", "bound", Role.USER, terms=bound))[1]
    return "reader"


@pytest.fixture
def proposing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are kept without a workflow."""
    monkeypatch.setattr(door, "propose", kept)


def body(**fields: object) -> dict[str, Any]:
    return {"title": "List", "steps": [{"id": "a", "tool": "leases.list"}], **fields}


@pytest.mark.usefixtures("proposing", "reader")
class TestPlans:
    async def test_it_is_shown_filtered_and_in_what_is_approved(self, doors: Doors) -> None:
        told = (await doors.ask("POST", "/v1/plans", json=body(project="reader"))).json()
        plain = (await doors.ask("POST", "/v1/plans", json=body())).json()
        shown = (await doors.ask("GET", f"/v1/plans/{told['plan_id']}")).json()
        assert (shown["project"], shown["document"]["project"]) == ("reader", "reader")
        listed = [row["id"] for row in (await doors.ask("GET", "/v1/plans?project=reader")).json()]
        assert told["plan_id"] in listed and plain["plan_id"] not in listed
        plan = Plan.model_validate(shown["document"])
        assert plan.digest() == told["digest"] != plan.model_copy(update={"project": "writer"}).digest()
        assert "project reader" in (await doors.ask("GET", f"/v1/plans/{told['plan_id']}/text")).text

    async def test_without_one_a_plan_is_written_as_before(self, doors: Doors) -> None:
        told = (await doors.ask("POST", "/v1/plans", json=body())).json()
        shown = (await doors.ask("GET", f"/v1/plans/{told['plan_id']}")).json()
        assert shown["project"] == "" and "project" not in shown["document"]

    @pytest.mark.parametrize("name", ["whisper", "nothing"])
    @pytest.mark.parametrize("path", ["/v1/plans", "/v1/tools/leases.acquire/call", "/v1/threads"])
    async def test_another_teams_is_not_there(self, doors: Doors, path: str, name: str) -> None:
        bodies = {"/v1/plans": body(), "/v1/threads": {}}
        answer = await doors.ask("POST", path, json={**bodies.get(path, {"arguments": {"slots": 1}}), "project": name})
        assert (answer.status_code, answer.json()["code"]) == (404, "project_unknown")

    async def test_a_key_of_a_project_asks_in_no_other(self, doors: Doors) -> None:
        told = (await doors.ask("POST", "/v1/plans", "bound", json=body())).json()
        assert (await doors.ask("GET", f"/v1/plans/{told['plan_id']}")).json()["project"] == "reader"
        refused = await doors.ask("POST", "/v1/plans", "bound", json=body(project="writer"))
        assert (refused.status_code, refused.json()["code"]) == (403, "project_other")

    async def test_an_administrator_names_the_team_too(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/threads", "admin", json={"project": "reader"})
        assert answer.status_code == 422
        opened = (await doors.ask("POST", "/v1/threads", "admin", json={"project": "reader", "tenant": "vision"})).json()
        assert opened["project"] == "reader"


@pytest.mark.usefixtures("reader")
class TestCharged:
    async def test_from_the_lease_to_the_invoice(self, doors: Doors) -> None:
        factory = doors.factory
        context = ToolContext(factory, "vision", "ann", "plan-p/lease", plan_id="plan-p", project="reader")
        granted = await acquire(context, AcquireArguments(slots=1, seconds=60))
        other = await acquire(ToolContext(factory, "vision", "ann", "plan-q/lease"), AcquireArguments(slots=1, seconds=60))
        # Whoever renews it, it stays the project's.
        await renew(ToolContext(factory, "vision", "ann", "plan-r/renew"), RenewArguments(lease_id=granted.lease_id, seconds=60))
        await factory.jobs.submit(JobSpec(id="job-p", tenant="vision", name="p", argv=["/bin/true"], lease_id=granted.lease_id))
        listed = {row["id"]: row["project"] for row in (await doors.ask("GET", "/v1/leases")).json()}
        assert (listed[granted.lease_id], listed[other.lease_id]) == ("reader", "")
        assert [row["id"] for row in (await doors.ask("GET", "/v1/leases?project=reader")).json()] == [granted.lease_id]
        assert [(row["id"], row["project"]) for row in (await doors.ask("GET", "/v1/jobs?project=reader")).json()] == [("job-p", "reader")]
        assert (await doors.ask("GET", "/v1/jobs/job-p")).json()["project"] == "reader"
        for lease in (granted.lease_id, other.lease_id):
            await release(ToolContext(factory, "vision", "ann", f"{lease}/release"), ReleaseArguments(lease_id=lease))
        entries = [row for row in (await doors.ask("GET", "/v1/ledger?limit=500")).json() if granted.lease_id in row["reservation"]]
        assert entries and {row["project"] for row in entries} == {"reader"}
        lines = (await doors.ask("GET", "/v1/invoices?by=project", "approver")).json()
        assert {line["project"] for line in lines["lines"]} >= {"reader", ""}
        assert sum(Decimal(line["amount"]) for line in lines["lines"] if line["project"] == "reader") > 0

    async def test_a_project_in_use_stays(self, doors: Doors) -> None:
        await doors.factory.organisations.create_project("vision", "busy", "")
        request = LeaseRequest(tenant="vision", slots=1, key="busy-1", project="busy")
        lease = await doors.factory.leases.acquire(request)
        refused = await doors.ask("DELETE", "/v1/projects/vision/busy", "approver")
        assert (refused.status_code, refused.json()["code"]) == (409, "project_in_use")
        await doors.factory.leases.release("vision", lease.id)
        assert (await doors.ask("DELETE", "/v1/projects/vision/busy", "approver")).status_code == 204
        assert (await doors.ask("GET", f"/v1/leases/{lease.id}")).json()["project"] == "busy"
