"""A person at the API's doors: says something, hears what came of it, approves, and waits for the end."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import httpx
from pydantic import BaseModel, JsonValue

from evals.first_job.suite import OutcomeKind
from tools.plan import Plan, PlanState

JsonObject = dict[str, JsonValue]
TURN_SECONDS_MAX = 240.0
PLAN_SECONDS_MAX = 600.0
POLL_SECONDS = 0.05
NO_ANSWER = "no_answer"


class Heard(BaseModel):
    """What came of one request."""

    outcome: OutcomeKind
    code: str = ""
    plan: Plan | None = None
    digest: str = ""


def heard(events: Sequence[JsonObject]) -> Heard:
    """Judge a turn by its events: a plan, else a refusal, else a question; an answer that tools were read for is a reading."""
    payloads: dict[str, JsonObject] = {str(event["kind"]): dict(_object(event["payload"])) for event in events}
    if "plan.proposed" in payloads:
        proposed = payloads["plan.proposed"]
        return Heard(outcome="plan", plan=Plan.model_validate(proposed["plan"]), digest=str(proposed["digest"]))
    if "refusal" in payloads:
        return Heard(outcome="refusal", code=str(payloads["refusal"]["code"]))
    if "question" in payloads:
        return Heard(outcome="question")
    return Heard(outcome="reading" if "tool.returned" in payloads else "reply")


def _object(value: JsonValue) -> JsonObject:
    return value if isinstance(value, dict) else {}


class Person:
    """Holds one key, and one thread. `http` sends the key with every request."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._thread = ""
        self._position = 0

    async def say(self, text: str) -> Heard:
        """Send a message and wait for the end of its turn. What the door itself refuses is a refusal too."""
        if not self._thread:
            self._thread = str((await self._http.post("/v1/threads", json={})).raise_for_status().json()["id"])
        message_id = uuid.uuid4().hex
        sent = await self._http.post(f"/v1/threads/{self._thread}/messages", json={"text": text, "message_id": message_id})
        if not sent.is_success:
            return Heard(outcome="refusal", code=str(sent.json()["code"]))
        turn: list[JsonObject] = []
        wanted: str | None = None
        async for event in self._events(TURN_SECONDS_MAX):
            turn.append(event)
            payload = _object(event["payload"])
            if event["kind"] == "turn.done" and payload["message_id"] == message_id:
                wanted = str(payload["plan_id"] or "")
            if wanted is not None and (not wanted or any(each["kind"] == "plan.proposed" and each["plan_id"] == wanted for each in turn)):
                return heard([each for each in turn if each["plan_id"] in ("", wanted)])
        return Heard(outcome="refusal", code=NO_ANSWER)

    async def approve(self, plan: Plan, digest: str) -> PlanState:
        """Approve a plan by its digest, and return the state in which it is when it has ended or the time is over."""
        told = await self._http.post(f"/v1/plans/{plan.id}/approve", json={"digest": digest})
        if told.is_success:
            async for event in self._events(PLAN_SECONDS_MAX):
                if event["kind"] == "plan.ended" and event["plan_id"] == plan.id:
                    break
        return await self.state_of(plan)

    async def state_of(self, plan: Plan) -> PlanState:
        """Where a plan is."""
        return PlanState((await self._http.get(f"/v1/plans/{plan.id}")).raise_for_status().json()["state"])

    async def _events(self, seconds_max: float) -> AsyncIterator[JsonObject]:
        deadline = time.monotonic() + seconds_max
        while time.monotonic() < deadline:
            answer = await self._http.get(f"/v1/threads/{self._thread}/events", params={"after": self._position})
            page: list[JsonObject] = answer.raise_for_status().json()
            for event in page:
                self._position = int(str(event["id"]))
                yield event
            if not page:
                await asyncio.sleep(POLL_SECONDS)
