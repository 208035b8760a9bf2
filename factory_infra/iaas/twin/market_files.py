"""A market of a scenario from public files: what spot cost, and when there was any."""

from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.errors import InvalidInput
from factory_infra.foundation.twin.market import STEPS_MAX, Market
from factory_infra.iaas.scheduling.traces.spot import read as read_stock
from factory_infra.iaas.scheduling.traces.spot_prices import PriceHistory
from factory_infra.iaas.scheduling.traces.spot_prices import read as read_prices

HOUR = 3600.0
T = TypeVar("T", float, bool)


class PriceFile(BaseModel):
    """A history as `aws ec2 describe-spot-price-history` prints it, JSON or CSV."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="Beside the scenario unless it is a whole path.")
    machine_type: str = Field(default="", max_length=60, description="Such as p5.48xlarge; may be left out where the file has one.")
    zone: str = Field(default="", max_length=60, description="Such as us-east-1a; may be left out where the file has one.")
    from_hours: float = Field(default=0.0, ge=0, le=24 * 366, description="The simulation begins so long after the file's first price.")


class StockFile(BaseModel):
    """One zone of the public availability traces of `skypilot-org/spot-traces`, JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="Beside the scenario unless it is a whole path.")
    machines: int = Field(default=1, ge=1, le=100_000, description="There is stock while so many were to be had together.")
    from_hours: float = Field(default=0.0, ge=0, le=24 * 366, description="The simulation begins so long after the file's first tick.")


def market_of(market: Market, prices: PriceFile | None, stock: StockFile | None, folder: Path) -> Market:
    """A market with what its files say. `folder`: where their paths begin.

    Raises InvalidInput: `trace_invalid` by the readers, `scenario_invalid` for files of a market that is not spot, for one that is not in
    its file, or for a beginning after its end.
    """
    if prices is None and stock is None:
        return market
    if not market.spot:
        raise refused("prices and stock from files are of a spot market", "Write spot: true into the market.")
    change: dict[str, object] = {}
    if prices is not None:
        steps = priced(chosen(prices, folder), prices.from_hours * HOUR)
        change["prices"] = bounded(steps, prices.file)
    if stock is not None:
        change["stock"] = bounded(stocked(stock, folder), stock.file)
    return Market.model_validate({**market.model_dump(), **change})


def chosen(part: PriceFile, folder: Path) -> PriceHistory:
    """The one market of a file that is meant."""
    found = read_prices(folder / part.file)
    fits = [each for each in found if part.machine_type in ("", each.machine_type) and part.zone in ("", each.zone)]
    if len(fits) != 1:
        listed = ", ".join(f"{each.machine_type} in {each.zone}" for each in found[:5]) + (", …" if len(found) > 5 else "")
        words = "has no such market" if not fits else f"has {len(fits)} markets that would do"
        raise refused(f"{part.file.name} {words}", f"Give machine_type and zone of one: {listed}.")
    return fits[0]


def priced(history: PriceHistory, skipped_seconds: float) -> list[tuple[float, float]]:
    """The steps of a price, in seconds of the simulation; the first is the price that it begins with."""
    begin = float(history.since[0]) + skipped_seconds
    steps = [(max(0.0, float(at) - begin), float(price)) for at, price in zip(history.since, history.hourly, strict=True)]
    return last_of_each(steps)


def stocked(part: StockFile, folder: Path) -> list[tuple[float, bool]]:
    """The changes of the stock, in seconds of the simulation."""
    found = read_stock(folder / part.file)
    skipped = int(part.from_hours * HOUR // found.tick_seconds)
    up = found.up(part.machines)[skipped:].tolist()
    if not up:
        raise refused(
            f"{part.file.name} lasts {found.days:.1f} days, and the simulation would begin after that", "Give a smaller from_hours."
        )
    changes = [0, *(at for at, (before, after) in enumerate(pairwise(up), 1) if before != after)]
    return [(at * found.tick_seconds, bool(up[at])) for at in changes]


def last_of_each(steps: list[tuple[float, T]]) -> list[tuple[float, T]]:
    """Of several steps at one time the last counts."""
    return list(dict(steps).items())


def bounded(steps: list[tuple[float, T]], file: Path) -> list[tuple[float, T]]:
    """The steps, if they are not too many."""
    if len(steps) > STEPS_MAX:
        raise refused(f"{file.name} has {len(steps):,} steps, and {STEPS_MAX:,} are read", "Give a shorter file.")
    return steps


def refused(what: str, remedy: str) -> InvalidInput:
    """What a market of a scenario cannot be."""
    return InvalidInput(f"The scenario's market cannot be read: {what}.", remedy=remedy, code="scenario_invalid")
