"""AG-UI and learning on a real stack: a plan approved over broken connections, rated, and its words understood at once the next time."""

import json
import time
import uuid
from typing import Any

import httpx
import pytest
from ag_ui.core import Event as Protocol
from pydantic import TypeAdapter

from api.client import ApiClient
from tests.live import LiveStack

pytestmark = pytest.mark.stack
PROTOCOL: TypeAdapter[Any] = TypeAdapter(Protocol)
ENDS = {"RUN_FINISHED", "RUN_ERROR"}


class FrontEnd:
    """A client that knows the protocol only, and loses its connection after every few events."""

    def __init__(self, client: ApiClient, key: str, patience: int = 1000) -> None:
        self.http = httpx.Client(base_url=client.url, headers={"Authorization": f"Bearer {key}"}, timeout=60, trust_env=False)
        self.thread, self.patience = f"mine-{uuid.uuid4().hex[:8]}", patience

    def anew(self) -> "FrontEnd":
        """The same in a thread of its own, where nothing is open."""
        self.thread = f"mine-{uuid.uuid4().hex[:8]}"
        return self

    def run(self, text: str = "", resume: list[dict[str, Any]] | None = None) -> list[Any]:
        messages = [{"id": uuid.uuid4().hex, "role": "user", "content": text}] if text else []
        body = {"threadId": self.thread, "runId": uuid.uuid4().hex, "messages": messages, **({"resume": resume} if resume else {})}
        seen: list[Any] = []
        last, deadline = "", time.monotonic() + 120
        while not (seen and seen[-1].type.value in ENDS) and time.monotonic() < deadline:
            for place, event in self.listen(body, last)[: self.patience]:
                last = place
                seen.append(event)
        return seen

    def listen(self, body: dict[str, Any], last: str) -> list[tuple[str, Any]]:
        """One connection, cut after a few events."""
        got: list[tuple[str, Any]] = []
        place = ""
        with self.http.stream("POST", "/v1/agui", json=body, headers={"Last-Event-ID": last} if last else {}) as response:
            assert response.status_code == 200, response.read()
            for line in response.iter_lines():
                place = line[4:] if line.startswith("id: ") else place
                if line.startswith("data: "):
                    got.append((place, PROTOCOL.validate_json(line[6:])))
                if len(got) >= self.patience:
                    break
        return got

    def approve(self, interrupted: list[Any]) -> list[Any]:
        interrupt = interrupted[-1].outcome.interrupts[0]
        return self.run(resume=[{"interruptId": interrupt.id, "status": "resolved", "payload": {"approved": True}}])


def words(events: list[Any]) -> str:
    return " ".join(event.delta for event in events if event.type.value == "TEXT_MESSAGE_CONTENT")


def key_of(client: ApiClient, tenant: str) -> str:
    return str(client.post(f"/v1/tenants/{tenant}/keys", {"name": f"agui-{uuid.uuid4().hex[:6]}", "role": "approver"})["secret"])


@pytest.fixture(scope="module")
def front(live: LiveStack) -> FrontEnd:
    with live.client() as client:
        return FrontEnd(client, key_of(client, "vision"))


def test_a_reading_is_a_run(front: FrontEnd) -> None:
    told = front.run("Which slots are free?")
    assert told[-1].outcome.type == "success" and "slots" in words(told)


def test_over_a_connection_that_breaks_after_every_event_nothing_is_lost_or_repeated(live: LiveStack, client: ApiClient) -> None:
    front = FrontEnd(client, key_of(client, "vision"), patience=1)
    card = front.run("Lease 1 slot for 2 minutes")
    assert card[-1].outcome.type == "interrupt"
    done = front.approve(card)
    kinds = [event.type.value for event in done]
    assert kinds.count("STEP_STARTED") == kinds.count("STEP_FINISHED") == 1 and kinds.count("RUN_STARTED") == 1
    assert done[-1].outcome.type == "success" and words(done).startswith("Done")
    leases = client.get_list("/v1/leases", tenant="vision")
    assert len(leases) == 1
    whole = FrontEnd(client, key_of(client, "vision"))
    whole.approve(whole.run("Release the lease"))


def test_what_was_understood_after_a_question_is_understood_at_once_next_time(front: FrontEnd, client: ApiClient) -> None:
    phrase = "kick off wine"
    before = words(front.run(phrase))
    assert "did not find a task" in before, before
    card = front.run("Train wine on 1 slot")
    done = front.approve(card)
    assert words(done).startswith("Done"), words(done)
    plan_id = card[-1].outcome.interrupts[0].id.partition(":")[0]
    client.post(f"/v1/plans/{plan_id}/rating", {"score": 1, "comment": "that is what it means"})
    lesson = promoted(client, phrase)
    again = front.anew().run("kick off iris")
    snapshot = next((event for event in again if event.type.value == "STATE_SNAPSHOT"), None)
    assert snapshot is not None, words(again)
    assert snapshot.snapshot["plan"]["playbook"] == "train-only" and snapshot.snapshot["plan"]["lessons"] == [lesson["id"]]
    assert any(str(lesson["id"]) in note for note in snapshot.snapshot["plan"]["notes"])
    client.delete(f"/v1/lessons/{lesson['id']}")
    after = front.anew().run("kick off digits")
    assert after[-1].outcome.type == "success" and "did not find a task" in words(after)


def promoted(client: ApiClient, phrase: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [each for each in client.get_list("/v1/lessons", tenant="vision", state="promoted") if each["request"] == phrase]
        if found:
            return found[0]
        time.sleep(0.2)
    raise AssertionError(json.dumps(client.get_list("/v1/lessons", tenant="vision"), indent=1))
