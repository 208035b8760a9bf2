"""The demo plan refused, edited, approved, paused, resumed and undone: in a terminal, and by REST; the factory is asked after each."""

import argparse
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from api.client import ApiClient, ApiRefusal, JsonObject
from api.conversation import Conversation, Turn
from benchmarks.agents.holdings import holdings
from benchmarks.agents.terminal import Recording, Session, Terminal
from cli.checks import Check, print_checks
from tests.live import LiveStack, until

TEAM = "vision"
REQUEST = "Train a digit classifier for team {team} on one slot and put it live if it beats 80 percent."
ENDS_SECONDS_MAX = 180.0
ENDED = {"done", "failed", "cancelled", "gated", "escalated", "undone"}


def have_team(client: ApiClient, team: str) -> None:
    """Make a team unless it is there."""
    try:
        client.post("/v1/tenants", {"name": team, "quota_slots": 2, "budget": "50"})
    except ApiRefusal as refusal:
        if refusal.error_code != "conflict":
            raise


def state_of(client: ApiClient, plan_id: str) -> str:
    """Where a plan is."""
    return str(client.get_object(f"/v1/plans/{plan_id}")["state"])


def until_state(client: ApiClient, plan_id: str, *states: str) -> str:
    """Wait until a plan is in one of the states; return which."""
    until(lambda: state_of(client, plan_id) in states, f"plan {plan_id} is {' or '.join(states)}", ENDS_SECONDS_MAX)
    return state_of(client, plan_id)


def running(client: ApiClient, thread_id: str, step: str) -> bool:
    """Whether a step has begun."""
    events = client.get_list(f"/v1/threads/{thread_id}/events")
    return any(
        event["kind"] == "step.started" and isinstance(event["payload"], dict) and event["payload"]["step"] == step for event in events
    )


class InTerminal:
    """The demo through the `lineshaft` command.

    Args:
        recording: takes all that is typed and printed.
    """

    def __init__(self, stack: LiveStack, client: ApiClient, recording: Recording, team: str = TEAM) -> None:
        self._client = client
        self._recording = recording
        self._terminal = Terminal(stack, recording)
        self._team = team
        self.checks: list[Check] = []

    def play(self) -> list[Check]:
        """All of it."""
        have_team(self._client, self._team)
        self.refused()
        plan_id = self.edited()
        self.approved_and_held(plan_id)
        self.undone(plan_id)
        return self.checks

    def _check(self, name: str, figure: object, goal: str, *, held: bool) -> None:
        self.checks.append(Check(f"terminal: {name}", str(figure), goal, held))

    def refused(self) -> None:
        """Read the card, say no."""
        self._recording.heading("Ask, read the card, refuse")
        done = self._terminal.give("chat", "--tenant", self._team, REQUEST.format(team=self._team), typed="n\n")
        held = holdings(self._client, self._team)
        plan = self._client.get_list("/v1/plans", tenant=self._team)[0]
        right = done.returncode == 0 and plan["state"] == "refused" and held.standing + held.jobs == 0
        self._check("refused", f"{plan['state']}; {held}", "refused; nothing", held=right)

    def edited(self) -> str:
        """Ask again; while the question stands, another terminal changes the plan: a yes to the old card counts no more."""
        self._recording.heading("Ask again; a second terminal edits the plan meanwhile")
        with self._terminal.beside("chat", "--tenant", self._team, REQUEST.format(team=self._team)) as session:
            session.until("Approve exactly this plan?")
            plan_id = found_plan(session)
            edit = (
                "plans",
                "edit",
                plan_id,
                "--set",
                "train.algorithm=k_neighbors",
                "--set",
                "gate.threshold=0.9",
                "--reason",
                "a quick one",
            )
            done = self._terminal.give(*edit)
            self._recording.heading("The yes to the card that was read before the edit counts no more")
            code = session.answer("y")
        stale = code != 0 and "another version of the plan" in " ".join(session.text.split())
        held = holdings(self._client, self._team)
        right = done.returncode == 0 and stale and state_of(self._client, plan_id) == "proposed" and held.standing + held.jobs == 0
        self._check("edited; the old approval", f"refused: {stale}; {held}", "digest_mismatch; nothing", held=right)
        return plan_id

    def approved_and_held(self, plan_id: str) -> None:
        """Approve the revision, hold it while it trains, let it go on."""
        self._recording.heading("Approve the revision, pause it while it trains, resume")
        self._terminal.give("plans", "approve", plan_id, "--yes")
        thread = str(self._client.get_object(f"/v1/plans/{plan_id}")["thread_id"])
        until(lambda: running(self._client, thread, "train"), "it trains", ENDS_SECONDS_MAX)
        self._terminal.give("plans", "pause", plan_id, "--reason", "wait a moment")
        until(lambda: not running_steps(self._client, plan_id), "the step at work has ended", ENDS_SECONDS_MAX)
        held, state = holdings(self._client, self._team), state_of(self._client, plan_id)
        self._check("paused", f"{state}; {held}", "paused; not registered", held=state == "paused" and held.versions == 0)
        self._terminal.give("plans", "resume", plan_id)
        state = until_state(self._client, plan_id, *ENDED)
        self._terminal.give("plans", "show", plan_id)
        self._terminal.give("show", "endpoints")
        held = holdings(self._client, self._team)
        right = (state, held.versions, held.endpoints, held.jobs, held.leases, held.strays) == ("done", 1, 1, 1, 0, 0)
        self._check("approved, resumed", f"{state}; {held}", "done; 1 job, 1 version, 1 endpoint", held=right)

    def undone(self, plan_id: str) -> None:
        """Undo the finished plan."""
        self._recording.heading("Undo the finished plan")
        self._terminal.give("plans", "undo", plan_id, "--reason", "it was a demonstration")
        state = until_state(self._client, plan_id, "undone", "escalated")
        self._terminal.give("show", "endpoints")
        self._terminal.give("plans", "list", "--tenant", self._team)
        held = holdings(self._client, self._team)
        self._check("undone", f"{state}; {held}", "undone; nothing stands", held=state == "undone" and held.standing == 0)


def found_plan(session: Session) -> str:
    """The plan's id on a card."""
    found = re.search(r"plan-[0-9a-f]+-\d+", re.sub(r"\x1b\[[0-9;]*m", "", session.text))
    assert found is not None, session.text
    return found[0]


def running_steps(client: ApiClient, plan_id: str) -> list[str]:
    """The steps at work now."""
    steps = client.get_object(f"/v1/plans/{plan_id}/status")["steps"]
    return [name for name, state in steps.items() if state == "running"] if isinstance(steps, dict) else []


class ByRest:
    """The same by REST."""

    def __init__(self, client: ApiClient, team: str) -> None:
        self._client = client
        self._team = team
        self.checks: list[Check] = []

    def play(self) -> list[Check]:
        """All of it."""
        have_team(self._client, self._team)
        talk = Conversation(self._client, self._team)
        self.refused(talk)
        turn = talk.say(REQUEST.format(team=self._team))
        self.decided(turn, talk.thread_id)
        return self.checks

    def _check(self, name: str, figure: object, goal: str, *, held: bool) -> None:
        self.checks.append(Check(f"REST: {name}", str(figure), goal, held))

    def refused(self, talk: Conversation) -> None:
        """Refuse."""
        turn = talk.say(REQUEST.format(team=self._team))
        talk.refuse(turn, "not today")
        plan_id = turn.plan.id if turn.plan else ""
        state, held = until_state(self._client, plan_id, "refused", *ENDED), holdings(self._client, self._team)
        self._check("refused", f"{state}; {held}", "refused; nothing", held=state == "refused" and held.standing + held.jobs == 0)

    def decided(self, turn: Turn, thread_id: str) -> None:
        """Edit, approve the old and the new digest, pause, resume, undo."""
        plan_id = turn.plan.id if turn.plan else ""
        path, digest = f"/v1/plans/{plan_id}", self.edited(turn)
        self._client.post(f"{path}/approve", {"digest": digest})
        again = self._refusal(f"{path}/approve", {"digest": digest})
        until(lambda: running(self._client, thread_id, "train"), "it trains", ENDS_SECONDS_MAX)
        paused = self._client.post(f"{path}/pause", {"reason": "wait"})["state"]
        until(lambda: not running_steps(self._client, plan_id), "the step at work has ended", ENDS_SECONDS_MAX)
        held = holdings(self._client, self._team)
        self._check("paused", f"{paused}; {held}", "paused; not registered", held=paused == "paused" and held.versions == 0)
        self._client.post(f"{path}/resume")
        state, used = until_state(self._client, plan_id, *ENDED), self._client.get_list(f"{path}/approvals")
        held = holdings(self._client, self._team)
        right = (state, held.versions, held.endpoints, held.leases, again, len(used)) == ("done", 1, 1, 0, "conflict", 1)
        self._check("approved once, resumed", f"{state}; replay: {again}; {held}", "done; conflict; 1 version, 1 endpoint", held=right)
        self._client.post(f"{path}/undo", {"reason": "a demonstration"})
        state, held = until_state(self._client, plan_id, "undone", "escalated"), holdings(self._client, self._team)
        self._check("undone", f"{state}; {held}", "undone; nothing stands", held=state == "undone" and held.standing == 0)

    def edited(self, turn: Turn) -> str:
        """Put other steps; return the digest of the revision."""
        assert turn.plan is not None
        steps = [step.model_dump(mode="json") for step in turn.plan.steps]
        for step in steps:
            if step["id"] == "train":
                step["arguments"]["algorithm"] = "k_neighbors"
        path = f"/v1/plans/{turn.plan.id}"
        row = self._client.put(path, {"digest": turn.digest, "steps": list(steps), "reason": "quicker"})
        stale = self._refusal(f"{path}/approve", {"digest": turn.digest})
        changed = row["digest"] != turn.digest
        self._check(
            "edited", f"new digest: {changed}; old approval: {stale}", "digest_mismatch", held=changed and stale == "digest_mismatch"
        )
        return str(row["digest"])

    def _refusal(self, path: str, body: JsonObject) -> str:
        """The code with which a call is refused; 'taken' where it is not."""
        try:
            self._client.post(path, body)
        except ApiRefusal as refusal:
            return refusal.error_code
        return "taken"


def checks(stack: LiveStack, keep: Path | None = None) -> list[Check]:
    """Both, on a stack that runs; the recording is written to a folder where one is named."""
    recording = Recording()
    with stack.client() as client:
        try:
            found = InTerminal(stack, client, recording).play()
        finally:
            if keep is not None:
                recording.keep(keep, "agents-demo")
        return [*found, *ByRest(client, "speech").play()]


def main() -> int:
    """Play the demo by itself and keep its recording."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--keep", type=Path, help="Write agents-demo.txt and agents-demo.svg into this folder.")
    given = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stack = LiveStack(Path(folder) / "home")
        stack.start()
        try:
            found = checks(stack, given.keep)
        finally:
            stack.stop()
    print_checks(Console(width=170, highlight=False), found)
    return 0 if all(check.held for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
