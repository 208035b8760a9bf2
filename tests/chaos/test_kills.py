"""SIGKILL in the middle: one version, one endpoint, one charge, the answer arrives; with the keys off the same test fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.client import ApiClient
from api.conversation import Conversation, JsonObject
from tests.live import LiveStack, until

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(500)]
REQUEST = "Train a wine classifier for team vision on one slot and put it live if it beats 80 percent."
Trigger = Callable[[JsonObject], bool]


@dataclass(frozen=True)
class Count:
    """What must be one after any kill."""

    state: object
    versions: int
    runs: int
    endpoints: int
    lease_charges: int
    open_reservations: int
    answers: int

    @property
    def once(self) -> bool:
        """Whether everything happened exactly once."""
        one = (self.versions, self.runs, self.endpoints, self.lease_charges, self.answers)
        return self.state == "done" and set(one) == {1} and self.open_reservations == 0


def started(tool: str) -> Trigger:
    """When a step with this tool begins."""
    return lambda event: event["kind"] == "step.started" and isinstance(event["payload"], dict) and event["payload"]["tool"] == tool


def training_step(event: JsonObject) -> bool:
    """Whether the event is of the training step."""
    return isinstance(event["payload"], dict) and event["payload"].get("step") == "train"


def training(event: JsonObject) -> bool:
    """When the training job tells of its progress for the first time: its process runs."""
    return event["kind"] == "step.progress"


def counted(client: ApiClient, plan_id: str, thread_id: str, state: object) -> Count:
    """Count what the run left behind, at every place where a double would show."""
    versions = client.get_list("/v1/registry/versions", tenant="vision")
    jobs = [job for job in client.get_list("/v1/jobs", tenant="vision") if "train" in str(job["name"])]
    entries = client.get_list("/v1/ledger", tenant="vision", plan_id=plan_id)
    charged = [entry for entry in entries if entry["action"] == "settle" and entry["unit"] == "slot_seconds"]
    strays = client.get_object("/v1/reconciliation")
    events = client.get_list(f"/v1/threads/{thread_id}/events")
    return Count(
        state=state,
        versions=len(versions),
        runs=len(jobs),
        endpoints=len(client.get_list("/v1/endpoints", tenant="vision")),
        lease_charges=len(charged),
        open_reservations=len(strays["reservations_without_lease"]) + len(strays["leases_without_reservation"]),  # type: ignore[arg-type]
        answers=len([event for event in events if event["kind"] == "message.assistant" and event["plan_id"] == plan_id]),
    )


def play(stack: LiveStack, part: str, when: Trigger) -> Count:
    """Run the request and kill a part, once, when an event says so."""
    killed: list[int] = []
    with stack.client() as client:
        client.post("/v1/tenants", {"name": "vision", "quota_slots": 2, "budget": "5"})

        def watch(event: JsonObject) -> None:
            if not killed and when(event):
                killed.append(stack.kill(part))

        conversation = Conversation(client, "vision", watch=watch)
        turn = conversation.say(REQUEST)
        assert turn.plan is not None
        conversation.approve(turn)
        end = conversation.until_ended(turn.plan.id, seconds_max=240)
        assert killed, "the kill must have happened, or nothing was shown"
        until(lambda: stack.pid(part) != killed[0], f"{part} is started again")
        until(lambda: healthy(stack), "all parts are healthy again")
        return counted(client, turn.plan.id, conversation.thread_id, end["state"])


def healthy(stack: LiveStack) -> bool:
    """Whether every part is."""
    return all(part.state in {"healthy", "done", "external"} for part in stack.state().parts)


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    """A stack of its own: kills must not disturb other tests."""
    live = LiveStack(tmp_path / "home")
    live.start()
    try:
        yield live
    finally:
        live.stop()


@pytest.fixture
def unprotected(tmp_path: Path) -> Iterator[LiveStack]:
    """The same with idempotency keys switched off."""
    live = LiveStack(tmp_path / "home", LINESHAFT_IDEMPOTENCY_KEYS="false")
    live.start()
    try:
        yield live
    finally:
        live.stop()


@pytest.mark.parametrize(
    ("part", "when"),
    [
        pytest.param("worker", training, id="worker-while-training"),
        pytest.param("worker", started("deployments.deploy"), id="worker-while-deploying"),
        pytest.param("api", training, id="api-while-streaming"),
    ],
)
def test_a_kill_loses_and_doubles_nothing(stack: LiveStack, part: str, when: Trigger) -> None:
    count = play(stack, part, when)
    assert count.once, count


def test_down_and_up_while_training_ends_the_plan(stack: LiveStack) -> None:
    """`down` ends the job's processes; after `up` the plan goes on with the same job under the same key."""
    with stack.client() as client:
        client.post("/v1/tenants", {"name": "vision", "quota_slots": 2, "budget": "5"})
        conversation = Conversation(client, "vision")
        turn = conversation.say(REQUEST)
        assert turn.plan is not None
        conversation.approve(turn)
        next(
            event
            for event in client.events(conversation.thread_id, 0, seconds_max=60)
            if event["kind"] == "step.started" and training_step(event)
        )
    stack.stop()
    stack.start()
    with stack.client() as client:
        resumed = Conversation(client, thread_id=conversation.thread_id)
        end = resumed.until_ended(turn.plan.id, seconds_max=240)
        count = counted(client, turn.plan.id, conversation.thread_id, end["state"])
    assert count.once, count


def test_without_keys_the_same_kill_doubles(unprotected: LiveStack) -> None:
    count = play(unprotected, "worker", training)
    assert not count.once, f"the protection is not what holds the others: {count}"
