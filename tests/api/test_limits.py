"""Limits over HTTP: set by administrators, seen by their team, refused by the field that cannot be."""

import pytest

from tests.api.house import Doors

pytestmark = pytest.mark.stack
GOOD = {"tenant": "vision", "resource": "tokens", "window": "minute", "cap": 1000}


async def test_set_changed_seen_and_removed(doors: Doors) -> None:
    for cap in (1000, 2000):
        answer = await doors.ask("PUT", "/v1/limits", "admin", json={**GOOD, "cap": cap})
        assert (answer.status_code, answer.json()["id"], answer.json()["cap"]) == (200, "vision:tokens:minute", str(cap))
    seen = (await doors.ask("GET", "/v1/limits", "viewer")).json()
    assert [(each["cap"], each["used"], each["set_by"].partition(" ")[0]) for each in seen] == [("2000", "0", "root")]
    for status in (204, 404):
        assert (await doors.ask("DELETE", "/v1/limits/vision:tokens:minute", "admin")).status_code == status
    assert (await doors.ask("GET", "/v1/limits", "viewer")).json() == []


async def test_only_administrators_set(doors: Doors) -> None:
    for who in ("viewer", "user", "approver"):
        assert (await doors.ask("PUT", "/v1/limits", who, json=GOOD)).status_code == 403
        assert (await doors.ask("DELETE", "/v1/limits/vision:tokens:minute", who)).status_code == 403


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"cap": -1}, 422, "cap_invalid"),
        ({"cap": "1e30"}, 422, "cap_invalid"),
        ({"cap": 1.5}, 422, "cap_invalid"),
        ({"cap": "NaN"}, 422, "invalid_input"),
        ({"cap": "many"}, 422, "invalid_input"),
        ({"resource": "love"}, 422, "resource_invalid"),
        ({"window": "now"}, 422, "window_invalid"),
        ({"window": "week"}, 422, "window_invalid"),
        ({"resource": "parallel"}, 422, "window_invalid"),
        ({"resource": "money", "window": "total"}, 422, "window_invalid"),
        ({"project": "a", "key_id": "b"}, 422, "limit_whose_invalid"),
        ({"project": "A:B"}, 422, "project_invalid"),
        ({"key_id": "000000000000"}, 404, "key_unknown"),
        ({"tenant": "atlantis"}, 404, "team_unknown"),
    ],
)
async def test_what_cannot_be_is_refused(doors: Doors, fields: dict[str, object], status: int, code: str) -> None:
    answer = await doors.ask("PUT", "/v1/limits", "admin", json={**GOOD, **fields})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
