"""Judges plans: what runs at once, what people must approve, what is refused. Pure: the same plan, policy and facts, the same verdict."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from tools.approval import ROLES, may_approve
from tools.plan import Effect, Frozen, Plan, Step, Verdict
from tools.policy_file import SHIPPED, PolicyBroken, load_policy, read_policy, source_of
from tools.policy_match import Asked, Case, EffectOf, matches, weigh
from tools.policy_models import Policy, Rule, Ruling, TenantBounds, TenantPolicy, Then, fits
from tools.toolbox import TOOLS

__all__ = [
    "SHIPPED",
    "Asked",
    "Explanation",
    "Policy",
    "PolicyBroken",
    "Rule",
    "Ruling",
    "StepRuling",
    "TenantBounds",
    "TenantPolicy",
    "explain",
    "judge",
    "load_policy",
    "may_approve",
    "read_policy",
    "source_of",
    "unmatched",
]


class StepRuling(Frozen):
    """What was decided for one step, and which rules said so."""

    step: str
    tool: str
    effect: str
    decision: Then
    approvals: int = 0
    role: str = ""
    requester_may_approve: bool = True
    expires_seconds: float = 0.0
    rules: tuple[str, ...] = ()
    reason: str = ""


class Explanation(Frozen):
    """A verdict with the table that it was made from."""

    verdict: Verdict
    steps: tuple[StepRuling, ...]


class Refusal(NamedTuple):
    """One thing that makes a plan refused."""

    code: str
    reason: str
    remedy: str


class Voice(NamedTuple):
    """A ruling and who says it: a rule, or the default of a class."""

    name: str
    ruling: Ruling


def registered_effect(tool: str) -> Effect | None:
    """The effect of a tool as the registry says it."""
    return TOOLS[tool].effect if tool in TOOLS else None


def judge(plan: Plan, policy: Policy, asked: Asked, *, effect_of: EffectOf = registered_effect) -> Verdict:
    """Return what the policy says of a plan.

    Args:
        plan: as proposed, with its dry run's prices; its own words on effects are compared with the registry, not believed.
        policy: the installation's; what applies to the plan's team is taken from it.
        asked: the moment, the requester's role, and what the team did in the last hour.
        effect_of: the registry of tools.
    """
    return explain(plan, policy, asked, effect_of=effect_of).verdict


def explain(plan: Plan, policy: Policy, asked: Asked, *, effect_of: EffectOf = registered_effect) -> Explanation:
    """Return the verdict with what was decided for each step. The order of deciding is in docs/policy.md."""
    applied, case = policy.for_tenant(plan.tenant), weigh(plan, asked, effect_of)
    spoken = [(step, voices(step, applied, case)) for step in plan.steps]
    table = tuple(ruled(step, said, case) for step, said in spoken)
    refusals = [*faults(plan, case), *overruns(applied.bounds, case), *forbidden(spoken)]
    if refusals:
        first = refusals[0]
        verdict = Verdict(
            decision="refuse", code=first.code, remedy=first.remedy, reasons=tuple(dict.fromkeys(each.reason for each in refusals))
        )
    elif asking := [row for row in table if row.decision == "approve"]:
        verdict = Verdict(
            decision="approve",
            approvals=max(row.approvals for row in asking),
            role=max((row.role for row in asking), key=ROLES.index),
            requester_may_approve=all(row.requester_may_approve for row in asking),
            expires_seconds=min(row.expires_seconds for row in asking),
            reasons=tuple(sentences(spoken, "approve")),
        )
    else:
        verdict = Verdict(decision="run", reasons=tuple(sentences(spoken, "run")) or ("Nothing in it changes the world.",))
    stamped = verdict.model_copy(update={"policy": applied.stamp, "bounds": applied.bounds.of_a_run()})
    return Explanation(verdict=stamped, steps=table)


def voices(step: Step, applied: TenantPolicy, case: Case) -> list[Voice]:
    """Who decides on a step: the rules that match, with the default unless they all let it run."""
    effect = case.effects.get(step.tool)
    if effect is None or effect is Effect.READ:
        return []
    heard = [Voice(rule.name, rule) for rule in applied.rules if matches(rule, step, case)]
    if heard and all(voice.ruling.then == "run" for voice in heard):
        return heard
    whose = f" (team {applied.tenant})" if effect in applied.own else ""
    default = Voice(f"default {effect.value}{whose}", applied.defaults.of(effect))
    return [*(voice for voice in heard if voice.ruling.then != "run"), default]


def decided(said: Iterable[Voice]) -> Then:
    """The strictest word: refuse before approve before run."""
    words = {voice.ruling.then for voice in said}
    return "refuse" if "refuse" in words else "approve" if "approve" in words else "run"


def ruled(step: Step, said: list[Voice], case: Case) -> StepRuling:
    """Put what is said of a step together: of everything the strictest."""
    effect = case.effects.get(step.tool)
    if effect is None or effect is not step.effect:
        word = f"is {effect.value}, the plan says {step.effect.value}" if effect else "is not registered"
        return StepRuling(
            step=step.id, tool=step.tool, effect=effect.value if effect else "?", decision="refuse", reason=f"{step.tool} {word}."
        )
    decision = decided(said)
    row = StepRuling(step=step.id, tool=step.tool, effect=effect.value, decision=decision)
    deciding = [voice for voice in said if voice.ruling.then == decision]
    named = {
        "rules": tuple(voice.name for voice in deciding) or ("reads run at once",),
        "reason": " ".join(voice.ruling.reason for voice in deciding if voice.ruling.reason),
    }
    if decision != "approve":
        return row.model_copy(update=named)
    rulings = [voice.ruling for voice in deciding]
    asked = {
        "approvals": max(each.approvals for each in rulings),
        "role": max((each.role for each in rulings), key=ROLES.index),
        "requester_may_approve": all(each.requester_may_approve for each in rulings),
        "expires_seconds": min(each.expires_seconds for each in rulings),
    }
    return row.model_copy(update={**named, **asked})


def faults(plan: Plan, case: Case) -> Iterator[Refusal]:
    """What is wrong with the plan itself."""
    if problem := plan.problem():
        yield Refusal("invalid_plan", problem, "Plan again.")
    for step in plan.steps:
        effect = case.effects.get(step.tool)
        if effect is None:
            yield Refusal("tool_unknown", f"Step {step.id}: there is no tool '{step.tool}'.", "Plan again with a tool that there is.")
        elif effect is not step.effect:
            reason = f"Step {step.id}: {step.tool} is {effect.value}, the plan says {step.effect.value}."
            yield Refusal("effect_mismatch", reason, "Plan again: the tool says what its effect is.")


def overruns(bounds: TenantBounds, case: Case) -> Iterator[Refusal]:
    """Which bounds the plan would pass. Those of a team bind effects only: reads go on."""
    plan, asked, remedy = case.plan, case.asked, "Ask for less, wait, or have an administrator change the policy's bounds."
    acting = [step for step in plan.steps if case.effects.get(step.tool) is not Effect.READ]
    wanted: list[tuple[str, Decimal | int, Decimal | int | None]] = [("steps", len(plan.steps), bounds.steps_max)]
    if acting:
        wanted += [
            (f"{plan.price.currency} at most", case.money, bounds.money_max),
            ("runs at one time", asked.runs_at_once + 1, bounds.runs_at_once_max),
            ("effects within an hour", sum(case.count.values()), bounds.effects_per_hour_max),
            ("calls of the model within an hour", asked.model_calls_last_hour, bounds.model_calls_per_hour_max),
            ("tokens within an hour", asked.tokens_last_hour, bounds.tokens_per_hour_max),
        ]
    for what, number, most in wanted:
        if most is not None and number > most:
            yield Refusal("bound_reached", f"It would come to {number} {what}; team {plan.tenant} is allowed {most}.", remedy)


def forbidden(spoken: list[tuple[Step, list[Voice]]]) -> Iterator[Refusal]:
    """What the rules refuse."""
    for sentence in sentences(spoken, "refuse"):
        yield Refusal("policy_refused", sentence, "Change what is asked for, or talk to who keeps the policy: 'lineshaft policy show'.")


def sentences(spoken: list[tuple[Step, list[Voice]]], decision: Then) -> Iterator[str]:
    """One sentence for each voice that decided: what it says, and of which steps."""
    found: dict[str, tuple[Ruling, list[str]]] = {}
    for step, said in spoken:
        for voice in said:
            if voice.ruling.then == decision == decided(said):
                found.setdefault(voice.name, (voice.ruling, []))[1].append(step.id)
    for name, (ruling, steps) in found.items():
        yield f"{ruling.reason or worded(ruling)} ({name}: {', '.join(steps)})"


def worded(ruling: Ruling) -> str:
    """A ruling in words."""
    if ruling.then != "approve":
        return "It runs at once." if ruling.then == "run" else "It is refused."
    people = "1 approval" if ruling.approvals == 1 else f"{ruling.approvals} approvals of different people"
    own = "" if ruling.requester_may_approve else ", not by who asked"
    return f"It needs {people} with the role {ruling.role}{own}."


def unmatched(policy: Policy, tools: Iterable[str] = tuple(TOOLS)) -> list[str]:
    """Sentences on what a policy names and nothing has: most often a slip of the pen."""
    known = tuple(tools)
    sections = {"": policy.rules, **{f"tenants.{name}.": section.rules for name, section in policy.tenants.items()}}
    return [
        f"{where}rules: '{rule.name}' names the tool '{pattern}', and no tool of this installation is called so."
        for where, rules in sections.items()
        for rule in rules
        for pattern in rule.when.tool
        if not any(fits(name, (pattern,)) for name in known)
    ]
