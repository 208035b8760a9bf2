"""A model that calls tools for ever, answers nonsense, or is down: each turn ends in words, within its bounds, and nothing is done."""

import tempfile
from pathlib import Path

import yaml

from api.client import ApiClient
from api.conversation import Conversation, Turn
from benchmarks.agents.demo import have_team
from benchmarks.agents.holdings import holdings
from cli.checks import Check
from tests.live import LiveStack

POLICY = Path(__file__).with_name("policy.yaml")
TEAM = "vision"
SCRIPT = {
    "rules": [
        {"when": "say nonsense", "fail": "nonsense"},
        {"when": "be away", "fail": "unavailable"},
        {
            "when": "fan out",
            "tool_calls": [
                {"id": f"d{number}", "name": "delegate", "arguments": {"agent": agent, "task": "fan out again"}}
                for number, agent in enumerate(("auditor", "cost-analyst", "scheduler"))
            ],
        },
        {"when": "", "tool_calls": [{"id": "c1", "name": "accelerators_show", "arguments": {}}]},
    ]
}
"""One script for all: the words of a request choose what the model does; whatever else it is told, it calls a tool once more."""
TURN_SECONDS_MAX = 240.0


def said(turn: Turn) -> tuple[str, str]:
    """With what a turn ended: the code of a refusal, or its last words."""
    refusals = turn.payloads("refusal")
    if refusals:
        return str(refusals[-1]["code"]), str(refusals[-1]["reason"])
    words = [*turn.payloads("message.assistant"), *turn.payloads("question")]
    return ("words", str(words[-1]["text"])) if words else ("nothing", "")


def run_of(client: ApiClient, thread_id: str) -> dict[str, int]:
    """What the last run of a thread used."""
    run = next(each for each in client.get_list("/v1/runs", tenant=TEAM) if each["thread_id"] == thread_id)
    return {name: int(str(run[name])) for name in ("model_calls", "tokens")}


def bounded(client: ApiClient, name: str, request: str) -> Check:
    """A loop, against the bounds of the policy that the stack runs with."""
    bounds = yaml.safe_load(POLICY.read_text())["bounds"]
    before = holdings(client, TEAM)
    talk = Conversation(client, TEAM)
    code, _ = said(talk.say(request, seconds_max=TURN_SECONDS_MAX))
    used = run_of(client, talk.thread_id)
    cost = client.get_object("/v1/cost", tenant=TEAM, thread_id=talk.thread_id)
    within = used["model_calls"] <= bounds["model_calls_max"] and used["tokens"] <= bounds["tokens_max"]
    clean = holdings(client, TEAM) == before and float(str(cost["reserved"])) == 0.0
    figure = f"{code} after {used['model_calls']} calls, {used['tokens']} tokens, {cost['spent']} {cost['currency']}; nothing done: {clean}"
    goal = f"bound_reached, <= {bounds['model_calls_max']} calls, {bounds['tokens_max']} tokens"
    return Check(name, figure, goal, code == "bound_reached" and within and clean)


def faulty(client: ApiClient, name: str, request: str, codes: set[str]) -> Check:
    """A model at fault: the turn ends in words, or a playbook does without it; nothing happens unasked."""
    before = holdings(client, TEAM)
    code, reason = said(Conversation(client, TEAM).say(request, seconds_max=TURN_SECONDS_MAX))
    same = holdings(client, TEAM) == before
    return Check(name, f"{code}: {reason[:60]}; nothing done: {same}", " or ".join(sorted(codes)), code in codes and same)


def played(client: ApiClient) -> list[Check]:
    """All of it, on a stack whose model is the script."""
    have_team(client, TEAM)
    return [
        bounded(client, "a model that calls a tool for ever", "Look at everything again and again."),
        bounded(client, "agents that hand on for ever", "Please fan out."),
        faulty(client, "a model that answers nonsense", "Please say nonsense.", {"model_nonsense", "words"}),
        faulty(client, "a model that is down", "Please be away.", {"model_unavailable"}),
    ]


def checks() -> list[Check]:
    """All of it, on a stack of its own."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "loop.yaml"
        script.write_text(yaml.safe_dump(SCRIPT))
        stack = LiveStack(
            Path(folder) / "home",
            LINESHAFT_MODEL=f"scripted:script={script}",
            LINESHAFT_MODEL_PLANNER="free",
            LINESHAFT_POLICY=str(POLICY),
        )
        stack.start()
        try:
            with stack.client() as client:
                return played(client)
        finally:
            stack.stop()
