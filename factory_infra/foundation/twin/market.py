"""What machines that are not there yet cost and when they can be had: spot prices, times without stock, interruptions, slow starts."""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from pydantic import BaseModel, ConfigDict, Field, model_validator

from factory_infra.foundation.twin.draws import spread, stream

HOUR = 3600.0
STEPS_MAX = 200_000


class Market(BaseModel):
    """A place where machines of one kind are bought by the hour. Without traces, prices and stock are drawn from the seed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on_demand_hourly: float = Field(default=0.0, ge=0, le=10_000, description="What one machine costs for an hour on demand.")
    spot: bool = Field(default=False, description="Bought at the spot price, and taken back when stock runs out.")
    discount: float = Field(default=0.6, ge=0, lt=1, description="How far the mean spot price lies below on demand.")
    volatility: float = Field(default=0.15, ge=0, le=2, description="Of the spot price, as a share of it.")
    in_stock_hours: float = Field(default=0.0, ge=0, le=24 * 365, description="The mean time with stock; 0: there always is.")
    out_of_stock_hours: float = Field(default=2.0, gt=0, le=24 * 365, description="The mean time without.")
    interruptions_hourly: float = Field(
        default=0.0, ge=0, le=60, description="How often one machine is taken back although there is stock."
    )
    notice_seconds: float = Field(default=120.0, ge=0, le=3600, description="Between the notice and the end of a machine.")
    start_seconds: float = Field(default=180.0, ge=0, le=24 * HOUR, description="The median from asking for a machine until it is ready.")
    start_sigma: float = Field(default=0.4, ge=0, le=3, description="How far that spreads (of a log-normal).")
    prices: tuple[tuple[float, float], ...] = Field(
        default=(), max_length=STEPS_MAX, description="A trace: from which second on which price for an hour."
    )
    stock: tuple[tuple[float, bool], ...] = Field(
        default=(), max_length=STEPS_MAX, description="A trace: from which second on there is stock, or none."
    )

    @model_validator(mode="after")
    def _times_go_forward(self) -> "Market":
        for name, times in (("prices", [at for at, _ in self.prices]), ("stock", [at for at, _ in self.stock])):
            if any(not math.isfinite(at) or at < 0 for at in times) or any(a >= b for a, b in pairwise(times)):
                raise ValueError(f"the times of {name} must not be negative and must go forward")
        if any(not math.isfinite(price) or price < 0 for _, price in self.prices):
            raise ValueError("a price must not be negative")
        return self


@dataclass(frozen=True, slots=True)
class Change:
    """From when on a market is how."""

    at: float
    in_stock: bool


class MarketTape:
    """One market from one seed: what it is at any second. What was drawn stays drawn.

    Args:
        market: its rules.
        seed: of the whole simulation.
        name: the pool's, so that two pools differ.
    """

    def __init__(self, market: Market, seed: int, name: str) -> None:
        self.market, self._seed, self._name = market, seed, name
        self._prices: list[float] = []
        self._price_draws = stream(seed, "price", name)
        self._changes = [Change(at, up) for at, up in market.stock] or [Change(0.0, True)]
        self._stock_draws = stream(seed, "stock", name)
        self._times = [change.at for change in self._changes]

    def price(self, at: float) -> float:
        """What a machine costs for an hour, bought now."""
        market = self.market
        if not market.spot:
            return market.on_demand_hourly
        if market.prices:
            index = bisect.bisect_right(market.prices, (at, math.inf)) - 1
            return market.prices[max(index, 0)][1]
        hour = int(max(at, 0.0) // HOUR)
        while len(self._prices) <= hour:
            before = self._prices[-1] if self._prices else 0.0
            self._prices.append(0.9 * before + self._price_draws.gauss(0.0, market.volatility) * math.sqrt(1 - 0.81))
        drawn = (1 - market.discount) * math.exp(self._prices[hour])
        return market.on_demand_hourly * min(1.0, drawn)

    def cost(self, begin: float, end: float) -> float:
        """What one machine costs from one second to another, each hour at its own price."""
        if end <= begin or (self.market.on_demand_hourly == 0 and not self.market.prices):
            return 0.0
        if not self.market.spot:
            return (end - begin) / HOUR * self.market.on_demand_hourly
        total, now = 0.0, begin
        while now < end:
            until = min(end, (now // HOUR + 1) * HOUR)
            total += (until - now) / HOUR * self.price(now)
            now = until
        return total

    def in_stock(self, at: float) -> bool:
        """Whether machines can be had."""
        self._draw_until(at)
        return self._changes[max(bisect.bisect_right(self._times, at) - 1, 0)].in_stock

    def changes(self, start: float = 0.0) -> Iterator[Change]:
        """Yield each change of the stock after a time, in order; ends with a trace, goes on for ever where it is drawn."""
        index = bisect.bisect_right(self._times, start)
        while True:
            while index >= len(self._changes):
                if self.market.stock or self.market.in_stock_hours <= 0:
                    return
                self._draw_one()
            if self._changes[index].at > start:
                yield self._changes[index]
            index += 1

    def interruptions(self, machine: str, ready_at: float) -> float:
        """When a machine that is ready then is taken back although there is stock; infinity for never."""
        if not self.market.spot or self.market.interruptions_hourly <= 0:
            return math.inf
        return ready_at + stream(self._seed, "interruption", self._name, machine).expovariate(self.market.interruptions_hourly / HOUR)

    def start_seconds(self, machine: str) -> float:
        """How long a machine takes from being asked for until it is ready."""
        return spread(stream(self._seed, "start", self._name, machine), self.market.start_seconds, self.market.start_sigma)

    def _draw_until(self, at: float) -> None:
        if not self.market.stock and self.market.in_stock_hours > 0:
            while self._changes[-1].at <= at:
                self._draw_one()

    def _draw_one(self) -> None:
        last = self._changes[-1]
        mean = self.market.in_stock_hours if last.in_stock else self.market.out_of_stock_hours
        change = Change(last.at + max(1.0, self._stock_draws.expovariate(1 / (mean * HOUR))), not last.in_stock)
        self._changes.append(change)
        self._times.append(change.at)
