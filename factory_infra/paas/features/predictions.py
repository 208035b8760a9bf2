"""What endpoints are asked and answer, as rows that can be compared: inputs, the label, and how sure it was."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from factory_infra.paas.features.comparing import Window
from factory_infra.paas.features.models import Feature, FeatureRow, TrainingSet, Value
from factory_infra.paas.features.set_files import SetRows

LABEL = "label"
CONFIDENCE = "confidence"
PAGE = 500
PAGES_MAX = 200


class Logged(Protocol):
    """One request that an endpoint answered."""

    @property
    def at(self) -> datetime:
        """When."""
        ...

    @property
    def rows(self) -> list[list[float]]:
        """What it was sent."""
        ...

    @property
    def labels(self) -> list[str]:
        """What it said of each row."""
        ...

    @property
    def probabilities(self) -> list[list[float]] | None:
        """How probable each class was, where its model tells."""
        ...


class PredictionLog(Protocol):
    """Where requests are kept, with their team's consent only."""

    async def recent(self, tenant: str, endpoint: str, since: datetime, limit: int, offset: int, /) -> Sequence[Logged]:
        """Return a page of the requests since a moment, newest first. Raises NotFound for an endpoint that is not there."""
        ...


async def answered(log: PredictionLog, tenant: str, endpoint: str, window: Window, rows_max: int) -> list[FeatureRow]:
    """Return what was answered in a window, the newest rows, oldest first."""
    rows: list[FeatureRow] = []
    for page in range(PAGES_MAX):
        found = await log.recent(tenant, endpoint, window.start, PAGE, page * PAGE)
        rows += [row for each in found if each.at <= window.end for row in reversed(rows_of(each))]
        if len(found) < PAGE or len(rows) >= rows_max:
            break
    return rows[:rows_max][::-1]


def rows_of(logged: Logged) -> list[FeatureRow]:
    """A request's rows, each with its answer."""
    sure = [max(each) if each else None for each in logged.probabilities] if logged.probabilities else [None] * len(logged.rows)
    made = []
    for row, label, confidence in zip(logged.rows, logged.labels, sure, strict=True):
        values: dict[str, Value] = {f"input_{number}": value for number, value in enumerate(row)}
        made.append(FeatureRow(entity=(label,), event_at=logged.at, values={**values, LABEL: label, CONFIDENCE: confidence}))
    return made


def answers_of_set(rows: SetRows, kept: TrainingSet, rows_max: int) -> list[FeatureRow]:
    """A training set as if it had been answered rightly: inputs in its order of features, and its labels."""
    columns = [rows.columns[name] for name in kept.features]
    made = []
    for number in range(max(0, kept.rows - rows_max), kept.rows):
        values: dict[str, Value] = {f"input_{place}": column[number] for place, column in enumerate(columns)}
        if rows.labels:
            values[LABEL] = str(rows.labels[number])
        made.append(FeatureRow(entity=(number,), event_at=datetime.fromisoformat(rows.moments[number]), values=values))
    return made


def prediction_features(before: Sequence[FeatureRow], now: Sequence[FeatureRow]) -> list[Feature]:
    """What both sides know, by name: a training set knows no confidence."""
    names = [name for name in (now[-1].values if now else {}) if not before or name in before[-1].values]
    return [Feature(name=name, kind="text" if name == LABEL else "float") for name in names]
