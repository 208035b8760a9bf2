"""What a run may do, as pure checks: a step or a plan outside its scope is refused, whoever wrote it and whatever was read."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from pydantic import JsonValue

from tools.plan import Effect, Scope, Step
from tools.spec import reference
from tools.toolbox import TOOLS

PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/@+-]{0,62}[A-Za-z0-9])?\Z")
WORDS = frozenset({"purpose", "algorithm"})
"""Arguments that name no object and bound no effect: a note, and a choice among our own algorithms that the tool checks."""
ADDED_UP = frozenset({"slots"})
"""Limits that hold for a whole plan, not for each step by itself."""
DEFAULT_LIMITS = {"slots": 1, "seconds": 3600}
SOURCES: dict[str, frozenset[str]] = {
    "lease_id": frozenset({"leases.acquire"}),
    "run_id": frozenset({"training.run", "training.blueprint", "studies.wait"}),
    "model_name": frozenset({"registry.best", "registry.register", "training.run"}),
    "version": frozenset({"registry.best", "registry.register"}),
    "endpoint": frozenset({"deployments.deploy"}),
    "dataset": frozenset({"features.training_set"}),
    "set_id": frozenset({"features.training_set"}),
    "study_id": frozenset({"studies.start"}),
}
"""From which tools' results an argument of an effect may be filled: typed fields of ours, never text."""
COMPANIONS: dict[str, tuple[str, ...]] = {
    "leases.acquire": ("leases.release",),
    "training.run": ("leases.acquire", "leases.release", "registry.register"),
}
"""What an effect cannot be done without, or must be ended with: asked for together with it."""
_GATE: ContextVar[bool] = ContextVar("injection_gate", default=True)


def gated() -> bool:
    """Whether the injection gate is on: it always is, but in a control."""
    return _GATE.get()


@contextmanager
def gate_switched_off_as_control() -> Iterator[None]:
    """Show text raw and check no scope, for the control that must then fail. No setting and no door reaches this."""
    token = _GATE.set(False)
    try:
        yield
    finally:
        _GATE.reset(token)


def plain(text: str) -> bool:
    """Whether a text is a plain identifier, number or date: at most 64 ASCII characters, without a space."""
    return PLAIN.match(text) is not None


def pair(model_name: JsonValue, version: JsonValue) -> str:
    """How a scope names one version of a model."""
    return f"{model_name}/{version}"


def effect_of(step: Step) -> Effect:
    """What a step does: the tool says, and the step only where the tool is not ours."""
    return TOOLS[step.tool].effect if step.tool in TOOLS else step.effect


def within(step: Step, scope: Scope, arguments: Mapping[str, JsonValue] | None = None) -> str | None:
    """Say in a sentence why a step is outside a scope; None where it is within. Pure.

    Args:
        step: as it stands in the plan.
        scope: of the plan; it is not widened by anything that is read.
        arguments: with references filled in, at execution; None when the plan is made.
    """
    effect = effect_of(step)
    if effect is Effect.READ:
        return None
    if step.tool not in scope.tools:
        return f"Step '{step.id}': the request does not ask for {step.tool}."
    for name, value in step.arguments.items():
        if reference(value) is None:
            problem = _literal(name, value, step, scope)
        elif effect is Effect.DESTRUCTIVE:
            problem = "must be named by the request itself"
        else:
            problem = _filled(name, (arguments or {}).get(name))
        if problem:
            return f"Step '{step.id}': '{name}' of {step.tool} {problem}."
    extra = sorted(set(arguments or {}) - set(step.arguments))
    return f"Step '{step.id}': {', '.join(extra)} is not in the plan." if extra else None


def _literal(name: str, value: JsonValue, step: Step, scope: Scope) -> str:
    if name in WORDS or _is_default(step.tool, name, value, scope):
        return ""
    if name == "version" and "model_name" in step.arguments:
        model = step.arguments["model_name"]
        return "" if reference(model) is None and pair(model, value) in scope.objects else f"is {value}, which the request does not name"
    if isinstance(value, int | float) and not isinstance(value, bool):
        most = scope.limits.get(name)
        if most is not None:
            return "" if 0 <= value <= most else f"is {value}, more than the {most} of the request"
    strangers = [leaf for leaf in leaves(value) if leaf not in scope.objects]
    return f"is '{strangers[0][:64]}', which the request does not name" if strangers else ""


def _is_default(tool: str, name: str, value: JsonValue, scope: Scope) -> bool:
    """Left to the tool: the same as not given, unless the request set a limit of its own."""
    field = TOOLS[tool].arguments.model_fields.get(name) if tool in TOOLS else None
    return field is not None and not field.is_required() and field.default == value and name not in scope.limits


def _filled(name: str, value: JsonValue) -> str:
    """A value from an earlier step may be a name or a number; words are not filled in anywhere."""
    if name not in SOURCES:
        return "may not be filled from another step"
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return ""
    return "" if isinstance(value, str) and plain(value) else "was to be filled with what is no plain name"


def leaves(value: JsonValue) -> Iterator[str]:
    """Every value in a value, as a scope names it; keys as well."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from leaves(each)
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    elif value is not None:
        yield value if isinstance(value, str) else json.dumps(value)


def check_plan(steps: Sequence[Step], scope: Scope) -> str | None:
    """Say in a sentence why a plan is outside a scope; None where all of it is within. Pure."""
    outside = [problem for problem in (within(step, scope) or _flow(step, steps) for step in steps) if problem]
    return " ".join(outside) or _repeated(steps) or _summed(steps, scope)


def _flow(step: Step, steps: Sequence[Step]) -> str | None:
    """Why an effect's argument may not come from where the plan takes it."""
    if effect_of(step) is Effect.READ:
        return None
    by_id = {each.id: each for each in steps}
    for name, value in step.arguments.items():
        found = reference(value)
        if found and (found[0] not in by_id or by_id[found[0]].tool not in SOURCES.get(name, frozenset())):
            return f"Step '{step.id}': '{name}' may not be filled from step '{found[0]}'."
    return None


def _repeated(steps: Iterable[Step]) -> str | None:
    seen: set[tuple[str, str]] = set()
    for step in steps:
        if effect_of(step) is Effect.READ or step.tool == "leases.acquire":
            continue
        same = (step.tool, json.dumps(step.arguments, sort_keys=True))
        if same in seen:
            return f"Step '{step.id}': does again what an earlier step does."
        seen.add(same)
    return None


def _summed(steps: Iterable[Step], scope: Scope) -> str | None:
    effects = [step for step in steps if effect_of(step) is not Effect.READ]
    for name in sorted(ADDED_UP & set(scope.limits)):
        values = [value for step in effects if isinstance(value := step.arguments.get(name), int)]
        if sum(values) > scope.limits[name]:
            return (
                f"Step '{effects[-1].id}': the steps take {sum(values)} {name} together, more than the {scope.limits[name]} of the request."
            )
    return None


def scope_of(steps: Sequence[Step]) -> Scope:
    """The scope that exactly fits steps which code, or a person, made: of a playbook's draft, or of an edited plan."""
    effects = [step for step in steps if effect_of(step) is not Effect.READ]
    objects: dict[str, None] = {}
    limits: dict[str, int] = {}
    for step in effects:
        literals = {name: value for name, value in step.arguments.items() if reference(value) is None and name not in WORDS}
        for name, value in literals.items():
            if isinstance(value, int) and not isinstance(value, bool) and name != "version":
                limits[name] = limits.get(name, 0) + value if name in ADDED_UP else max(limits.get(name, 0), value)
            else:
                objects.update(dict.fromkeys(leaves(value)))
        if {"model_name", "version"} <= set(literals):
            objects[pair(literals["model_name"], literals["version"])] = None
    return Scope(tools=tuple(dict.fromkeys(step.tool for step in effects)), objects=tuple(objects), limits=limits)


def narrowed(scope: Scope, tools: Iterable[str]) -> Scope:
    """The part of a scope that lies within some tools: what an agent may be handed."""
    mine = set(tools)
    return scope.model_copy(update={"tools": tuple(tool for tool in scope.tools if tool in mine)})
