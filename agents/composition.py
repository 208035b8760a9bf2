"""Composes the plan from what the specialists foresaw: price, notes, expiry; or says why it cannot work."""

from datetime import timedelta
from decimal import Decimal

from langgraph.runtime import Runtime

from agents.memory import remember
from agents.planning.interface import Draft, Pending
from agents.scope import scope_of
from agents.state import GraphState, Situation, Thought, TurnContext, TurnInput, TurnResult
from tools.plan import Plan, Price, Step, Verdict
from tools.ports import JsonObject, Ports


def total(steps: list[Step]) -> Price:
    """Add the steps' prices."""
    prices = [step.price for step in steps if step.price is not None]
    return Price(
        low=sum((price.low for price in prices), Decimal(0)),
        high=sum((price.high for price in prices), Decimal(0)),
        currency=prices[0].currency if prices else "USD",
        basis="; ".join(price.basis for price in prices if price.high > 0),
    )


async def compose(state: GraphState, runtime: Runtime[TurnContext]) -> GraphState:
    """Join the specialists' steps in the draft's order. A plan that cannot work is not proposed: the reasons and remedies are said."""
    turn, situation, thought = state["turn"], state["situation"], state["thought"]
    draft = thought.outcome
    assert isinstance(draft, Draft)  # noqa: S101  (the edge that leads here says so)
    by_id = {step.id: step for step in state["foreseen"]}
    steps = [by_id[step.id] for step in draft.steps]
    pending = Pending(playbook=draft.playbook, slots=draft.slots, request=turn.text)
    refused = next((step.dry_run for step in steps if step.dry_run is not None and not step.dry_run.feasible), None)
    if refused is not None:
        payload = {"code": refused.code, "reason": refused.reason, "remedy": refused.remedy, "agent": draft.agent}
        await runtime.context.ports.emit("refusal", {**payload, "title": draft.title})
        return {"result": TurnResult(memory=remember(turn, pending, situation.facts))}
    plan = await judged(proposal(turn, situation, thought, draft, steps), turn, runtime.context.ports)
    verdict = plan.verdict
    if verdict is not None and verdict.decision == "refuse":
        reason = " ".join(verdict.reasons) or "The policy refuses this plan."
        against = {"code": verdict.code or "policy_refused", "reason": reason, "remedy": verdict.remedy, "agent": draft.agent}
        await runtime.context.ports.emit("refusal", {**against, "title": draft.title})
        return {"result": TurnResult(memory=remember(turn, pending, situation.facts))}
    waiting = pending.model_copy(update={"plan_id": plan.id})
    return {"result": TurnResult(memory=remember(turn, waiting, situation.facts, [plan.id]), plan=plan)}


def proposal(turn: TurnInput, situation: Situation, thought: Thought, draft: Draft, steps: list[Step]) -> Plan:
    """The plan as the policy will judge it; its scope is the turn's, or what exactly these steps do."""
    return Plan(
        id=turn.plan_id,
        tenant=thought.team,
        project=turn.project_in(thought.team),
        thread_id=turn.thread_id,
        requested_by=turn.who.actor,
        requester_role=turn.who.role,
        request=turn.text,
        playbook=draft.playbook,
        title=draft.title,
        steps=tuple(steps),
        price=total(steps),
        notes=tuple(draft.notes),
        planner=thought.planner,
        expires_at=turn.now + timedelta(seconds=situation.approval_seconds_max),
        scope=draft.scope or scope_of(steps),
        lessons=tuple(draft.lessons),
    )


async def judged(plan: Plan, turn: TurnInput, ports: Ports) -> Plan:
    """The plan with the policy's verdict, which may shorten how long a decision is waited for."""
    asked: JsonObject = {"plan": plan.model_dump(mode="json"), "requester_role": turn.who.role}
    verdict = Verdict.model_validate((await ports.call("judge_plan", asked))["verdict"])
    soonest = turn.now + timedelta(seconds=verdict.expires_seconds)
    return plan.model_copy(update={"verdict": verdict, "expires_at": min(plan.expires_at or soonest, soonest)})
