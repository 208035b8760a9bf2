"""A conversation as a program holds it: say, watch, approve."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from api.client import ApiClient
from factory_infra.errors import Unavailable
from tools.plan import Plan

JsonObject = dict[str, JsonValue]
Watcher = Callable[[JsonObject], None]


@dataclass
class Turn:
    """What came of one message: its events, and the plan if one was proposed."""

    events: list[JsonObject] = field(default_factory=list)
    plan_id: str = ""
    plan: Plan | None = None
    digest: str = ""
    _cards: dict[str, tuple[Plan, str]] = field(default_factory=dict, repr=False)
    _done: bool = False

    def take(self, event: JsonObject, message_id: str) -> bool:
        """Note what an event says of this turn; return whether the turn is over and its plan, if it has one, is known.

        The plan is the one that the end of this very turn names: a thread may show cards of other turns before, between and after.
        """
        payload = event["payload"] if isinstance(event["payload"], dict) else {}
        if event["kind"] == "message.user" and payload.get("message_id") == message_id:
            self.events.clear()  # so far it was other turns
        self.events.append(event)
        if event["kind"] == "plan.proposed":
            plan = Plan.model_validate(payload["plan"])
            self._cards[plan.id] = plan, str(payload["digest"])
        if event["kind"] == "turn.done" and payload.get("message_id") == message_id:
            self._done, self.plan_id = True, str(payload.get("plan_id") or "")
        if self._done and self.plan_id in self._cards:
            self.plan, self.digest = self._cards[self.plan_id]
        return self._done and (self.plan is not None or not self.plan_id)

    def payloads(self, kind: str) -> list[JsonObject]:
        """The payloads of a kind of event."""
        return [each["payload"] for each in self.events if each["kind"] == kind and isinstance(each["payload"], dict)]


class Conversation:
    """One thread, from the outside. Each wait ends with Unavailable when its limit is over.

    In a thread that is gone on with, what came before the first message of this conversation is not watched again.
    """

    def __init__(
        self,
        client: ApiClient,
        tenant: str | None = None,
        *,
        watch: Watcher | None = None,
        thread_id: str | None = None,
        project: str = "",
    ) -> None:
        self._client = client
        self._watch = watch or (lambda event: None)
        self._position = 0
        self._joining = thread_id is not None
        self.thread_id = thread_id or str(client.post("/v1/threads", {"tenant": tenant, "project": project})["id"])

    def say(self, text: str, *, seconds_max: float = 600.0) -> Turn:
        """Send a message and wait until its turn is over."""
        message_id, turn = uuid.uuid4().hex, Turn()
        self._client.post(f"/v1/threads/{self.thread_id}/messages", {"text": text, "message_id": message_id})
        for event in self._events(seconds_max, since=message_id if self._joining else None):
            self._joining = False
            if turn.take(event, message_id):
                return turn
        raise Unavailable(f"No answer came within {seconds_max:.0f} s.", remedy="See 'lineshaft status' and Temporal's page.")

    def approve(self, turn: Turn) -> None:
        """Approve the turn's plan, by its digest."""
        if turn.plan is not None:
            self._client.post(f"/v1/plans/{turn.plan.id}/approve", {"digest": turn.digest})

    def refuse(self, turn: Turn, reason: str) -> None:
        """Refuse the turn's plan."""
        if turn.plan is not None:
            self._client.post(f"/v1/plans/{turn.plan.id}/refuse", {"reason": reason})

    def until_ended(self, plan_id: str, *, seconds_max: float = 3600.0) -> JsonObject:
        """Watch until the plan has ended and the thread has said so; return the payload of the end."""
        end: JsonObject | None = None
        for event in self._events(seconds_max):
            if event["plan_id"] != plan_id or not isinstance(event["payload"], dict):
                continue
            if event["kind"] == "plan.ended":
                end = event["payload"]
            if end is not None and event["kind"] == "message.assistant":
                return end
        raise Unavailable(f"Plan {plan_id} did not end within {seconds_max:.0f} s.", remedy="See its workflow in Temporal.")

    def _events(self, seconds_max: float, since: str | None = None) -> Iterator[JsonObject]:
        """What happens in the thread, watched; with `since` only from that message on."""
        for event in self._client.events(self.thread_id, self._position, seconds_max=seconds_max):
            self._position = int(str(event["id"]))
            since = None if _says(event, since) else since
            if since is None:
                self._watch(event)
                yield event


def _says(event: JsonObject, message_id: str | None) -> bool:
    """Whether an event is this very message, or its end where the message itself was seen before."""
    payload = event["payload"]
    return event["kind"] in {"message.user", "turn.done"} and isinstance(payload, dict) and payload.get("message_id") == message_id
