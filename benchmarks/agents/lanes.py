"""Lanes: each asks, approves and waits as one person does, again and again, while parts die."""

import random
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from api.client import ApiRefusal, JsonObject
from api.conversation import Turn
from benchmarks.agents.board import Board
from benchmarks.agents.patient import PatientClient
from factory_infra.errors import Conflict, LineshaftError, Unavailable
from tools.plan import Plan

ENDS_SECONDS_MAX = 600.0
WAITS_SECONDS_MAX = 12.0
LEASE: JsonObject = {"slots": 1, "seconds": 3600, "purpose": "a stream of plans"}


@dataclass
class Asked:
    """One plan of a lane, as its person knows it."""

    plan_id: str
    thread_id: str
    tenant: str
    trains: bool
    wanted: str = "done"
    state: str = ""
    replays_refused: int = 0
    replays_counted: int = 0


@dataclass
class Lane:
    """One person at work.

    Args:
        client: a client of this lane alone.
        datasets: what is trained on.
    """

    client: PatientClient
    board: Board
    tenant: str
    dice: random.Random
    datasets: tuple[str, ...] = ("wine", "iris")
    program_only: bool = False
    asked: list[Asked] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    fault: str = ""
    _thread: str = ""
    _position: int = 0

    def run(self) -> None:
        """Ask until it is over; what is open then is brought to its end."""
        try:
            while not self.board.over.is_set():
                self.once()
        except (LineshaftError, ValueError, KeyError) as error:
            self.fault = f"{self.tenant}: {type(error).__name__}: {error}"

    def once(self) -> None:
        """One request, one decision, one end."""
        kind = self.dice.choices(("train", "lease", "chat"), (5, 3, 0 if self.program_only else 3))[0]
        with self.slot():
            told = self.chat() if kind == "chat" else self.propose(self.steps(trains=kind == "train"), kind)
            if told is None:
                return
            if self.dice.random() < 0.1:
                told[0].wanted = "refused"
                self.refuse(*told)
            else:
                if self.dice.random() < 0.5:
                    with self.without_slot():
                        self.board.around_a_kill(self.dice, WAITS_SECONDS_MAX)
                self.approve(*told)
            self.end(told[0])

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the slots that there are: a plan that finds none free would be refused rightly."""
        self.board.slots.acquire()
        try:
            yield
        finally:
            self.board.slots.release()

    @contextmanager
    def without_slot(self) -> Iterator[None]:
        """Let another lane use the slot while this one waits."""
        self.board.slots.release()
        try:
            yield
        finally:
            self.board.slots.acquire()

    def steps(self, *, trains: bool) -> list[JsonObject]:
        """A plan's steps as a program writes them."""
        lease: JsonObject = {"from_step": "lease", "field": "lease_id"}
        first: JsonObject = {"id": "lease", "tool": "leases.acquire", "arguments": dict(LEASE)}
        last: JsonObject = {"id": "release", "tool": "leases.release", "arguments": {"lease_id": lease}, "after": ["lease"], "always": True}
        if not trains:
            return [first, last]
        dataset = self.dice.choice(self.datasets)
        name = f"{dataset}-classifier"
        train: JsonObject = {
            "id": "train",
            "tool": "training.run",
            "arguments": {"dataset": dataset, "model_name": name, "lease_id": lease, "algorithm": "k_neighbors"},
            "after": ["lease"],
        }
        run: JsonObject = {"from_step": "train", "field": "run_id"}
        register: JsonObject = {
            "id": "register",
            "tool": "registry.register",
            "arguments": {"model_name": name, "run_id": run},
            "after": ["train"],
        }
        return [first, train, {**last, "after": ["train"]}, register]

    def propose(self, steps: list[JsonObject], title: str) -> tuple[Asked, str] | None:
        """Propose a plan as a program does, under one call id however often it is sent."""
        call = uuid.UUID(int=self.dice.getrandbits(128)).hex
        body: JsonObject = {"title": title, "tenant": self.tenant, "steps": list(steps), "call_id": call}
        try:
            told = self.client.post("/v1/plans", body)
            again = self.client.post("/v1/plans", body)
        except ApiRefusal as refusal:
            self.refusals.append(refusal.error_code)
            return None
        if told["plan_id"] != again["plan_id"]:
            raise Conflict(f"One call made two plans: {told['plan_id']}, {again['plan_id']}.")
        return self._note(str(told["plan_id"]), str(told["thread_id"]), trains=len(steps) > 2), str(told["digest"])

    def _note(self, plan_id: str, thread_id: str, *, trains: bool) -> Asked:
        asked = Asked(plan_id, thread_id, self.tenant, trains)
        self.asked.append(asked)
        if thread_id not in self.threads:
            self.threads.append(thread_id)
        threading.Thread(target=self._watch, args=(asked,), daemon=True).start()
        return asked

    def _watch(self, asked: Asked) -> None:
        """Tell the board of the steps of a plan as they begin and end."""
        try:
            for event in self.client.events(asked.thread_id, seconds_max=ENDS_SECONDS_MAX):
                if event["plan_id"] == asked.plan_id:
                    self.board.watch(event)
                    if event["kind"] == "plan.ended":
                        return
        except (LineshaftError, RuntimeError):
            return

    def chat(self) -> tuple[Asked, str] | None:
        """Ask in words, in the lane's one thread."""
        trains = self.dice.random() < 0.6
        text = f"Train a {self.dice.choice(self.datasets)} classifier for team {self.tenant} on one slot."
        if not trains:
            text = f"Lease one slot for team {self.tenant} for ten minutes."
        turn = self.say(text)
        if turn.plan is None:
            self.refusals += [str(each.get("code")) for each in turn.payloads("refusal")]
            return None
        return self._note(turn.plan.id, self._thread, trains=trains), turn.digest

    def say(self, text: str) -> Turn:
        """Say it in the lane's one thread, and say it again under the same id: it is worked on once."""
        if not self._thread:
            self._thread = str(self.client.post("/v1/threads", {"tenant": self.tenant})["id"])
            self.threads.append(self._thread)
        name, turn, over = uuid.UUID(int=self.dice.getrandbits(128)).hex, Turn(), False
        self.messages.append(name)
        for _ in (1, 2):
            self.client.post(f"/v1/threads/{self._thread}/messages", {"text": text, "message_id": name})
        for event in self.client.events(self._thread, self._position, seconds_max=ENDS_SECONDS_MAX):
            self._position = int(str(event["id"]))
            turn.events.append(event)
            over = turn.take(event, name) or over
            if over and (turn.plan is not None or not turn.plan_id):
                return turn
        raise Unavailable(f"No answer to {name} in {self._thread} within {ENDS_SECONDS_MAX:.0f} s.")

    def approve(self, asked: Asked, digest: str) -> None:
        """Approve; then send the same approval again, which must be refused."""
        for attempt in (1, 2):
            try:
                self.client.post(f"/v1/plans/{asked.plan_id}/approve", {"digest": digest})
                asked.replays_counted += attempt - 1
            except ApiRefusal as refusal:
                if refusal.error_code not in {"conflict", "not_found"}:
                    raise
                asked.replays_refused += attempt - 1

    def refuse(self, asked: Asked, digest: str) -> None:
        """Refuse; one that was refused by a call whose answer was lost stays refused."""
        try:
            self.client.post(f"/v1/plans/{asked.plan_id}/refuse", {"reason": "not now"})
        except ApiRefusal as refusal:
            if refusal.error_code != "conflict":
                raise

    def end(self, asked: Asked) -> None:
        """Wait for the end of the plan."""
        for event in self.client.events(asked.thread_id, seconds_max=ENDS_SECONDS_MAX):
            payload = event["payload"]
            if event["plan_id"] == asked.plan_id and event["kind"] == "plan.ended" and isinstance(payload, dict):
                asked.state = str(payload["state"])
            if asked.state and event["kind"] == "message.assistant" and event["plan_id"] == asked.plan_id:
                break
        if asked.state == "done":
            self._give_back(asked)

    def _give_back(self, asked: Asked) -> None:
        """A lease that was asked for in words is held until it is released: by a plan of its own."""
        plan = Plan.model_validate(self.client.get_object(f"/v1/plans/{asked.plan_id}")["document"])
        if any(step.tool == "leases.release" for step in plan.steps):
            return
        row = self.client.get_object(f"/v1/plans/{asked.plan_id}")
        outcome = row["outcome"]
        results = outcome["results"] if isinstance(outcome, dict) else {}
        granted = results["lease"] if isinstance(results, dict) else {}
        name = granted["lease_id"] if isinstance(granted, dict) else ""
        step: JsonObject = {"id": "release", "tool": "leases.release", "arguments": {"lease_id": name}}
        told = self.propose([step], "give back")
        if told is not None:
            self.approve(*told)
            self.end(told[0])
