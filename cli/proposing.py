"""How a command has an effect: it proposes a plan of explicit steps, shows it, has it approved, and watches it to its end."""

import json

import typer
from pydantic import JsonValue

from api.client import ApiClient
from api.conversation import Conversation
from cli.cards import print_event, print_plan
from cli.context import out
from tools.plan import Plan, PlanState

JsonObject = dict[str, JsonValue]
WELL = {"done", "gated"}


def step(  # noqa: PLR0913  (each field of a step, named at the call)
    name: str, tool: str, summary: str, arguments: JsonObject, *, after: tuple[str, ...] = (), always: bool = False
) -> JsonObject:
    """A step as POST /v1/plans takes it; arguments that were left out are left to the tool."""
    given: JsonObject = {key: value for key, value in arguments.items() if value not in (None, "", [], {})}
    return {"id": name, "tool": tool, "summary": summary, "arguments": given, "after": list(after), "always": always}


def result_of(name: str, field: str) -> JsonObject:
    """A reference to what an earlier step finds out."""
    return {"from_step": name, "field": field}


def propose(client: ApiClient, tenant: str | None, title: str, steps: list[JsonObject], project: str = "") -> JsonObject:
    """Propose a plan; it is checked, foreseen, priced and judged by policy."""
    return client.post("/v1/plans", {"title": title, "steps": [*steps], "tenant": tenant, "project": project})


def carried_out(client: ApiClient, proposed: JsonObject, *, yes: bool, wait: bool, as_json: bool) -> None:
    """Show the plan, have it decided, and watch it; exit code 1 where it is refused or does not end well."""
    plan_id = str(proposed["plan_id"])
    record = client.get_object(f"/v1/plans/{plan_id}")
    plan = Plan.model_validate(record["document"])
    if not as_json:
        print_plan(out, plan)
    by_policy = plan.verdict is not None and plan.verdict.decision == "run"
    if record["state"] == PlanState.PROPOSED.value and not by_policy:
        if not (yes or typer.confirm("Approve exactly this plan?")):
            client.post(f"/v1/plans/{plan_id}/refuse", {"reason": "Refused at the terminal."})
            raise typer.Exit(1)
        client.post(f"/v1/plans/{plan_id}/approve", {"digest": str(proposed["digest"])})
    if not wait:
        told(proposed, as_json=as_json)
        return
    watch = (lambda event: None) if as_json else (lambda event: print_event(out, event))
    end = Conversation(client, plan.tenant, watch=watch, thread_id=plan.thread_id).until_ended(plan_id)
    if as_json:
        out.print_json(json.dumps(end))
    raise typer.Exit(0 if end["state"] in WELL else 1)


def told(proposed: JsonObject, *, as_json: bool) -> None:
    """Say what was started and how it is followed."""
    if as_json:
        out.print_json(json.dumps(proposed))
        return
    out.print(f"plan {proposed['plan_id']} is on its way; watch it with: lineshaft plans show {proposed['plan_id']}")
