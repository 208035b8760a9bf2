"""An event loop whose time passes only when nobody has anything to do: waiting takes none, and never depends on the machine."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
TIMER_SECONDS = 1e-6


class _Skipping(selectors.DefaultSelector):
    """Waits for nothing: what would be waited is added to the time."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise RuntimeError("everything waits, and nothing will ever happen")
        if not found and timeout:
            self.now += timeout + TIMER_SECONDS
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop with its own clock."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """The loop's own seconds."""
        return self._skipping.now


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run some work in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def live(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test in virtual time."""

    def wrapped(*_: object) -> None:
        async def whole() -> None:
            await test()

        run(whole())

    wrapped.__name__ = test.__name__
    return wrapped
