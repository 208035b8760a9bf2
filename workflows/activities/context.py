"""What every activity needs: the factory, the key of its effect, and the translation of errors."""

import functools
import uuid
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from factory_infra.errors import LineshaftError
from factory_infra.factory import Factory
from tools.spec import ToolContext
from tools.toolbox import AnyTool
from workflows.failures import to_application_error
from workflows.messages import StepCall

P = ParamSpec("P")
R = TypeVar("R")


def translated(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Raise our errors as Temporal's, with code, reason and remedy."""

    @functools.wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except LineshaftError as error:
            raise to_application_error(error) from error

    return wrapped


def effect_key(factory: Factory, key: str) -> str:
    """The key under which an effect happens once. With keys switched off, each attempt gets its own: the control that must fail."""
    return key if factory.settings.idempotency_keys else f"{key}/{uuid.uuid4().hex}"


def tool_context(factory: Factory, request: StepCall, key: str) -> ToolContext:
    """Who acts, for whom, in which plan."""
    return ToolContext(
        factory=factory,
        tenant=request.tenant,
        actor=request.actor,
        key=key,
        plan_id=request.plan_id,
        thread_id=request.thread_id,
        agent=request.step.agent,
    )


def dumped(tool: AnyTool, result: object) -> dict[str, object]:
    """Return a tool's result as JSON, through its own model."""
    return tool.result.model_validate(result, from_attributes=True).model_dump(mode="json")  # type: ignore[no-any-return]
