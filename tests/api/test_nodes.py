"""The doors of nodes: who may report, each event once, and what a team sees of it."""

from datetime import UTC, datetime

import pytest

from factory_infra.paas.tenants.models import KeyTerms, Role
from tests.api.house import Doors

pytestmark = pytest.mark.stack

REPORT = {
    "accelerator": "H100",
    "driver": "ok",
    "accelerators": [{"index": index, "busy_percent": 97.0} for index in range(8)],
    "versions": {"driver": "580"},
    "machine_id": "i-1",
}
NODE = "/v1/nodes/local/gpu-1"
NODE_KEY = KeyTerms(scopes=frozenset({"nodes"}))


def event(number: int, code: str = "xid_79", **fields: object) -> dict[str, object]:
    """An event as an agent sends it."""
    at = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return {"id": f"{code}-{number:08}", "code": code, "accelerator": 3, "words": "of nobody's business", "at": at, **fields}


@pytest.fixture
async def node_key(doors: Doors) -> str:
    """A key that may report, and nothing else; `doors.keys` knows it as `node`."""
    doors.keys["node"] = (await doors.factory.tenants.issue_key(None, "gpu hosts", Role.ADMIN, None, NODE_KEY))[1]
    return "node"


class TestReporting:
    async def test_a_nodes_key_registers_and_tells_each_event_once(self, doors: Doors, node_key: str) -> None:
        known = await doors.ask("POST", f"{NODE}/heartbeat", node_key, json=REPORT)
        assert (known.status_code, known.json()["health"]) == (200, "healthy")
        sent = {"events": [event(1), event(2, "gpu_lost")]}
        told = [(await doors.ask("POST", f"{NODE}/events", node_key, json=sent)).json() for _ in range(2)]
        assert told == [{"received": 2, "new": 2}, {"received": 2, "new": 0}]
        history = (await doors.ask("GET", NODE, "admin")).json()
        assert (history["node"]["health"], len(history["events"]), len(history["incidents"])) == ("suspect", 2, 1)

    @pytest.mark.parametrize("who", ["viewer", "user", "approver", "stranger"])
    async def test_no_team_reports(self, doors: Doors, who: str) -> None:
        for path, body in (("heartbeat", REPORT), ("events", {"events": [event(9)]})):
            answer = await doors.ask("POST", f"{NODE}/{path}", who, json=body)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")

    async def test_without_a_key_nobody_does(self, doors: Doors) -> None:
        assert (await doors.ask("POST", f"{NODE}/heartbeat", None, json=REPORT)).status_code == 401
        headers = {"authorization": "Bearer ls_000000000000_" + "a" * 43}
        assert (await doors.http.post(f"{NODE}/heartbeat", json=REPORT, headers=headers)).status_code == 401

    async def test_an_administrator_may(self, doors: Doors) -> None:
        assert (await doors.ask("POST", "/v1/nodes/local/gpu-2/heartbeat", "admin", json=REPORT)).status_code == 200

    async def test_a_nodes_key_opens_no_other_door(self, doors: Doors, node_key: str) -> None:
        for method, path in (("GET", "/v1/nodes"), ("GET", "/v1/tenants"), ("GET", "/v1/keys"), ("POST", "/v1/plans"), ("GET", "/v1/me")):
            answer = await doors.ask(method, path, node_key, json={} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path

    async def test_a_key_of_another_pool_does_not_speak_here(self, doors: Doors) -> None:
        terms = KeyTerms(project="elsewhere", scopes=frozenset({"nodes"}))
        doors.keys["elsewhere"] = (await doors.factory.tenants.issue_key(None, "other", Role.ADMIN, None, terms))[1]
        assert (await doors.ask("POST", f"{NODE}/heartbeat", "elsewhere", json=REPORT)).status_code == 403

    async def test_a_team_gets_no_nodes_key(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/keys", "approver", json={"name": "n", "role": "user", "scopes": ["nodes"]})
        assert answer.status_code == 403


class TestBadInput:
    @pytest.mark.parametrize(
        "body",
        [
            {**REPORT, "pids": [1]},
            {**REPORT, "accelerators": [{"index": -1}]},
            {**REPORT, "driver": "gone"},
            {**REPORT, "versions": {"v": "x" * 200}},
            {**REPORT, "accelerators": [{"index": 0}] * 300},
        ],
    )
    async def test_a_report_that_cannot_be_is_refused(self, doors: Doors, node_key: str, body: dict[str, object]) -> None:
        assert (await doors.ask("POST", f"{NODE}/heartbeat", node_key, json=body)).status_code == 422

    @pytest.mark.parametrize(
        "sent",
        [event(1, "xid 79"), event(1, id="x"), event(1, at="2026-01-01T00:00:00"), event(1, words="w" * 401), {**event(1), "pid": 7}],
    )
    async def test_so_is_an_event(self, doors: Doors, node_key: str, sent: dict[str, object]) -> None:
        assert (await doors.ask("POST", f"{NODE}/events", node_key, json={"events": [sent]})).status_code == 422

    @pytest.mark.parametrize("path", ["/v1/nodes/local/a b", "/v1/nodes/UPPER/a", "/v1/nodes/local/" + "n" * 200])
    async def test_so_is_a_name(self, doors: Doors, node_key: str, path: str) -> None:
        assert (await doors.ask("POST", f"{path}/heartbeat", node_key, json=REPORT)).status_code == 422

    async def test_a_pool_that_is_not_there_and_a_node_that_never_reported_are_told(self, doors: Doors, node_key: str) -> None:
        pool = await doors.ask("POST", "/v1/nodes/nowhere/a/heartbeat", node_key, json=REPORT)
        node = await doors.ask("POST", "/v1/nodes/local/never/events", node_key, json={"events": [event(1)]})
        assert [(each.status_code, each.json()["code"]) for each in (pool, node)] == [(404, "pool_unknown"), (404, "node_unknown")]


class TestLooking:
    async def test_a_team_sees_health_and_nothing_of_what_others_do(self, doors: Doors, node_key: str) -> None:
        await doors.ask("POST", "/v1/nodes/local/gpu-3/heartbeat", node_key, json=REPORT)
        await doors.ask("POST", "/v1/nodes/local/gpu-3/events", node_key, json={"events": [event(31)]})
        rows = (await doors.ask("GET", "/v1/nodes?pool=local&health=suspect", "viewer")).json()
        (node,) = [row for row in rows if row["name"] == "gpu-3"]
        assert (node["health"], node["accelerators_ok"], node["gauges"], node["machine_id"]) == ("suspect", 8, [], "")
        told = await doors.ask("GET", "/v1/nodes/local/gpu-3", "viewer")
        assert "business" not in told.text and "97.0" not in told.text
        shown = (await doors.ask("GET", "/v1/nodes/local/gpu-3", "admin")).json()
        assert shown["node"]["gauges"][0]["busy_percent"] == 97.0
        assert shown["events"][0]["words"] == "of nobody's business"

    async def test_lists_are_paged(self, doors: Doors, node_key: str) -> None:
        for name in ("p-1", "p-2", "p-3"):
            await doors.ask("POST", f"/v1/nodes/local/{name}/heartbeat", node_key, json=REPORT)
        names = [row["name"] for row in (await doors.ask("GET", "/v1/nodes?limit=500", "viewer")).json()]
        page = [row["name"] for row in (await doors.ask("GET", "/v1/nodes?limit=2&offset=1", "viewer")).json()]
        assert page == names[1:3]

    async def test_reliability_is_told_with_bounds(self, doors: Doors, node_key: str) -> None:
        await doors.ask("POST", f"{NODE}/heartbeat", node_key, json=REPORT)
        told = (await doors.ask("GET", "/v1/reliability?pool=local&confidence=0.8", "viewer")).json()
        assert told["subject"] == "pool local"
        assert told["node_mtbf"]["confidence"] == 0.8
        assert (await doors.ask("GET", "/v1/reliability?confidence=1", "viewer")).status_code == 422
        assert (await doors.ask("GET", "/v1/reliability?pool=local&node=never", "viewer")).status_code == 404
