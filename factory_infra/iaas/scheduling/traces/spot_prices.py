"""What a spot machine cost over time: the history that `aws ec2 describe-spot-price-history` prints, as JSON or as CSV."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from factory_infra.iaas.scheduling.traces.reading import document, moment, refused, rows

COLUMNS = ("Timestamp", "InstanceType", "AvailabilityZone", "SpotPrice")
REMEDY = f"Each entry has {', '.join(COLUMNS)}, as the account's own command prints them."
Market = tuple[str, str]
"""A machine type and a zone."""


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """One market: from each moment on, the price of an hour."""

    machine_type: str
    zone: str
    since: NDArray[np.float64]
    """Seconds since 1970, ascending."""
    hourly: NDArray[np.float64]

    def at(self, moments: NDArray[np.float64]) -> NDArray[np.float64]:
        """The price at each moment; before the first that is known, the first."""
        found = np.searchsorted(self.since, moments, side="right") - 1
        return np.asarray(self.hourly[np.maximum(found, 0)], dtype=np.float64)


def read(path: Path) -> list[PriceHistory]:
    """Every market of a file, by type and zone; entries in any order (the command has the newest first). Raises InvalidInput."""
    found: defaultdict[Market, dict[float, float]] = defaultdict(dict)
    entries = csv_entries(path) if path.suffix == ".csv" else json_entries(path)
    for market, since, price in entries:
        found[market][since] = price
    if not found:
        raise refused(path, 0, "it has no price", REMEDY)
    return [history(market, prices) for market, prices in sorted(found.items())]


def history(market: Market, prices: Mapping[float, float]) -> PriceHistory:
    """One market in the order of time."""
    since = sorted(prices)
    return PriceHistory(*market, np.array(since), np.array([prices[each] for each in since]))


def csv_entries(path: Path) -> Iterator[tuple[Market, float, float]]:
    """The lines of a CSV file."""
    for row in rows(path, COLUMNS):
        yield (row.text("InstanceType"), row.text("AvailabilityZone")), row.moment("Timestamp"), row.number("SpotPrice")


def json_entries(path: Path) -> Iterator[tuple[Market, float, float]]:
    """The entries of the command's own JSON."""
    content = document(path)
    entries = content.get("SpotPriceHistory") if isinstance(content, Mapping) else None
    if not isinstance(entries, list):
        raise refused(path, 0, "'SpotPriceHistory' is missing", REMEDY)
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(name), str) for name in COLUMNS):
            raise refused(path, 0, f"entry {number} lacks one of its fields", REMEDY)
        since, machine_type, zone, price = (str(entry[name]) for name in COLUMNS)
        yield (machine_type, zone), moment(since, path, 0, f"Timestamp of entry {number}"), priced(path, number, price)


def priced(path: Path, number: int, text: str) -> float:
    """A price. Raises InvalidInput where it is no number or below 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise refused(path, 0, f"entry {number} costs '{text[:40]}'", "A price is a number, 0 or more.")
    return value
