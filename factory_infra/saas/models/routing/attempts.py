"""One attempt at one target: reserved before, settled after, exactly once on every way out."""

import math
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from factory_infra.errors import InvalidInput, LineshaftError
from factory_infra.saas.metering.meter import Ask, Hold
from factory_infra.saas.metering.models import Attribution, Limit, Outcome, Standing, Usage
from factory_infra.saas.models.calls import Call, Piece
from factory_infra.saas.models.routing.background import Background
from factory_infra.saas.models.routing.metrics import Metrics
from factory_infra.saas.models.routing.retrying import Step
from factory_infra.saas.models.routing.targets import asked
from factory_infra.saas.models.routing.telling import Failure

NOTHING = Usage()
SPEED_ASSUMED = 50.0
"""Tokens in a second, of a target of which no whole call was seen yet."""


class Meters(Protocol):
    """What is wanted of the meter."""

    async def reserve(self, ask: Ask) -> Hold:
        """Set the worst case aside, or raise."""
        ...

    def progress(self, hold: Hold, usage: Usage) -> None:
        """Remember how far a call is."""
        ...

    def settle(self, hold: Hold, usage: Usage, outcome: Outcome, reason: str = "") -> Decimal:
        """Charge what was used; a second time nothing happens. `reason` is a failure's code."""
        ...

    def hit(self, whose: Attribution, subject: str, backend: str, saved: Usage) -> None:
        """Note an answer from the cache."""
        ...

    def standing(self, limits: tuple[Limit, ...]) -> list[Standing]:
        """What is left."""
        ...


class Closes(Protocol):
    """A stream that can be closed."""

    async def aclose(self) -> None:
        """Close it."""
        ...


@dataclass(frozen=True, slots=True)
class Kit:
    """What attempts work with."""

    meter: Meters
    background: Background
    metrics: Metrics
    clock: Callable[[], float]


class Attempt:
    """An open reservation with the call that it is for. `done`, `failed` or `left` ends it; the first of them counts."""

    __slots__ = (
        "_heard",
        "_hold",
        "_kit",
        "_reason",
        "_ticket",
        "_virtual",
        "amount",
        "begun_at",
        "call",
        "deadline_at",
        "ended",
        "gone",
        "live",
        "number",
        "tokens_out",
        "told",
    )

    def __init__(self, kit: Kit, virtual: str, step: Step, hold: Hold, call: Call) -> None:
        self._kit = kit
        self._virtual = virtual
        self._hold = hold
        self.live = step.live
        self._ticket = step.ticket
        self.call = call
        self.number = 0
        self.begun_at = kit.clock()
        self.deadline_at = self.begun_at + call.deadline_seconds
        self.tokens_out = 0
        self.told: Usage | None = None
        self._heard = False
        self._reason = ""
        self.ended = False
        self.gone = False
        """The client is gone; what is still read is read for its usage."""
        self.amount = Decimal(0)

    def took(self, piece: Piece) -> None:
        """A piece came: tell the meter how far the call is."""
        if not self._heard:
            self._heard = True
            waited = self._kit.clock() - self.begun_at
            self.live.pulse.first_seconds.read(waited)
            self._kit.metrics.first_piece(self._virtual, self.live.target.backend, waited)
        self.tokens_out = max(self.tokens_out, piece.tokens_out)
        if piece.usage is not None:
            self.told = piece.usage
        self._kit.meter.progress(self._hold, self.so_far)

    @property
    def begun(self) -> bool:
        """Whether anything came that would be charged."""
        return self.tokens_out > 0 or self.told is not None

    @property
    def so_far(self) -> Usage:
        """What was used until now: as the upstream told, else by our own count."""
        if self.told is not None:
            return self.told
        return Usage(tokens_in=self._hold.ask.tokens_in_estimated, tokens_out=self.tokens_out, estimated=True)

    def done(self, usage: Usage | None = None) -> None:
        """The upstream answered to the end. Where it did not tell its usage it is asked; where it cannot tell, our own count is charged."""
        if self.ended:
            return
        used = self.so_far if usage is None else usage
        self.live.breaker.succeeded(self._ticket)
        self.live.pulse.ended(self._kit.clock() - self.begun_at, used.tokens_out)
        outcome: Outcome = "disconnected" if self.gone else "done"
        if used.estimated and self.live.recalls() is not None:
            self.ended, self.amount = True, self._hold.ask.rate.cost(used)
            self._kit.background.spawn(self._recalled(outcome, used, None))
            return
        self._settle(used, outcome)

    def failed(self, error: LineshaftError | None = None, upstream: Closes | None = None) -> None:
        """The upstream failed: what came before is charged, and nothing where nothing came."""
        if self.ended:
            return
        if isinstance(error, InvalidInput):
            self.live.breaker.left(self._ticket)
        else:
            self.live.breaker.failed(self._ticket)
        self._tell(error)
        # Even where nothing came the upstream may have worked, unless it refused the call as such.
        self._cut_off("failed", self._produced if self.begun else NOTHING, upstream, ask=not isinstance(error, InvalidInput))

    def _tell(self, error: LineshaftError | None) -> None:
        """Keep the failure's code for the ledger, and tell it in the log with the class of what is behind it."""
        cause = sys.exception()
        if error is not None and cause is error:
            cause = error.__cause__ or error.__context__
        self._reason = LineshaftError.code if error is None else error.error_code
        self.live.teller.failed(Failure(self.call.id, self._reason, cause, self._kit.clock() - self.begun_at))

    def left(self, upstream: Closes | None = None) -> None:
        """The client is gone: the upstream is closed, and what it did until then is charged."""
        if self.ended:
            return
        self.live.breaker.left(self._ticket)
        self._cut_off("disconnected", self._produced if self.begun or upstream is not None else self._guessed, upstream)

    @property
    def _produced(self) -> Usage:
        """What a call that was cut off used: the last that is known of it, which need not be all."""
        return replace(self.so_far, estimated=True)

    @property
    def _guessed(self) -> Usage:
        """What a whole answer used that nobody waited for: by the time that it took and the target's speed."""
        speed = self.live.pulse.speed.value or SPEED_ASSUMED
        said = math.ceil((self._kit.clock() - self.begun_at) * speed)
        ask = self._hold.ask
        return Usage(tokens_in=ask.tokens_in_estimated, tokens_out=min(said, ask.tokens_out_max), estimated=True)

    def _cut_off(self, outcome: Outcome, known: Usage, upstream: Closes | None, *, ask: bool = True) -> None:
        recalls = self.live.recalls() if ask or known is not NOTHING else None
        if recalls is None:
            self._settle(known, outcome)
            if upstream is not None:
                self._kit.background.spawn(_close(upstream))
            return
        self.ended = True
        self._kit.background.spawn(self._recalled(outcome, known, upstream))

    async def _recalled(self, outcome: Outcome, known: Usage, upstream: Closes | None) -> None:
        """Close the upstream, ask it what the call used, and settle; cancelled at any moment it settles what is known."""
        usage: Usage | None = None
        try:
            if upstream is not None:
                await _close(upstream)
            recalls = self.live.recalls()
            usage = None if recalls is None else await asked(recalls, self.call.id)
        finally:
            self._settle(known if usage is None else usage, outcome)

    def _settle(self, usage: Usage, outcome: Outcome) -> None:
        self.ended = True
        self.amount = self._kit.meter.settle(self._hold, usage, outcome, self._reason)
        self._kit.metrics.attempt(self._virtual, self.live.target.backend, outcome, usage)
        self._kit.metrics.breaker(self._virtual, self.live.target.backend, self.live.breaker.state)


async def _close(upstream: Closes) -> None:
    with suppress(LineshaftError):
        await upstream.aclose()
