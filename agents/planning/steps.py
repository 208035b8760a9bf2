"""From a filled playbook to the typed steps of a plan."""

import re

from pydantic import JsonValue

from agents.planning.fill import Filled, render
from agents.planning.playbook import Playbook, StepSpec
from tools.plan import Step

_WHOLE = re.compile(r"\{(\w+)\}")


def _argument(value: JsonValue, values: dict[str, JsonValue]) -> JsonValue:
    """An argument with its slots filled; a lone slot keeps its type."""
    if not isinstance(value, str):
        return value
    whole = _WHOLE.fullmatch(value)
    return values.get(whole[1]) if whole else render(value, values)


def _step(spec: StepSpec, values: dict[str, JsonValue], present: set[str]) -> Step:
    arguments = {name: _argument(value, values) for name, value in spec.arguments.items()}
    return Step(
        id=spec.id,
        tool=spec.tool,
        agent=spec.agent,
        summary=render(spec.summary, values),
        arguments={name: value for name, value in arguments.items() if value is not None},
        after=tuple(name for name in spec.after if name in present),
        effect=spec.effect,
        runs_as=spec.runs_as,
        gate=spec.gate,
        always=spec.always,
        postcondition=render(spec.postcondition, values),
        undo=spec.undo,
    )


def _wanted(spec: StepSpec, values: dict[str, JsonValue]) -> bool:
    """Whether the slots that a step waits for, or gives way to, are as it wants them."""
    lacks = spec.only_with is not None and values.get(spec.only_with) is None
    return not lacks and (spec.only_without is None or values.get(spec.only_without) is None)


def build_steps(playbook: Playbook, filled: Filled, request: str) -> list[Step]:
    """The steps in order; those whose slot has no value are left out, and no step waits for them."""
    values = {**filled.values, "request": request, "team": filled.team}
    specs = [spec for spec in playbook.steps if _wanted(spec, values)]
    present = {spec.id for spec in specs}
    return [_step(spec, values, present) for spec in specs]
