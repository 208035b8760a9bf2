"""The drift story's world: plants of three species, measured by an instrument that is exchanged for another one day."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from pydantic import JsonValue

FEATURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SPECIES = ("setosa", "versicolor", "virginica")
MEANS = np.array([[5.0, 3.4, 1.5, 0.25], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
SPREADS = np.array([0.35, 0.35, 0.35, 0.2])
FLOWERS: dict[str, JsonValue] = {
    "name": "flowers",
    "keys": [{"name": "plant", "kind": "int"}],
    "features": [{"name": name} for name in FEATURES],
    "timestamp": "seen_at",
}
NAMES: dict[str, JsonValue] = {**FLOWERS, "name": "names", "features": [{"name": "species", "kind": "text"}]}


class Garden:
    """Grows plants from a seed. After the exchange lengths are told in another unit and widths from another zero."""

    def __init__(self, seed: int = 11) -> None:
        self._chance = np.random.default_rng(seed)
        self._plants = 0
        self.exchanged = False

    def measured(self, count: int) -> tuple[list[list[float]], list[str]]:
        """So many plants: what the instrument of now says of each, and which species it is."""
        kinds = self._chance.integers(0, len(SPECIES), count)
        values = MEANS[kinds] + self._chance.normal(size=(count, len(FEATURES))) * SPREADS
        if self.exchanged:
            values = values * np.array([0.8, 1.0, 0.55, 1.0]) + np.array([0.0, 0.6, 0.3, 0.5])
        return np.round(values, 4).tolist(), [SPECIES[kind] for kind in kinds]

    def rows(self, count: int, start: datetime, end: datetime) -> tuple[list[JsonValue], list[JsonValue]]:
        """So many plants, seen one after another in a span of time: rows of their measurements and of their names."""
        values, labels = self.measured(count)
        flowers: list[JsonValue] = []
        names: list[JsonValue] = []
        for number, (row, label) in enumerate(zip(values, labels, strict=True)):
            self._plants += 1
            seen = (start + (end - start) * (number + 1) / (count + 1)).isoformat()
            flowers.append({"plant": self._plants, "seen_at": seen, **dict(zip(FEATURES, row, strict=True))})
            names.append({"plant": self._plants, "seen_at": seen, "species": label})
        return flowers, names


def ago(seconds: float) -> datetime:
    """So long before now."""
    return datetime.now(UTC) - timedelta(seconds=seconds)


def accuracy(said: Sequence[str], true: Sequence[str]) -> float:
    """The share that was named rightly."""
    return sum(a == b for a, b in zip(said, true, strict=True)) / len(true)
