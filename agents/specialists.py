"""The specialists: each foresees and prices its own steps against live state, within its own tools."""

import asyncio

from langgraph.runtime import Runtime

from agents.spec import AgentSpec, load_roster
from agents.state import Assignment, GraphState, TurnContext
from factory_infra.errors import Forbidden
from tools.plan import DryRun, Step
from tools.ports import JsonObject, Ports

ROSTER: dict[str, AgentSpec] = load_roster()


def within_scope(step: Step) -> None:
    """Raise Forbidden unless the step's agent exists and may use its tool: scope is fixed by the roster, not by the request."""
    spec = ROSTER.get(step.agent)
    if spec is None or step.tool not in spec.tools:
        raise Forbidden(
            f"Agent '{step.agent}' may not use {step.tool}.",
            code="tool_out_of_scope",
            remedy="Name an agent whose roster file lists the tool.",
        )


async def specialise(state: Assignment, runtime: Runtime[TurnContext]) -> GraphState:
    """Dry-run and price the steps of one specialist, side by side; only reads happen."""
    ports, name = runtime.context.ports, state["agent"]
    await ports.emit("agent.started", {"agent": name, "steps": [step.id for step in state["steps"]]})
    foreseen = await asyncio.gather(*(foresee(step, state, ports) for step in state["steps"]))
    return {"foreseen": list(foreseen)}


async def foresee(step: Step, assignment: Assignment, ports: Ports) -> Step:
    """Return the step with what live state says about it and what it may cost."""
    try:
        within_scope(step)
    except Forbidden as error:
        refusal = DryRun(feasible=False, code=error.error_code, reason=error.reason, remedy=error.remedy)
        return step.model_copy(update={"dry_run": refusal})
    turn, thought = assignment["turn"], assignment["thought"]
    request: JsonObject = {
        "plan_id": turn.plan_id,
        "thread_id": turn.thread_id,
        "tenant": thought.team,
        "actor": turn.who.actor,
        "key": f"{turn.plan_id}/{step.id}",
        "step": step.model_dump(mode="json"),
        "arguments": {},
    }
    return Step.model_validate(await ports.call("foresee_step", request))
