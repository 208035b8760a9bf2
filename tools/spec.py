"""What a tool is: typed arguments and result, an effect, and how it is foreseen, priced, checked and undone."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from factory_infra.errors import Conflict, Forbidden, InvalidInput, LineshaftError
from factory_infra.factory import Factory
from factory_infra.iaas.jobs.models import Job, JobSpec
from tools.plan import DryRun, Effect, Price


class Arguments(BaseModel):
    """Base of every tool's arguments: closed to unknown names, strict about types."""

    model_config = ConfigDict(extra="forbid", strict=True, str_max_length=400)


class Result(BaseModel):
    """Base of every tool's result."""


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True)
class ToolContext:
    """Who acts, for whom, in which plan, under which idempotency key."""

    factory: Factory
    tenant: str
    actor: str
    key: str
    plan_id: str = ""
    thread_id: str = ""
    agent: str = ""
    project: str = ""
    """The team's project that what is done is charged to; empty for none."""


Raw = Mapping[str, JsonValue]
"""A step's arguments before its references are filled in."""


@dataclass(frozen=True)
class Tool(Generic[A, R]):
    """One thing that an agent can do. `call` is idempotent under the context's key.

    The docstring of `call` is what a model reads as the tool's description.
    """

    name: str
    effect: Effect
    arguments: type[A]
    result: type[R]
    call: Callable[[ToolContext, A], Awaitable[R]]
    dry_run: Callable[[ToolContext, Raw], Awaitable[DryRun]] | None = None
    price: Callable[[ToolContext, Raw], Awaitable[Price]] | None = None
    verify: Callable[[ToolContext, A, R], Awaitable[None]] | None = None
    undo: Callable[[ToolContext, A, R], Awaitable[str]] | None = None
    undo_words: str = ""
    postcondition: str = ""
    runs_as: Literal["activity", "job"] = "activity"

    @property
    def description(self) -> str:
        """The tool in words."""
        return (self.call.__doc__ or "").strip()

    def parse(self, raw: Raw) -> A:
        """Validate arguments. Raises InvalidInput that names the tool and the field."""
        try:
            return self.arguments.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "arguments"
            raise InvalidInput(f"{self.name}: {field}: {first['msg']}.", remedy="Correct the argument and plan again.") from error


@dataclass(frozen=True)
class JobTool(Tool[A, R]):
    """A tool whose work is a job: `identify` names the job of a key, `prepare` says what to run, `collect` reads what it left.

    `call` is not used by the engine.
    """

    identify: Callable[[str], str] | None = None
    prepare: Callable[[ToolContext, A], Awaitable[JobSpec]] | None = None
    collect: Callable[[ToolContext, A, Job], Awaitable[R]] | None = None
    runs_as: Literal["activity", "job"] = "job"


class Observation(BaseModel):
    """What a model sees of a tool call: the result, or an outcome that it can act on."""

    outcome: Literal["ok", "retry", "failed", "needs_approval"]
    result: dict[str, JsonValue] = {}
    code: str = ""
    reason: str = ""
    remedy: str = ""


def observe(error: LineshaftError) -> Observation:
    """Translate an error for a model."""
    outcome: Literal["retry", "failed", "needs_approval"] = "retry" if error.retryable else "failed"
    if isinstance(error, Forbidden) and error.error_code == "needs_approval":
        outcome = "needs_approval"
    return Observation(outcome=outcome, code=error.error_code, reason=error.reason, remedy=error.remedy)


def refused(error: LineshaftError) -> DryRun:
    """Translate an error into a dry run that says no."""
    return DryRun(feasible=False, code=error.error_code, reason=error.reason, remedy=error.remedy)


def text_argument(raw: Raw, name: str) -> str | None:
    """Return an argument that is known before execution, None while it is a reference."""
    value = raw.get(name)
    return value if isinstance(value, str) else None


def number_argument(raw: Raw, name: str, default: int) -> int:
    """Return a whole number, the default where it is left out. Raises InvalidInput for what is not known before execution."""
    value = raw.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"'{name}' must be a whole number that the plan itself names.", remedy="Plan again with the number.")
    return value


def reference(value: JsonValue) -> tuple[str, str] | None:
    """Return (step, field) where an argument refers to an earlier step's result."""
    if isinstance(value, dict) and set(value) == {"from_step", "field"}:
        return str(value["from_step"]), str(value["field"])
    return None


def resolve(raw: Raw, results: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, JsonValue]:
    """Fill references from the results of earlier steps. Raises Conflict for one that is not there."""
    filled: dict[str, JsonValue] = {}
    for name, value in raw.items():
        found = reference(value)
        if found is None:
            filled[name] = value
            continue
        step, field = found
        if step not in results or field not in results[step]:
            raise Conflict(
                f"'{name}' needs '{field}' of step '{step}', which has no result.", remedy="The plan is inconsistent: plan again."
            )
        filled[name] = results[step][field]
    return filled
