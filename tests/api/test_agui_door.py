"""AG-UI's door over the real application: who may not, and what is not taken."""

import uuid
from typing import Any

import pytest

from factory_infra.database import utcnow
from factory_infra.records.models import PlanRecord, Thread
from tests.api.house import DIGEST, Doors

pytestmark = pytest.mark.stack


def run(thread: str, text: str = "", resume: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    messages = [{"id": f"m-{uuid.uuid4().hex}", "role": "user", "content": text}] if text else []
    body = {"threadId": thread, "runId": f"run-{uuid.uuid4().hex}", "messages": messages, "tools": [], "context": [], "state": {}}
    return {**body, "forwardedProps": {}, **({"resume": resume} if resume else {})}


def answer(plan_id: str, *, approved: bool = True, digest: str = DIGEST) -> list[dict[str, Any]]:
    return [{"interruptId": f"{plan_id}:{digest}", "status": "resolved", "payload": {"approved": approved}}]


class TestRefused:
    async def test_without_a_key_or_as_a_viewer(self, doors: Doors) -> None:
        assert (await doors.ask("POST", "/v1/agui", None, json=run("t", "hello"))).status_code == 401
        assert (await doors.ask("POST", "/v1/agui", "viewer", json=run("t", "hello"))).status_code == 403

    @pytest.mark.parametrize("header", ["42", "x-1", "1-x", "-", "1-" + "1" * 60, "-1-0"])
    async def test_a_position_of_another_stream(self, doors: Doors, header: str) -> None:
        refused = await doors.ask("POST", "/v1/agui", json=run("t", "hello"), headers={"last-event-id": header})
        assert refused.status_code == 422

    @pytest.mark.parametrize(
        "message",
        [
            [],
            [{"id": "1", "role": "user", "content": "  "}],
            [{"id": "1", "role": "user", "content": "a\0b"}],
            [{"id": "1", "role": "user", "content": [{"type": "image", "source": {"type": "url", "value": "u"}}]}],
        ],
    )
    async def test_what_is_not_words(self, doors: Doors, message: list[dict[str, Any]]) -> None:
        assert (await doors.ask("POST", "/v1/agui", json={**run("t"), "messages": message})).status_code == 422

    async def test_a_message_that_is_too_long(self, doors: Doors) -> None:
        assert (await doors.ask("POST", "/v1/agui", json=run("t", "x" * 9000))).status_code == 413

    async def test_an_answer_to_nothing(self, doors: Doors) -> None:
        for resume in ([{"interruptId": "nothing", "status": "resolved"}], answer("a") + answer("b")):
            assert (await doors.ask("POST", "/v1/agui", "approver", json=run("t", resume=resume))).status_code == 422


async def proposed(doors: Doors, tenant: str, name: str) -> str:
    now = utcnow()
    await doors.factory.records.create_thread(Thread(id=f"thread-{name}", tenant=tenant, created_by="ann", title="", created_at=now))
    plan = {"id": f"plan-{name}", "tenant": tenant, "thread_id": f"thread-{name}", "digest": DIGEST, "state": "proposed"}
    rest: dict[str, Any] = {"document": {}, "outcome": {}, "decided_by": None, "created_at": now, "updated_at": now}
    await doors.factory.records.save_plan(PlanRecord.model_validate({**plan, **rest}))
    return f"plan-{name}"


async def test_another_teams_approval_is_absent(doors: Doors) -> None:
    theirs = await proposed(doors, "language", "agui-theirs")
    refused = [await doors.ask("POST", "/v1/agui", "approver", json=run("t", resume=answer(each))) for each in (theirs, "plan-none")]
    assert [each.status_code for each in refused] == [404, 404]
    assert refused[0].text.replace(theirs, "") == refused[1].text.replace("plan-none", "")


async def test_an_approval_needs_the_role(doors: Doors) -> None:
    ours = await proposed(doors, "vision", "agui-ours")
    assert (await doors.ask("POST", "/v1/agui", "user", json=run("t", resume=answer(ours)))).status_code == 403
