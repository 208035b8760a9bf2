"""Leaves a target alone that fails too often, and lets one call at a time find out whether it is well again."""

from collections.abc import Callable
from typing import Literal

from factory_infra.saas.models.routing.config import Breaking

State = Literal["closed", "open", "half_open"]
PARTS = 10
"""The window is counted in so many parts, the oldest of which is dropped."""
LONGER_MAX = 8
"""A target that fails its trials is left alone for longer, up to so many times."""


class Breaker:
    """One target's. `closed`: calls go through and are counted. `open`: none does. `half_open`: one does, and its end decides.

    Each call that `enter` let through ends in exactly one of `succeeded`, `failed` and `left`, with the ticket that it got. What began
    before the breaker last opened or closed decides nothing.
    """

    __slots__ = ("_breaking", "_calls", "_clock", "_failures", "_open_until", "_openings", "_part", "_tell", "_trying", "_turn")

    def __init__(self, breaking: Breaking, clock: Callable[[], float], tell: Callable[[float | None], None] | None = None) -> None:
        """`clock` tells seconds that never go back; `tell` hears for how many the breaker opens, and None when it closes."""
        self._breaking = breaking
        self._clock = clock
        self._tell = tell
        self._calls = [0] * PARTS
        self._failures = [0] * PARTS
        self._part = 0
        self._open_until: float | None = None
        self._openings = 0
        self._trying = False
        self._turn = 1

    @property
    def state(self) -> State:
        """Which of the three it is now."""
        if self._open_until is None:
            return "closed"
        return "open" if self._clock() < self._open_until else "half_open"

    @property
    def admits(self) -> bool:
        """Whether a call would be let through now."""
        return self._open_until is None or (not self._trying and self._clock() >= self._open_until)

    @property
    def wait_seconds(self) -> float:
        """How long until a call may be let through; 0 where one is."""
        return 0.0 if self._open_until is None else max(self._open_until - self._clock(), 0.0)

    def enter(self) -> int:
        """Let a call through and return its ticket, or return 0. In `half_open` only one at a time is let through."""
        if not self.admits:
            return 0
        self._trying = self._open_until is not None
        return self._turn

    def succeeded(self, ticket: int) -> None:
        """A call ended well; a trial that did closes the breaker with a clean sheet."""
        if ticket != self._turn:
            return
        if self._trying:
            self._turned(None)
            self._openings = 0
            self._calls, self._failures = [0] * PARTS, [0] * PARTS
        self._count(failure=False)

    def failed(self, ticket: int) -> None:
        """A call ended in a fault of the target."""
        if ticket != self._turn:
            return
        if self._trying:
            self._open()
            return
        self._count(failure=True)
        calls = sum(self._calls)
        if calls >= self._breaking.calls_min and sum(self._failures) >= calls * self._breaking.failure_share:
            self._open()

    def left(self, ticket: int) -> None:
        """A call ended without saying anything of the target: the client went, or the request was wrong."""
        if ticket == self._turn:
            self._trying = False

    def _open(self) -> None:
        longer = min(2**self._openings, LONGER_MAX)
        self._turned(self._breaking.open_seconds * longer)
        self._openings += 1

    def _turned(self, open_seconds: float | None) -> None:
        """Open or close: calls from before say nothing about what comes after."""
        self._open_until = None if open_seconds is None else self._clock() + open_seconds
        self._trying = False
        self._turn += 1
        if self._tell is not None:
            self._tell(open_seconds)

    def _count(self, *, failure: bool) -> None:
        part = int(self._clock() / (self._breaking.window_seconds / PARTS))
        for stale in range(self._part + 1, min(part, self._part + PARTS) + 1):
            self._calls[stale % PARTS] = self._failures[stale % PARTS] = 0
        if part - self._part >= PARTS:
            self._calls, self._failures = [0] * PARTS, [0] * PARTS
        self._part = part
        self._calls[part % PARTS] += 1
        self._failures[part % PARTS] += failure
