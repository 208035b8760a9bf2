"""What every activity needs: the factory, the key of its effect, and the translation of errors."""

import asyncio
import errno
import functools
import uuid
from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

import httpx
import structlog
from sqlalchemy.exc import OperationalError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from factory_infra.errors import LineshaftError, StorageFull, Unavailable
from factory_infra.factory import Factory
from factory_infra.records.models import NewEvent
from tools.spec import ToolContext
from workflows.failures import to_application_error
from workflows.messages import StepCall, Told

FAULT_ATTEMPTS_MAX = 3
log = structlog.get_logger("activities")

P = ParamSpec("P")
R = TypeVar("R")


def translated(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Raise every error as Temporal's, with code, reason and remedy: this is the edge where none may pass unnamed."""

    @functools.wraps(method)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(*args, **kwargs)
        except LineshaftError as error:
            raise to_application_error(error) from error
        except (OperationalError, httpx.TransportError) as error:
            away = Unavailable(f"A part does not answer ({type(error).__name__}).", remedy="See 'lineshaft status'; it is tried again.")
            raise to_application_error(away) from error
        except OSError as error:
            raise to_application_error(storage_error(error)) from error
        except (ApplicationError, asyncio.CancelledError):
            raise
        except Exception as error:
            attempt = activity.info().attempt if activity.in_activity() else FAULT_ATTEMPTS_MAX
            log.exception("fault in an activity", activity=method.__qualname__, attempt=attempt)
            raise to_application_error(Fault(type(error).__name__, last=attempt >= FAULT_ATTEMPTS_MAX)) from error

    return wrapped


class Fault(LineshaftError):
    """A fault of ours: tried a few times, then told as such."""

    def __init__(self, kind: str, *, last: bool) -> None:
        super().__init__(f"Something went wrong inside ({kind}).", remedy="See 'lineshaft logs worker' and report it.")
        self.retryable = not last


def storage_error(error: OSError) -> LineshaftError:
    """A full disk is told as such; any other refusal of the system may pass."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull("No space is left on the device.", remedy="Free some space and ask again.")
    return Unavailable(f"The system refused ({error.strerror or type(error).__name__}).", remedy="It is tried again.")


class Acting(Protocol):
    """A group of activities over one factory."""

    _factory: Factory


A = TypeVar("A", bound=Acting)
T = TypeVar("T", bound=Told)


def telling(method: Callable[[A, T], Awaitable[R]]) -> Callable[[A, T], Awaitable[R]]:
    """Write the events that came with the request, each once under its key, before anything else."""

    @functools.wraps(method)
    async def wrapped(self: A, request: T) -> R:
        for event in request.events:
            await self._factory.records.write_event(NewEvent.model_validate(event))
        return await method(self, request)

    return wrapped


def effect_key(factory: Factory, key: str) -> str:
    """The key under which an effect happens once. With keys switched off, each attempt gets its own: the control that must fail."""
    return key if factory.settings.idempotency_keys else f"{key}/{uuid.uuid4().hex}"


def tool_context(factory: Factory, request: StepCall, key: str) -> ToolContext:
    """Who acts, for whom, in which plan."""
    return ToolContext(
        factory=factory,
        tenant=request.tenant,
        project=request.project,
        actor=request.actor,
        key=key,
        plan_id=request.plan_id,
        thread_id=request.thread_id,
        agent=request.step.agent,
    )
