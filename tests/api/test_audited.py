"""Rows of the audit log about requests that no service tells of: what was there before, as the asker saw it, and what was sent."""

import hashlib
from typing import Any

import pytest

from api.audited import Audited
from factory_infra.records.audit import AuditEntry, AuditFilter
from tests.api.house import Doors

pytestmark = pytest.mark.stack
QUOTAS = "/v1/quotas?tenant=vision"


async def rows(doors: Doors, action: str) -> list[AuditEntry]:
    return [*await doors.factory.audit.find(None, AuditFilter(action=action), 1000)]


async def seen(doors: Doors, path: str, who: str = "admin") -> str:
    answer = await doors.ask("GET", path, who)
    assert answer.status_code == 200
    return hashlib.sha256(answer.content).hexdigest()


async def change(doors: Doors, slots: int) -> None:
    body = {"tenant": "vision", "pool": "local", "slots_max": slots}
    assert (await doors.ask("PUT", QUOTAS, "admin", json=body)).status_code == 200


async def test_it_names_what_was_there_before(doors: Doors) -> None:
    await change(doors, 2)
    before = await seen(doors, QUOTAS)
    await change(doors, 3)
    told = (await rows(doors, "quotas:change"))[-1]
    assert (told.before, told.outcome) == (before, "done")
    assert told.before != await seen(doors, QUOTAS) and told.after not in {"", told.before}
    assert (await doors.factory.audit.verify()).holds


async def test_looking_leaves_no_row_and_adding_has_nothing_before(doors: Doors) -> None:
    count = (await doors.factory.audit.verify()).rows
    await doors.ask("POST", "/v1/threads", json={})
    assert (await doors.factory.audit.verify()).rows == count + 1
    assert (await rows(doors, "threads:create"))[-1].before == ""


async def test_what_was_refused_tells_nothing_of_the_object(doors: Doors) -> None:
    thread = (await doors.ask("POST", "/v1/threads", json={})).json()["id"]
    for who in ("viewer", "stranger"):
        assert (await doors.ask("POST", f"/v1/threads/{thread}/messages", who, json={"text": "x"})).status_code in {403, 404}
        told = (await rows(doors, "threads:messages"))[-1]
        assert (told.before, told.after, told.tenant) == ("", "", None)


async def test_control_without_the_look_nothing_is_known_of_before(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    async def blind(self: Audited, scope: Any) -> str:
        return ""

    monkeypatch.setattr(Audited, "_before", blind)
    await change(doors, 2)
    assert (await rows(doors, "quotas:change"))[-1].before == ""
