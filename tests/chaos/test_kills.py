"""SIGKILL in the middle: one version, one endpoint, one charge, the answer arrives; with the keys off the same test fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.client import ApiClient
from api.conversation import Conversation, JsonObject
from tests.live import LiveStack, until

pytestmark = [pytest.mark.stack, pytest.mark.chaos, pytest.mark.timeout(500)]
REQUEST = "Train a wine classifier for team {team} on one slot and put it live if it beats 80 percent."
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


@dataclass(frozen=True)
class Asked:
    """A plan that was asked for."""

    team: str
    plan_id: str
    thread_id: str


def counted(client: ApiClient, asked: Asked, state: object) -> Count:
    """Count what the run left behind in its team, at every place where a double would show."""
    team, plan_id = asked.team, asked.plan_id
    versions = client.get_list("/v1/registry/versions", tenant=team)
    jobs = [job for job in client.get_list("/v1/jobs", tenant=team) if "train" in str(job["name"])]
    entries = client.get_list("/v1/ledger", tenant=team, plan_id=plan_id)
    charged = [entry for entry in entries if entry["action"] == "settle" and entry["unit"] == "slot_seconds"]
    strays = client.get_object("/v1/reconciliation")
    events = client.get_list(f"/v1/threads/{asked.thread_id}/events")
    return Count(
        state=state,
        versions=len(versions),
        runs=len(jobs),
        endpoints=len(client.get_list("/v1/endpoints", tenant=team)),
        lease_charges=len(charged),
        open_reservations=len(strays["reservations_without_lease"]) + len(strays["leases_without_reservation"]),  # type: ignore[arg-type]
        answers=len([event for event in events if event["kind"] == "message.assistant" and event["plan_id"] == plan_id]),
    )


def play(stack: LiveStack, team: str, part: str, when: Trigger) -> Count:
    """Run the request in a team of its own and kill a part, once, when an event says so."""
    killed: list[int] = []
    with stack.client() as client:
        client.post("/v1/tenants", {"name": team, "quota_slots": 2, "budget": "5"})

        def watch(event: JsonObject) -> None:
            if not killed and when(event):
                killed.append(stack.kill(part))

        conversation = Conversation(client, team, watch=watch)
        turn = conversation.say(REQUEST.format(team=team))
        assert turn.plan is not None
        conversation.approve(turn)
        end = conversation.until_ended(turn.plan.id, seconds_max=240)
        assert killed, "the kill must have happened, or nothing was shown"
        until(lambda: stack.pid(part) != killed[0], f"{part} is started again")
        until(lambda: healthy(stack), "all parts are healthy again")
        return counted(client, Asked(team, turn.plan.id, conversation.thread_id), end["state"])


def healthy(stack: LiveStack) -> bool:
    """Whether every part is."""
    return all(part.state in {"healthy", "done", "external"} for part in stack.state().parts)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """A stack of this file's own: kills must not disturb other tests. Each test has a team of its own in it."""
    live = LiveStack(tmp_path_factory.mktemp("kills") / "home")
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


def test_without_keys_the_same_kill_doubles(unprotected: LiveStack) -> None:
    """It comes first: no other stack runs beside it."""
    count = play(unprotected, "vision", "worker", training)
    assert not count.once, f"the protection is not what holds the others: {count}"


@pytest.mark.parametrize(
    ("team", "part", "when"),
    [
        pytest.param("vision", "worker", training, id="worker-while-training"),
        pytest.param("language", "worker", started("deployments.deploy"), id="worker-while-deploying"),
        pytest.param("speech", "api", training, id="api-while-streaming"),
    ],
)
def test_a_kill_loses_and_doubles_nothing(stack: LiveStack, team: str, part: str, when: Trigger) -> None:
    count = play(stack, team, part, when)
    assert count.once, count


def test_down_and_up_while_training_ends_the_plan(stack: LiveStack) -> None:
    """`down` ends the job's processes; after `up` the plan goes on with the same job under the same key."""
    with stack.client() as client:
        client.post("/v1/tenants", {"name": "robotics", "quota_slots": 2, "budget": "5"})
        conversation = Conversation(client, "robotics")
        turn = conversation.say(REQUEST.format(team="robotics"))
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
        count = counted(client, Asked("robotics", turn.plan.id, conversation.thread_id), end["state"])
    assert count.once, count
