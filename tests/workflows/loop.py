"""A workflow without a server: its waits, clock and activities are a test's own, so that thousands of steps take seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, RetryState

from tests.workflows.line import JsonObject
from workflows.messages import StepCall

ROUNDS_MAX = 10_000
QUIET_ROUNDS = 12
"""So many turns of the loop in which nothing moved mean that all wait for the test."""

Act = Callable[[str, JsonObject], Awaitable[JsonObject]]


class Wait:
    """A condition that a workflow waits for, until a moment."""

    def __init__(self, holds: Callable[[], bool], until: datetime | None, future: asyncio.Future[bool]) -> None:
        self.holds = holds
        self.until = until
        self.future = future

    def moved(self, now: datetime) -> bool:
        """Wake who waits, if there is a reason to."""
        if self.future.done():
            return True
        if self.holds():
            self.future.set_result(True)
        elif self.until is not None and now >= self.until:
            self.future.set_result(False)
        return self.future.done()


class World:
    """What a workflow sees: the time, its activities and the end of what it waits for."""

    def __init__(self, act: Act) -> None:
        self.loop = asyncio.new_event_loop()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.signals: list[tuple[str, str]] = []
        self._act = act
        self._waits: list[Wait] = []
        self._handlers = 0

    def begin(self, work: Coroutine[Any, Any, Any], *, handler: bool = False) -> "asyncio.Task[Any]":
        """Start a workflow or one of its handlers."""
        return self.loop.create_task(self._handled(work) if handler else work)

    async def _handled(self, work: Coroutine[Any, Any, Any]) -> Any:
        self._handlers += 1
        try:
            return await work
        finally:
            self._handlers -= 1

    def settle(self) -> None:
        """Let everything go on until it waits for the test."""
        self.loop.run_until_complete(self._settled())

    async def _settled(self) -> None:
        quiet = 0
        for _ in range(ROUNDS_MAX):
            await asyncio.sleep(0)
            woken = [each for each in self._waits if each.moved(self.now)]
            self._waits = [each for each in self._waits if not each.future.done()]
            quiet = 0 if woken else quiet + 1
            if quiet > QUIET_ROUNDS:
                return
        raise AssertionError("the workflow turns without end")

    def close(self) -> None:
        """Drop what still waits."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()

    async def wait_condition(self, holds: Callable[[], bool], *, timeout: timedelta | None = None, **_: object) -> None:
        """As Temporal's."""
        if holds():
            return
        wait = Wait(holds, self.now + timeout if timeout is not None else None, self.loop.create_future())
        self._waits.append(wait)
        if not await wait.future:
            raise TimeoutError

    async def activity(self, name: str, argument: JsonObject, **_: object) -> JsonObject:
        """As Temporal's."""
        try:
            return await self._act(name, argument)
        except ApplicationError as error:
            raise failed(name) from error

    async def child(self, _: object, request: StepCall, **__: object) -> object:
        """The workflow of a job."""
        return await self._act("run_job", request.model_dump(mode="json"))

    def outside(self, name: str) -> SimpleNamespace:
        """A handle of another workflow, which notes what it is told."""

        async def signal(kind: str, _: object) -> None:
            self.signals.append((name, kind))

        return SimpleNamespace(signal=signal)

    async def started(self, *_: object, **__: object) -> None:
        """A child that goes its own way."""

    @contextmanager
    def around(self) -> Iterator[None]:
        """Put this world in the place of Temporal's."""
        stands_in: dict[str, Any] = {
            "now": lambda: self.now,
            "wait_condition": self.wait_condition,
            "execute_activity": self.activity,
            "execute_local_activity": self.activity,
            "execute_child_workflow": self.child,
            "start_child_workflow": self.started,
            "get_external_workflow_handle": self.outside,
            "info": lambda: SimpleNamespace(workflow_id="plan-1", run_id="run-1"),
            "all_handlers_finished": lambda: self._handlers == 0,
        }
        with patch.multiple(workflow, **stands_in):
            yield


def failed(name: str) -> ActivityError:
    """How Temporal hands a failed activity to its workflow."""
    return ActivityError(
        "Activity failed",
        scheduled_event_id=0,
        started_event_id=0,
        identity="",
        activity_type=name,
        activity_id="",
        retry_state=RetryState.NON_RETRYABLE_FAILURE,
    )
