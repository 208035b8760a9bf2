"""Which tools a pipeline's step calls, and whether it may: what a definition is checked against before it is kept."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import JsonValue

from factory_infra.errors import LineshaftError
from factory_infra.paas.training.pipelines.reading import Source
from factory_infra.paas.training.pipelines.spec import (
    DeployStep,
    FeaturesStep,
    FieldRef,
    PipelineSpec,
    RegisterStep,
    Step,
    ToolStep,
    field_of,
)
from tools.plan import Effect
from tools.toolbox import TOOLS

NOT_HERE = ("pipelines.", "plans.")
"""Nouns whose effects a pipeline does not have: it would start what starts it."""


class ToolUse(NamedTuple):
    """One call of one tool; an argument may be a reference."""

    tool: str
    arguments: dict[str, JsonValue]
    gate: bool = False


def referred(ref: FieldRef) -> JsonValue:
    """A reference as an argument."""
    return ref.model_dump(mode="json", by_alias=True)


def tools_of(step: Step) -> Sequence[ToolUse]:
    """The tools that a step calls, one after another; none for a step that is a job, a dataset or a gate."""
    if isinstance(step, ToolStep):
        return (ToolUse(step.tool, dict(step.arguments), step.gate),)
    if isinstance(step, RegisterStep):
        return (ToolUse("registry.register", {"model_name": step.model_name, "run_id": referred(step.run_id)}),)
    if isinstance(step, FeaturesStep):
        given: dict[str, JsonValue] = {"features": [*step.features], "spine": step.spine, "label": step.label}
        return (ToolUse("features.training_set", {name: value for name, value in given.items() if value}),)
    return deploying(step) if isinstance(step, DeployStep) else ()


def deploying(step: DeployStep) -> Sequence[ToolUse]:
    """At once, and then asked; or by a roll-out, whose end is waited for and is a gate."""
    version = referred(step.version) if isinstance(step.version, FieldRef) else step.version
    wanted: dict[str, JsonValue] = {"endpoint": step.endpoint, "model_name": step.model_name, "version": version}
    if step.strategy == "at_once":
        asked: tuple[ToolUse, ...] = (ToolUse("deployments.smoke_test", {"endpoint": step.endpoint}),) if step.smoke else ()
        return (ToolUse("deployments.deploy", wanted), *asked)
    wanted |= {"strategy": step.strategy, "step_seconds": step.step_seconds, "requests_min": step.requests_min}
    wanted |= {"shares": [*step.shares]} if step.strategy == "canary" else {}
    watched: dict[str, JsonValue] = {"rollout_id": {"from": step.id, "field": "rollout_id"}}
    return (ToolUse("deployments.rollout", wanted), ToolUse("deployments.watch_rollout", watched, gate=True))


def check_tools(source: Source, spec: PipelineSpec) -> None:
    """Raise InvalidInput that names file and line for a tool that there is not, or that cannot be called so."""
    for number, step in enumerate(spec.steps):
        for use in tools_of(step):
            against = problem_of(use)
            if against is not None:
                raise source.fault(("steps", number), f"step '{step.id}': {against}", "tool_unfit", "See: lineshaft tools show " + use.tool)


def problem_of(use: ToolUse) -> str | None:
    """Why a tool cannot be called so, None where it can."""
    tool = TOOLS.get(use.tool)
    if tool is None:
        return f"there is no tool {use.tool}"
    if tool.runs_as == "job":
        return f"{use.tool} is a job on a lease: use a step of kind run or train"
    if use.tool.startswith(NOT_HERE) and tool.effect is not Effect.READ:
        return f"{use.tool} may not be called by a pipeline"
    fields = tool.arguments.model_fields
    strangers = sorted(set(use.arguments) - set(fields))
    if strangers:
        return f"{use.tool} has no argument '{strangers[0]}'; it has: {', '.join(fields)}"
    missing = sorted(name for name, field in fields.items() if field.is_required() and name not in use.arguments)
    if missing:
        return f"{use.tool} needs '{missing[0]}'"
    if not any(field_of(value) for value in use.arguments.values()):
        try:
            tool.parse(use.arguments)
        except LineshaftError as error:
            return error.reason.rstrip(".")
    return None
