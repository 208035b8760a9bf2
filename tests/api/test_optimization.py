"""The doors of costs: exact to the ledger, each team its own, files that conform, findings that become plans of the usual kind."""

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest

from factory_infra.database import utcnow
from factory_infra.iaas.leases.models import LeaseRequest
from factory_infra.iaas.leases.tables import LeaseRow
from factory_infra.paas.optimization.focus_check import check
from factory_infra.saas.metering.models import Attribution
from tests.api.house import Doors

pytestmark = pytest.mark.stack
MONTH = f"{utcnow():%Y-%m}"
COSTS = "/v1/costs"


async def spend(doors: Doors) -> None:
    """Vision and language each use a slot for a while; again changes nothing."""
    factory = doors.factory
    for team in ("vision", "language"):
        lease = await factory.leases.acquire(LeaseRequest(tenant=team, slots=1, key=f"costs-{team}", purpose=team))
        await factory.metering.reserve_lease(lease.id, "cpu", 3600, Attribution(tenant=team, project=f"of-{team}"))
        await factory.metering.settle_lease(await factory.leases.release(team, lease.id))


async def test_each_team_sees_its_own_and_an_administrator_everything(doors: Doors) -> None:
    await spend(doors)
    seen = {}
    for who in ("viewer", "stranger", "admin"):
        told = (await doors.ask("GET", f"{COSTS}/allocation?by=team,project,pool&month={MONTH}", who)).json()
        seen[who] = {(line["team"], line["project"], line["pool"]) for line in told["lines"]}
        assert Decimal(told["total"]) == Decimal(told["ledger_total"]) == sum(Decimal(line["amount"]) for line in told["lines"]) > 0
    assert seen["viewer"] == {("vision", "of-vision", "local")} and seen["stranger"] == {("language", "of-language", "local")}
    assert seen["admin"] == seen["viewer"] | seen["stranger"]


async def test_the_export_conforms_adds_up_and_is_the_same_in_parquet(doors: Doors) -> None:
    from pyarrow import parquet  # noqa: PLC0415 - heavy

    await spend(doors)
    answer = await doors.ask("GET", f"{COSTS}/focus.csv?month={MONTH}", "viewer")
    reader = csv.DictReader(io.StringIO(answer.text))
    report = check(list(reader.fieldnames or []), [{name: cell or None for name, cell in row.items()} for row in reader])
    assert report.conforms and report.rows > 0, report.first
    total = (await doors.ask("GET", f"{COSTS}/allocation?month={MONTH}", "viewer")).json()["total"]
    assert Decimal(report.billed_cost) == Decimal(total)
    assert answer.headers["content-disposition"].startswith('attachment; filename="focus-vision-')
    file = await doors.ask("GET", f"{COSTS}/focus.parquet?month={MONTH}", "viewer")
    table = parquet.read_table(io.BytesIO(file.content)).to_pylist()
    assert sum(row["BilledCost"] for row in table) == Decimal(total) and {row["SubAccountId"] for row in table} == {"vision"}


async def test_idle_capacity_and_mix_are_told(doors: Doors) -> None:
    await doors.factory.lookout.look()
    idle = (await doors.ask("GET", f"{COSTS}/idle?rule=use", "admin")).json()
    assert idle["rule"] == "use" and idle["rule_in_words"] and [line["pool"] for line in idle["unleased"]] == ["local"]
    assert (await doors.ask("GET", f"{COSTS}/idle?rule=use", "viewer")).json()["unleased"] == []
    capacity = (await doors.ask("GET", f"{COSTS}/capacity?level=0.9", "viewer")).json()
    assert capacity["enough"] is False and capacity["total"] == [] and capacity["level"] == 0.9
    body = {"load": {"jobs_an_hour": 0.2, "hours": 0.5, "sigma": 0}, "days": 1, "seeds": 1, "slots_a_machine": 1, "on_demand_hourly": 1}
    mix = (await doors.ask("POST", f"{COSTS}/mix", "viewer", json=body)).json()
    assert mix["simulated"] is True and mix["best"] in {line["name"] for line in mix["lines"]}


async def test_a_finding_is_the_teams_own_and_dismissed_by_who_may(doors: Doors) -> None:
    lease = await doors.factory.leases.acquire(LeaseRequest(tenant="vision", slots=1, seconds=7200, key="idle-lease", purpose="idle"))
    async with doors.factory.database.transaction() as session:
        (await session.get_one(LeaseRow, lease.id)).granted_at = utcnow() - timedelta(minutes=45)
    found = [each for each in (await doors.ask("GET", f"{COSTS}/findings", "viewer")).json() if each["subject"] == lease.id]
    assert [(each["kind"], each["remedy"]) for each in found] == [("lease_idle", {"fix": "release_lease", "lease_id": lease.id})]
    assert (await doors.ask("GET", f"{COSTS}/findings?kind=cluster_idle", "viewer")).json() == []
    assert lease.id not in (await doors.ask("GET", f"{COSTS}/findings", "stranger")).text
    path = f"{COSTS}/findings/{found[0]['id']}"
    for who, status in (("viewer", 403), ("stranger", 404), ("user", 200)):
        assert (await doors.ask("POST", f"{path}/dismiss", who, json={"reason": "kept warm", "days": 2})).status_code == status
    assert lease.id not in (await doors.ask("GET", f"{COSTS}/findings", "viewer")).text
    assert (await doors.ask("GET", f"{COSTS}/findings?every=true", "viewer")).json()[0]["state"] == "dismissed"
    assert (await doors.ask("POST", f"{path}/fix", "viewer")).status_code == 403
    assert (await doors.ask("POST", f"{path}/fix", "stranger")).status_code == 404
    await doors.factory.leases.release("vision", lease.id)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("allocation?by=colour", "breakdown_invalid"),
        ("allocation?month=2026-13", "invalid_input"),
        ("allocation?month=2026-11&since=2026-11-01&until=2026-11-02", "invalid_input"),
        ("allocation?since=2026-11-01", "invalid_input"),
        ("allocation?since=2026-11-02&until=2026-11-01", "invalid_input"),
        ("focus.csv?since=2020-01-01&until=2026-01-01", "invalid_input"),
        ("idle?rule=mine", "invalid_input"),
        ("findings?idle_seconds=1", "invalid_input"),
        ("capacity?level=2", "invalid_input"),
        ("capacity?colour=red", "invalid_input"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_remedy(doors: Doors, path: str, code: str) -> None:
    answer = await doors.ask("GET", f"{COSTS}/{path}", "viewer")
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert answer.json()["remedy"]


async def test_a_mix_without_work_and_a_pool_that_is_not_there_are_told(doors: Doors) -> None:
    answer = await doors.ask("POST", f"{COSTS}/mix", "admin", json={"pool": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (404, "pool_unknown")
    assert (await doors.ask("GET", f"{COSTS}/capacity?pool=nowhere", "admin")).json()["code"] == "pool_unknown"
    nothing = await doors.ask("POST", f"{COSTS}/mix", "viewer", json={"days": 1, "on_demand_hourly": 1, "seeds": 1})
    assert nothing.status_code in {200, 422} and nothing.json().get("code", "mix_without_work") == "mix_without_work"
