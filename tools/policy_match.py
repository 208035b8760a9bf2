"""Whether a rule matches a step of a plan: pure, over what the plan asks for and what the team did lately."""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal

from pydantic import AwareDatetime, Field

from tools.plan import Effect, Frozen, Plan, Step
from tools.policy_models import WEEKDAYS, Rule, When, fits

EffectOf = Callable[[str], Effect | None]
"""The effect of a tool by its name, None for a tool that is not there."""


class Asked(Frozen):
    """What the world adds to a plan when it is judged: the moment, who asks, and what the team did in the last hour."""

    now: AwareDatetime
    requester_role: str = "user"
    effects_last_hour: dict[str, int] = Field(default={}, description="How many effects the team had, by tool.")
    runs_at_once: int = Field(default=0, description="Other runs of the team that are under way.")
    model_calls_last_hour: int = 0
    tokens_last_hour: int = 0


@dataclass(frozen=True)
class Case:
    """A plan with what is known about it, weighed once."""

    plan: Plan
    asked: Asked
    effects: Mapping[str, Effect]
    """Effect of each known tool of the plan and of the last hour, as the registry says."""
    money: Decimal
    slots: float
    count: Mapping[str, int]
    """Effects by tool: of the last hour, and of this plan."""


def weigh(plan: Plan, asked: Asked, effect_of: EffectOf) -> Case:
    """Add up what a plan asks for. The plan's own word on effects and sums is not taken."""
    known = {tool: effect_of(tool) for tool in {*asked.effects_last_hour, *(step.tool for step in plan.steps)}}
    effects = {tool: effect for tool, effect in known.items() if effect is not None}
    acting = [step for step in plan.steps if effects.get(step.tool) is not Effect.READ]
    return Case(
        plan=plan,
        asked=asked,
        effects=effects,
        money=max(plan.price.high, sum((step.price.high for step in plan.steps if step.price), Decimal(0))),
        slots=sum(slots_of(step) for step in acting),
        count=Counter(asked.effects_last_hour) + Counter(step.tool for step in acting),
    )


def slots_of(step: Step) -> float:
    """The slots that a step asks for; a number that the plan does not spell out may be any, and counts as above every limit."""
    wanted = step.arguments.get("slots", 0)
    return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0 else math.inf


def matches(rule: Rule, step: Step, case: Case) -> bool:
    """Whether every condition of a rule holds for a step."""
    when, asked = rule.when, case.asked
    moment = asked.now.astimezone(UTC)
    return all(
        (
            not when.effect or case.effects.get(step.tool) in when.effect,
            fits(step.tool, when.tool),
            fits(case.plan.tenant, when.tenant),
            fits(step.agent, when.agent),
            not when.role or asked.requester_role in when.role,
            not when.weekdays or WEEKDAYS[moment.weekday()] in when.weekdays,
            within(moment.hour, when.span),
            when.money_above is None or case.money > when.money_above,
            when.slots_above is None or ("slots" in step.arguments and case.slots > when.slots_above),
            when.count_per_hour_above is None or counted(when, case) > when.count_per_hour_above,
        )
    )


def within(hour: int, span: tuple[int, int] | None) -> bool:
    """Whether an hour lies in a span, which may go over midnight."""
    if span is None:
        return True
    start, end = span
    return start <= hour < end if start < end else hour >= start or hour < end


def counted(when: When, case: Case) -> int:
    """The effects of the tools that a rule is about."""
    return sum(
        count for tool, count in case.count.items() if fits(tool, when.tool) and (not when.effect or case.effects.get(tool) in when.effect)
    )
