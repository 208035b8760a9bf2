"""Composes the plan from what the specialists foresaw: price, notes, expiry; or says why it cannot work."""

from datetime import timedelta
from decimal import Decimal

from langgraph.runtime import Runtime

from agents.memory import remember
from agents.planning.interface import Draft, Pending
from agents.state import GraphState, TurnContext, TurnResult
from tools.plan import Plan, Price, Step


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
        return {"result": TurnResult(memory=remember(turn, pending))}
    plan = Plan(
        id=turn.plan_id,
        tenant=thought.team,
        thread_id=turn.thread_id,
        requested_by=turn.who.actor,
        request=turn.text,
        playbook=draft.playbook,
        title=draft.title,
        steps=tuple(steps),
        price=total(steps),
        notes=tuple(draft.notes),
        lessons=tuple(draft.lessons),
        planner=thought.planner,
        expires_at=turn.now + timedelta(seconds=situation.approval_seconds_max),
    )
    return {"result": TurnResult(memory=remember(turn, pending), plan=plan)}
