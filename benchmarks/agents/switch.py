"""The kill switch, timed: a training job runs, every effect is stopped by the command, reads go on, the held plan finishes afterwards."""

import time
from datetime import datetime

import psutil

from api.client import ApiClient, ApiRefusal, JsonObject
from api.conversation import Conversation
from benchmarks.agents.demo import ENDED, have_team, running, until_state
from benchmarks.agents.holdings import holdings
from cli.checks import Check
from tests.live import LiveStack, until

TEAM = "ranking"
REQUEST = f"Train a digit classifier for team {TEAM} on one slot."
SECONDS_MAX = 5.0
WATCHED_SECONDS = 8.0
READS = ("me", "tenants", "accelerators", "leases", "jobs", "plans", "runs", "cost", "endpoints", "tools")
ENDS_SECONDS_MAX = 240.0


def job_processes(stack: LiveStack, job_id: str) -> list[psutil.Process]:
    """The processes of a job that live, found by its folder."""
    folder, found = str(stack.settings.jobs_dir), []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "status"]):
        about = " ".join([*(process.info["cmdline"] or []), process.info["cwd"] or ""])
        if job_id in about and folder in about and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def stopped(stack: LiveStack, *words: str) -> None:
    """Turn the switch as an operator does, by the command."""
    done = stack.command("runs", *words)
    assert done.returncode == 0, done.stdout + done.stderr


class SwitchTest:
    """One plan that trains, stopped in the middle."""

    def __init__(self, stack: LiveStack, client: ApiClient) -> None:
        self._stack = stack
        self._client = client
        self.checks: list[Check] = []

    def play(self) -> list[Check]:
        """All of it."""
        have_team(self._client, TEAM)
        talk = Conversation(self._client, TEAM)
        turn = talk.say(REQUEST)
        assert turn.plan is not None, turn.events
        talk.approve(turn)
        until(lambda: running(self._client, talk.thread_id, "train"), "it trains")
        job = self._job()
        until(lambda: bool(job_processes(self._stack, job)), "the job's process runs")
        self._stop(job, talk.thread_id)
        self._read(talk)
        self._refuses()
        self._go_on(turn.plan.id)
        return self.checks

    def _job(self) -> str:
        until(lambda: bool(self._client.get_list("/v1/jobs", tenant=TEAM)), "the job is there")
        return str(self._client.get_list("/v1/jobs", tenant=TEAM)[0]["id"])

    def _stop(self, job: str, thread_id: str) -> None:
        """Stop every effect; measure until the process is dead, and look whether anything begins afterwards."""
        began = time.perf_counter()
        stopped(self._stack, "stop-effects", "--reason", "a drill")
        turned = time.perf_counter() - began
        at = datetime.fromisoformat(str(self._client.get_object("/v1/switch")["at"]))
        until(lambda: not job_processes(self._stack, job), "the job's process is dead", 30.0)
        seconds = time.perf_counter() - began
        figure = f"{seconds:.1f} s from the command ({turned:.1f} s of it the command's own), 0 processes"
        self.checks.append(Check("stop-effects: a training job is dead", figure, f"<= {SECONDS_MAX:.0f} s", seconds <= SECONDS_MAX))
        before = holdings(self._client, TEAM)
        time.sleep(max(WATCHED_SECONDS - seconds, 0.0))
        late = self._effects_done(thread_id, at, SECONDS_MAX)
        same = holdings(self._client, TEAM) == before and not job_processes(self._stack, job)
        figure = f"{len(late)} effects, the same held: {same}"
        self.checks.append(Check("no effect happens afterwards", figure, "0, the same", not late and same))

    def _effects_done(self, thread_id: str, at: datetime, after: float) -> list[JsonObject]:
        events = self._client.get_list(f"/v1/threads/{thread_id}/events")
        late = [each for each in events if (datetime.fromisoformat(str(each["at"])) - at).total_seconds() > after]
        return [each for each in late if each["kind"] in {"step.started", "step.done", "step.undone"}]

    def _read(self, talk: Conversation) -> None:
        """Reads go on: routes, and a question in the chat."""
        slow = 0.0
        for path in READS:
            began = time.perf_counter()
            self._client.get(f"/v1/{path}")
            slow = max(slow, time.perf_counter() - began)
        turn = Conversation(self._client, TEAM).say("Which slots are free?", seconds_max=60.0)
        answered = bool(turn.payloads("message.assistant"))
        figure = f"{len(READS)} routes answered, the slowest in {slow * 1000:.0f} ms; a question answered: {answered}"
        self.checks.append(Check("reads go on meanwhile", figure, "all, yes", answered))

    def _refuses(self) -> None:
        """An effect that is asked for now: proposed at most, nothing of it done."""
        before = holdings(self._client, "speech")
        step: JsonObject = {"id": "lease", "tool": "leases.acquire", "arguments": {"slots": 1, "seconds": 600}}
        try:
            told = self._client.post("/v1/plans", {"title": "while stopped", "tenant": "speech", "steps": [step]})
            self._client.post(f"/v1/plans/{told['plan_id']}/approve", {"digest": told["digest"]})
            until(lambda: state(self._client, str(told["plan_id"])) in {"paused", *ENDED}, "it is held or refused")
            found = state(self._client, str(told["plan_id"]))
            self._client.post(f"/v1/plans/{told['plan_id']}/cancel", {"reason": "the drill"})
        except ApiRefusal as refusal:
            found = refusal.error_code
        after = holdings(self._client, "speech")
        right = after == before and found not in {"done"}
        self.checks.append(Check("a new effect meanwhile", f"{found}; nothing done: {after == before}", "held or refused", right))

    def _go_on(self, plan_id: str) -> None:
        held = state(self._client, plan_id)
        stopped(self._stack, "start-effects", "--reason", "the drill is over")
        end = until_state(self._client, plan_id, *ENDED)
        found = holdings(self._client, TEAM)
        right = (held, end, found.versions, found.leases, found.strays) == ("paused", "done", 1, 0, 0)
        self.checks.append(Check("start-effects: the held plan goes on", f"{held}, then {end}; {found}", "paused, done; 1 version", right))


def state(client: ApiClient, plan_id: str) -> str:
    """Where a plan is."""
    return str(client.get_object(f"/v1/plans/{plan_id}")["state"])


def checks(stack: LiveStack) -> list[Check]:
    """On a stack that runs; its team 'speech' must be there."""
    with stack.client() as client:
        have_team(client, "speech")
        return SwitchTest(stack, client).play()
