"""Where a call is tried next, when, and when it is given up."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from factory_infra.errors import EffectFailed, LineshaftError, Unavailable
from factory_infra.saas.models.routing.config import Retries
from factory_infra.saas.models.routing.targets import Live

BACKOFF_SECONDS_MAX = 20.0
BUDGET_TOKENS_MAX = 10.0
"""So many repeats may come at once after a quiet time."""


class RetryBudget:
    """A token bucket that keeps repeats below a share of calls: each call puts in the share, each repeat takes out one.

    When a target is down, repeats would multiply what it is asked; with this they add at most the share.
    """

    __slots__ = ("_ratio", "_tokens")

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._tokens = BUDGET_TOKENS_MAX if ratio > 0 else 0.0

    def called(self) -> None:
        """A call began."""
        self._tokens = min(self._tokens + self._ratio, BUDGET_TOKENS_MAX)

    def take(self) -> bool:
        """Take a repeat, where one is left."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def backoff(first_seconds: float, repeats: int, chance: random.Random) -> float:
    """How long to wait before a repeat: anything up to a bound that doubles each time ("full jitter").

    Callers that failed together come back apart. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    return chance.uniform(0.0, min(BACKOFF_SECONDS_MAX, first_seconds * 2**repeats))


def elsewhere(error: LineshaftError) -> bool:
    """Whether another target may do what this one could not: it does not answer, or it refuses us and not the request."""
    return isinstance(error, Unavailable | EffectFailed)


@dataclass(frozen=True, slots=True)
class Step:
    """The next attempt, and how long to wait before it."""

    live: Live
    ticket: int
    """Of the target's breaker."""
    wait_seconds: float


class Trip:
    """One call's way over its targets. First each target once, in their order and at once; then again those that may be well by now.

    A repeat at a target that failed this call already waits, takes from the budget, comes not before the upstream's Retry-After, and is
    left out where it would come after the deadline.
    """

    def __init__(self, order: Sequence[Live], retries: Retries, attempts_max: int, budget: RetryBudget) -> None:
        self._fresh = list(order)
        self._tried: dict[Live, float] = {}
        """Targets that failed in a way that may pass, each with the moment before which it is not asked again."""
        self._retries = retries
        self._left = attempts_max
        self._repeats = 0
        self._budget = budget
        budget.called()

    def next(self, now: float, deadline_at: float, chance: random.Random | None) -> Step | None:
        """The next step, let through by its target's breaker; None when the call is given up. Without a chance nothing is repeated."""
        if self._left <= 0 or now >= deadline_at:
            return None
        step = self._first()
        if step is None and chance is not None:
            step = self._again(now, deadline_at, chance)
        if step is not None:
            self._left -= 1
        return step

    def failed(self, live: Live, error: LineshaftError, now: float) -> None:
        """Remember how an attempt failed."""
        if isinstance(error, Unavailable):
            self._tried[live] = now + (error.retry_after_seconds or 0.0)
        else:
            self._tried.pop(live, None)

    def _first(self) -> Step | None:
        while self._fresh:
            live = self._fresh.pop(0)
            ticket = live.breaker.enter()
            if ticket:
                return Step(live, ticket, 0.0)
        return None

    def _again(self, now: float, deadline_at: float, chance: random.Random) -> Step | None:
        candidates = [live for live in self._tried if live.breaker.admits]
        if not candidates:
            return None
        live = min(candidates, key=lambda each: self._tried[each])
        wait = max(backoff(self._retries.backoff_seconds, self._repeats, chance), self._tried[live] - now)
        if now + wait >= deadline_at or not self._budget.take():
            return None
        self._repeats += 1
        return Step(live, live.breaker.enter(), wait)


def all_resting(name: str, lives: Sequence[Live]) -> Unavailable:
    """The refusal of a call whose targets are all left alone."""
    wait = min(live.breaker.wait_seconds for live in lives)
    return Unavailable(
        f"Every target of '{name}' has failed too often lately.",
        remedy="Try again later.",
        code="model_unavailable",
        retry_after_seconds=max(wait, 1.0),
    )
