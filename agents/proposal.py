"""What a model proposes, and the typed steps that code makes of it."""

from collections.abc import Sequence

from pydantic import BaseModel, Field, JsonValue

from agents.scope import check_plan, gated
from agents.specialists import within_scope
from factory_infra.errors import Forbidden, LineshaftError
from tools.plan import Scope, Step
from tools.spec import reference
from tools.toolbox import tool_named

STEPS_MAX = 24


class ProposedStep(BaseModel):
    """One step as a model writes it; what it may not decide (effect, undo) comes from the tool."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    tool: str
    agent: str
    summary: str = Field(max_length=200)
    arguments: dict[str, JsonValue] = Field(
        default={}, description='A value may be {"from_step": ID, "field": NAME}: a result field of an earlier step.'
    )
    after: list[str] = []


class ProposedSteps(BaseModel):
    """Steps that an agent offers to the one that asked it."""

    steps: list[ProposedStep] = Field(min_length=1, max_length=STEPS_MAX)


class ProposedPlan(ProposedSteps):
    """A plan for a person to approve."""

    title: str = Field(max_length=200)
    team: str


def typed_steps(proposed: Sequence[ProposedStep], scope: Scope) -> list[Step]:
    """Type every step and hold them to the scope. Raises LineshaftError with what to mend."""
    known: set[str] = set()
    steps = []
    for each in proposed:
        steps.append(typed_step(each, known))
        known.add(each.id)
    outside = check_plan(steps, scope) if gated() else None
    if outside is not None:
        raise Forbidden(outside, code="out_of_scope", remedy="Leave such steps out: only what the person asked for can be done.")
    return steps


def typed_step(proposed: ProposedStep, known: set[str]) -> Step:
    """Make a step of what a model wrote: the tool says its effect, the roster who may use it, earlier steps what may be referred to."""
    tool = tool_named(proposed.tool)
    references = {name: reference(value) for name, value in proposed.arguments.items()}
    named = {*proposed.after, *(found[0] for found in references.values() if found)}
    if proposed.id in known:
        reason = f"Two steps are called '{proposed.id}'."
        raise LineshaftError(reason, code="invalid_plan", remedy="Give each step a name of its own: its effect happens once under it.")
    if not named <= known:
        raise LineshaftError(
            f"Step '{proposed.id}' refers to {sorted(named - known)}, which do not come before it.",
            code="invalid_plan",
            remedy="Order the steps.",
        )
    if not any(references.values()):
        tool.parse(proposed.arguments)
    step = Step(
        id=proposed.id,
        tool=tool.name,
        agent=proposed.agent,
        summary=proposed.summary,
        arguments=proposed.arguments,
        after=tuple(dict.fromkeys(named)),
        effect=tool.effect,
        runs_as=tool.runs_as,
        gate=tool.name == "deployments.gate",
        always=tool.name == "leases.release",
        postcondition=tool.postcondition,
        undo=tool.undo_words,
    )
    within_scope(step)
    return step
