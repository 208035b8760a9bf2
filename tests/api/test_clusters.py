"""Clusters and findings over HTTP: each team its own, an administrator all."""

import pytest

from factory_infra.database import utcnow
from factory_infra.foundation.clusters.tables import ClusterRow, FindingRow
from tests.api.house import Doors

pytestmark = pytest.mark.stack
NAME = "fleet-0123456789abcdef"


async def furnish(doors: Doors) -> None:
    """A released cluster and a finding of team language."""
    now = utcnow()
    async with doors.factory.database.transaction() as session:
        await session.merge(
            ClusterRow(
                id=NAME,
                pool="east",
                tenant="language",
                key="k",
                lease_id="",
                run_id="",
                form="fleet",
                machine="g5.xlarge",
                price_class="spot",
                count=2,
                count_max=2,
                state="ended",
                machines=[],
                machine_seconds=7.0,
                counted_at=None,
                expires_at=None,
                note="",
                asked_at=now,
                ended_at=now,
            )
        )
        await session.merge(
            FindingRow(
                id="finding-1",
                pool="east",
                tenant="language",
                cluster_id=NAME,
                lease_id="",
                kind="stray",
                machines=["i-1"],
                words="One machine is there.",
                outcome="reported",
                found_at=now,
                seen_at=now,
                settled_at=None,
            )
        )


@pytest.mark.parametrize("who", ["stranger", "admin"])
async def test_whose_they_are_sees_them(doors: Doors, who: str) -> None:
    await furnish(doors)
    assert [each["id"] for each in (await doors.ask("GET", "/v1/clusters?standing=false", who)).json()] == [NAME]
    assert (await doors.ask("GET", "/v1/clusters", who)).json() == []
    assert (await doors.ask("GET", f"/v1/clusters/{NAME}", who)).json()["state"] == "released"
    assert [each["kind"] for each in (await doors.ask("GET", "/v1/cluster-findings", who)).json()] == ["stray"]


async def test_another_team_does_not(doors: Doors) -> None:
    await furnish(doors)
    assert (await doors.ask("GET", "/v1/clusters?standing=false", "approver")).json() == []
    assert (await doors.ask("GET", "/v1/cluster-findings?settled=true", "approver")).json() == []
    foreign, absent = [await doors.ask("GET", f"/v1/clusters/{name}", "approver") for name in (NAME, NAME.replace("0", "9"))]
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json()["code"] == absent.json()["code"] == "cluster_unknown"


async def test_a_pool_without_templates_says_so(doors: Doors) -> None:
    answer = await doors.ask("POST", "/v1/clusters/template", "approver", json={"pool": "local", "machine": "p5.48xlarge"})
    assert (answer.status_code, answer.json()["code"]) == (422, "not_offered")
