"""Tools over REST, and plans that programs propose, up to where a workflow would start."""

import pytest

from tests.api.house import Doors
from tools.plan import Effect
from tools.toolbox import TOOLS

pytestmark = pytest.mark.stack


def step(**fields: object) -> dict[str, object]:
    return {"id": "one", "tool": "leases.acquire", "arguments": {"slots": 1}, **fields}


class TestList:
    async def test_every_tool_with_its_schemas(self, doors: Doors) -> None:
        rows = (await doors.ask("GET", "/v1/tools?limit=500", "viewer")).json()
        assert [row["name"] for row in rows] == sorted(TOOLS)
        for row in rows:
            assert row["arguments"]["type"] == row["result"]["type"] == "object"
            assert row["role"] == ("viewer" if row["effect"] == "read" else "user") and row["agents"]
            assert row["effect"] == "read" or (row["undo"] and row["postcondition"])

    async def test_it_is_filtered_and_paged(self, doors: Doors) -> None:
        costly = (await doors.ask("GET", "/v1/tools?effect=costly")).json()
        assert {row["name"] for row in costly} == {name for name, tool in TOOLS.items() if tool.effect is Effect.COSTLY}
        leases = (await doors.ask("GET", "/v1/tools?noun=leases&limit=1&offset=1")).json()
        assert [row["name"] for row in leases] == ["leases.list"]

    async def test_one_and_an_unknown_one(self, doors: Doors) -> None:
        assert (await doors.ask("GET", "/v1/tools/leases.list")).json()["effect"] == "read"
        for name in ("leases.steal", "mcp.weather.now", "mcp.", "mcp.x"):
            assert (await doors.ask("GET", f"/v1/tools/{name}")).status_code == 404


class TestCall:
    async def test_a_reading_tool_answers_at_once(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/tools/leases.list/call", "viewer", json={})
        assert answer.status_code == 200
        assert answer.json()["outcome"] == "ok" and answer.json()["result"]["quota_slots"] == 3

    async def test_what_it_cannot_find_is_an_observation(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/tools/jobs.list/call", json={"arguments": {"surprise": 1}})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")

    async def test_another_team_is_not_there(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/tools/leases.list/call", json={"tenant": "language"})
        assert (answer.status_code, answer.json()["code"]) == (404, "team_unknown")

    async def test_a_viewer_may_not_ask_for_an_effect(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/tools/leases.acquire/call", "viewer", json={"arguments": {"slots": 1}})
        assert answer.status_code == 403

    @pytest.mark.parametrize(
        ("arguments", "status", "code"),
        [
            ({"slots": 0}, 422, "invalid_input"),
            ({"slots": "two"}, 422, "invalid_input"),
            ({"slots": 99}, 409, "capacity_exceeded"),
            ({"slots": 4}, 409, "quota_exceeded"),
        ],
    )
    async def test_an_effect_that_cannot_be_is_refused_before_it_is_a_plan(
        self, doors: Doors, arguments: dict[str, object], status: int, code: str
    ) -> None:
        before = (await doors.ask("GET", "/v1/plans")).json()
        answer = await doors.ask("POST", "/v1/tools/leases.acquire/call", json={"arguments": arguments})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (await doors.ask("GET", "/v1/plans")).json() == before

    async def test_an_administrator_names_the_team(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/tools/leases.acquire/call", "admin", json={"arguments": {"slots": 1}})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        unknown = await doors.ask("POST", "/v1/tools/leases.acquire/call", "admin", json={"arguments": {"slots": 1}, "tenant": "atlantis"})
        assert unknown.json()["code"] == "team_unknown"


class TestPropose:
    @pytest.mark.parametrize(
        ("steps", "status", "code"),
        [
            ([step(after=["one"])], 422, "invalid_plan"),
            ([step(id="a", after=["b"]), step(id="b", after=["a"])], 422, "invalid_plan"),
            ([step(), step()], 422, "invalid_plan"),
            ([step(after=["nowhere"])], 422, "invalid_plan"),
            ([step(arguments={"lease_id": {"from_step": "ghost", "field": "x"}}, tool="leases.release")], 422, "invalid_plan"),
            ([step(id=f"s{number}", tool="leases.list", arguments={}) for number in range(99)], 422, "invalid_plan"),
            ([step(tool="leases.steal")], 404, "tool_unknown"),
            ([step(agent="librarian")], 403, "tool_out_of_scope"),
            ([step(agent="nobody")], 403, "tool_out_of_scope"),
            ([step(arguments={"slots": 1, "surprise": 2})], 422, "invalid_input"),
            (
                [step(arguments={"slots": {"from_step": "x", "field": "y"}}), step(id="x", tool="leases.list", arguments={})],
                409,
                "invalid_input",
            ),
            ([], 422, "invalid_input"),
        ],
    )
    async def test_a_plan_that_cannot_be_says_why(self, doors: Doors, steps: list[object], status: int, code: str) -> None:
        answer = await doors.ask("POST", "/v1/plans", json={"title": "t", "steps": steps})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.json()["reason"]

    async def test_another_teams_thread_is_not_there(self, doors: Doors) -> None:
        answer = await doors.ask("POST", "/v1/plans", json={"title": "t", "steps": [step()], "thread_id": "thread-language"})
        assert answer.status_code == 404

    async def test_a_viewer_may_not(self, doors: Doors) -> None:
        assert (await doors.ask("POST", "/v1/plans", "viewer", json={"title": "t", "steps": [step()]})).status_code == 403
