"""The doors of features and drift: from a definition to a reading, what is refused, and that a team sees its own only."""

from datetime import UTC, datetime, timedelta

import pytest

from factory_infra.paas.features.drift_models import Check, DriftReport
from factory_infra.paas.features.tables import AlertRow, TrainingSetRow
from tests.api.house import Doors

pytestmark = pytest.mark.stack
VIEW = {
    "name": "customers",
    "keys": [{"name": "customer", "kind": "int"}],
    "features": [{"name": "spent"}, {"name": "city", "kind": "text"}],
    "timestamp": "seen_at",
}
WATCHED = {
    "name": "buyers",
    "view": "customers",
    "window_seconds": 3600,
    "past": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
}
VIEWS, MONITORS = "/v1/features/views", "/v1/features/monitors"


def moment(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


async def test_a_view_is_defined_written_and_read(doors: Doors) -> None:
    made = await doors.ask("POST", VIEWS, "user", json=VIEW)
    assert (made.status_code, made.json()["version"], made.json()["tenant"]) == (201, 1, "vision")
    rows = {"key": "k", "rows": [{"customer": 7, "seen_at": moment(5), "spent": 1.5, "city": "Bern"}]}
    for _ in range(2):
        told = await doors.ask("POST", f"{VIEWS}/customers/rows", "user", json=rows)
        assert (told.status_code, told.json()["rows"]) == (200, 1)
    read = await doors.ask("POST", f"{VIEWS}/customers/read", "user", json={"entities": [{"customer": 7}, {"customer": 8}]})
    assert [(each["state"], each["values"]) for each in read.json()["rows"]] == [
        ("found", {"spent": 1.5, "city": "Bern"}),
        ("absent", {"spent": None, "city": None}),
    ]
    facts = (await doors.ask("GET", f"{VIEWS}/customers", "viewer")).json()
    assert (facts["rows_written"], facts["view"]["name"]) == (1, "customers")
    second = await doors.ask("POST", VIEWS, "user", json={**VIEW, "ttl_seconds": 60})
    assert second.json()["version"] == 2
    gone = await doors.ask("DELETE", f"{VIEWS}/customers?version=2", "user")
    assert gone.json()["retired_at"] is not None
    listed = [(each["name"], each["version"]) for each in (await doors.ask("GET", VIEWS, "viewer")).json()]
    assert listed == [("customers", 1)]
    every = (await doors.ask("GET", f"{VIEWS}?every=true&limit=1", "viewer")).json()
    assert [each["version"] for each in every] == [2]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", VIEWS, {**VIEW, "timestamp": ""}, 422, "feature_view_without_timestamp"),
        ("POST", VIEWS, {key: value for key, value in VIEW.items() if key != "timestamp"}, 422, "feature_view_without_timestamp"),
        ("POST", VIEWS, {**VIEW, "keys": []}, 422, "invalid_input"),
        ("POST", VIEWS, {**VIEW, "name": "Kunden Ü"}, 422, "invalid_input"),
        ("POST", f"{VIEWS}/customers/rows", {"key": "k", "rows": [{"customer": 7}]}, 422, "rows_invalid"),
        ("POST", f"{VIEWS}/customers/rows", {"key": "k", "rows": []}, 422, "invalid_input"),
        ("POST", f"{VIEWS}/customers/read", {"entities": [{"customer": "=1+1"}]}, 422, "rows_invalid"),
        ("POST", f"{VIEWS}/nothing/read", {"entities": [{"customer": 7}]}, 404, "feature_view_unknown"),
        ("GET", f"{VIEWS}/customers?version=9", None, 404, "feature_view_unknown"),
        ("GET", "/v1/features/training-sets/set-1", None, 404, "training_set_unknown"),
        ("PUT", f"{MONITORS}/buyers", {"spec": {**WATCHED, "view": "nothing"}}, 404, "feature_view_unknown"),
        ("PUT", f"{MONITORS}/buyers", {"spec": {**WATCHED, "endpoint": "reader"}}, 422, "invalid_input"),
        ("PUT", f"{MONITORS}/others", {"spec": WATCHED}, 422, "invalid_input"),
        ("POST", f"{MONITORS}/buyers/check", None, 404, "monitor_unknown"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_code_and_a_remedy(
    doors: Doors, method: str, path: str, body: object, status: int, code: str
) -> None:
    await doors.ask("POST", VIEWS, "user", json=VIEW)
    answer = await doors.ask(method, path, "user", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["remedy"]


async def test_roles(doors: Doors) -> None:
    assert (await doors.ask("POST", VIEWS, "viewer", json=VIEW)).status_code == 403
    assert (await doors.ask("POST", VIEWS, "admin", json=VIEW)).json()["code"] == "team_missing"
    assert (await doors.ask("POST", f"{VIEWS}?tenant=vision", "admin", json=VIEW)).status_code == 201
    assert (await doors.ask("POST", f"{VIEWS}?tenant=nobody", "admin", json=VIEW)).json()["code"] == "team_unknown"


async def test_a_monitor_is_changed_by_who_read_it(doors: Doors) -> None:
    await doors.ask("POST", VIEWS, "user", json=VIEW)
    made = await doors.ask("PUT", f"{MONITORS}/buyers", "user", json={"spec": WATCHED})
    assert (made.status_code, made.json()["revision"]) == (200, 1)
    changed = {**WATCHED, "window_seconds": 7200}
    refused = await doors.ask("PUT", f"{MONITORS}/buyers", "user", json={"spec": changed})
    assert (refused.status_code, refused.json()["code"]) == (409, "monitor_changed")
    assert (await doors.ask("PUT", f"{MONITORS}/buyers", "user", json={"spec": changed, "revision": 1})).json()["revision"] == 2
    found = (await doors.ask("POST", f"{MONITORS}/buyers/check", "user")).json()
    assert (found["check"]["verdict"], found["alert"]) == ("unknown", None)
    assert len((await doors.ask("GET", f"{MONITORS}/buyers/checks", "viewer")).json()) == 1
    assert (await doors.ask("DELETE", f"{MONITORS}/buyers", "user")).status_code == 204
    assert (await doors.ask("GET", MONITORS, "viewer")).json() == []


async def test_another_team_sees_nothing_of_all_this(doors: Doors) -> None:
    """The owner and an administrator see each, and team language nothing: neither by a list nor by a name."""
    await doors.ask("POST", VIEWS, "user", json=VIEW)
    await doors.ask("PUT", f"{MONITORS}/buyers", "user", json={"spec": WATCHED})
    factory = doors.factory
    monitor = await factory.drift.book.get("vision", "buyers")
    now = datetime.now(UTC)
    check: Check = await factory.drift.book.keep(
        monitor, DriftReport(verdict="drifted", reason="r", rows_before=1, rows_now=1, start=now, end=now), now
    )
    kept = {"digest": "d", "rows": 1, "features": [], "views": [], "complete": 1.0, "request": {}, "path": "p", "created_by": "a"}
    async with factory.database.transaction() as session:
        session.add(AlertRow(id="drift-1", tenant="vision", monitor="buyers", check_id=check.id, reason="r"))
        session.add(TrainingSetRow(id="set-1", tenant="vision", key="vision/k", **kept))
    lists = [VIEWS, MONITORS, "/v1/features/alerts", "/v1/features/training-sets"]
    named = [f"{VIEWS}/customers", f"{MONITORS}/buyers", f"{MONITORS}/buyers/checks", "/v1/features/training-sets/set-1"]
    for path in lists + named:
        own = await doors.ask("GET", path, "viewer")
        whole = await doors.ask("GET", f"{path}?tenant=vision", "admin")
        other = await doors.ask("GET", path, "stranger")
        assert own.status_code == whole.status_code == 200, path
        assert own.json() == whole.json() != [], path
        assert (other.status_code, other.json() if path in lists else None) == ((200, []) if path in lists else (404, None)), path
        assert (await doors.ask("GET", f"{path}?tenant=vision", "stranger")).status_code == 404
