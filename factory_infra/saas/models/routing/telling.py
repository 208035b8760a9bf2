"""Tells operators in the log what goes wrong with a target: each failed attempt, within bounds, and when its breaker turns."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger("gateway")

EACH_SECOND_MAX = 3
"""So many failures of a target are told in a second; how many were left out is told with the next."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed: by codes and classes, for an upstream's own words may hold what was asked."""

    call: str
    code: str
    cause: BaseException | None
    seconds: float


class Teller:
    """One target's line to the log."""

    __slots__ = ("_backend", "_began_at", "_clock", "_left_out", "_model", "_told")

    def __init__(self, model: str, backend: str, clock: Callable[[], float]) -> None:
        """`model` is the virtual one; `clock` tells seconds that never go back."""
        self._model = model
        self._backend = backend
        self._clock = clock
        self._began_at = float("-inf")
        self._told = 0
        self._left_out = 0

    def failed(self, failure: Failure) -> None:
        """An attempt failed."""
        now = self._clock()
        if now - self._began_at >= 1.0:
            self._began_at, self._told = now, 0
        if self._told >= EACH_SECOND_MAX:
            self._left_out += 1
            return
        more: dict[str, object] = {} if failure.cause is None else {"cause": type(failure.cause).__name__}
        if self._left_out:
            more["left_out"] = self._left_out
        self._told, self._left_out = self._told + 1, 0
        log.warning(
            "an attempt failed",
            call=failure.call,
            model=self._model,
            backend=self._backend,
            code=failure.code,
            ms=round(failure.seconds * 1000),
            **more,
        )

    def turned(self, open_seconds: float | None) -> None:
        """The target's breaker opened for so long, or closed."""
        if open_seconds is None:
            log.warning("a breaker closed", model=self._model, backend=self._backend)
        else:
            log.warning("a breaker opened", model=self._model, backend=self._backend, seconds=open_seconds)
