"""Leads one call over its targets until one of them answers."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Generic, TypeVar

from factory_infra.errors import LineshaftError
from factory_infra.saas.metering.meter import Ask
from factory_infra.saas.models.routing.answers import Asker
from factory_infra.saas.models.routing.attempts import Attempt, Kit
from factory_infra.saas.models.routing.hedging import hedged
from factory_infra.saas.models.routing.preparing import Fit, Prepared
from factory_infra.saas.models.routing.retrying import Step, Trip, all_resting, elsewhere
from factory_infra.saas.models.routing.targets import Live, Virtual

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call that is about to begin: who asks, for what, and until when."""

    asker: Asker
    virtual: Virtual
    prepared: Prepared
    deadline_at: float
    cache_key: bytes | None = None
    """Where the answer may be kept; None where it may not."""


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What is done with an attempt, and how a result is closed that nobody wants any more."""

    do: Callable[[Attempt], Coroutine[None, None, T]]
    discard: Callable[[T], Awaitable[None]]


class Journey(Generic[T]):
    """One call's attempts. Each of them is its own reservation, `CALL/N`."""

    def __init__(self, kit: Kit, asked: Asked, trip: Trip, chance: random.Random, work: Work[T]) -> None:
        self._kit = kit
        self._asked = asked
        self._trip = trip
        self._chance = chance
        self._work = work
        self._fits: dict[Live, Fit] = {fit.live: fit for fit in asked.prepared.fits}
        self._count = 0

    async def run(self) -> T:
        """Return what the first target says that can. Raises the last one's error, or that of the meter.

        What would fail everywhere is not tried elsewhere. The deadline is never passed, not by waiting either.
        """
        attempt = await self._next()
        if attempt is None:
            raise all_resting(self._asked.virtual.name, list(self._fits))
        while True:
            try:
                return await self._once(attempt)
            except LineshaftError as error:
                if not elsewhere(error):
                    raise
                following = await self._next()
                if following is None:
                    raise
                attempt = following

    async def _once(self, attempt: Attempt) -> T:
        after = self._asked.virtual.model.hedge_after_seconds
        if after is None:
            return await self._working(attempt)
        return await hedged(self._working(attempt), after, self._second, self._work.discard)

    async def _working(self, attempt: Attempt) -> T:
        try:
            return await self._work.do(attempt)
        except LineshaftError as error:
            self._trip.failed(attempt.live, error, self._kit.clock())
            raise

    async def _second(self) -> Coroutine[None, None, T] | None:
        """The hedge, where a fresh target is there and can be reserved for; if not, the first attempt goes on alone."""
        try:
            attempt = await self._next(beside=True)
        except LineshaftError:
            return None
        return None if attempt is None else self._working(attempt)

    async def _next(self, *, beside: bool = False) -> Attempt | None:
        """Reserve the next attempt; None when there is nobody left to ask, or no time."""
        step = self._trip.next(self._kit.clock(), self._asked.deadline_at, None if beside else self._chance)
        if step is None:
            return None
        attempt: Attempt | None = None
        try:
            if step.wait_seconds > 0:
                await asyncio.sleep(step.wait_seconds)
            attempt = await self._reserved(step, beside=beside)
        finally:
            if attempt is None:
                step.live.breaker.left(step.ticket)
        return attempt

    async def _reserved(self, step: Step, *, beside: bool) -> Attempt:
        live = step.live
        asked, fit = self._asked, self._fits[live]
        self._count += 1
        name = f"{asked.asker.call_id}/{self._count}"
        ask = Ask(
            name=name,
            whose=asked.asker.whose,
            limits=asked.asker.limits_of(self._count, beside=beside),
            backend=live.target.backend,
            subject=live.target.subject,
            rate=live.rate(),
            tokens_in_max=asked.prepared.counted.most,
            tokens_in_estimated=asked.prepared.counted.estimated,
            tokens_out_max=fit.tokens_out_max,
            money_floor=fit.money_floor,
            currency=live.rates.currency,
        )
        hold = await self._kit.meter.reserve(ask)
        seconds = max(min(asked.deadline_at - self._kit.clock(), live.spec.deadline_seconds), 0.001)
        attempt = Attempt(self._kit, asked.virtual.name, step, hold, asked.prepared.call(fit, name, seconds))
        attempt.number = self._count
        return attempt
