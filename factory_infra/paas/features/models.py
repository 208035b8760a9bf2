"""What a feature view is, what is written to it, and what comes back."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

NAME_PATTERN = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
"""Of views, keys and features: words joined by single underscores, so that `view__feature` is read in one way only."""
ROWS_MAX = 10_000
"""Rows of one write, and of one question for a training set by explicit rows."""
READ_MAX = 1_000
INTEGER_MAX = 2**53
"""Beyond it a whole number is not exact everywhere: in JSON, in a column with gaps, in a model's input."""
TEXT_MAX = 4_096
WRITTEN = "written_at"
EVENT = "event_at"
RESERVED = frozenset({WRITTEN, EVENT, "entity", "row"})

Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=40)]
KeyKind = Literal["int", "text"]
Kind = Literal["int", "float", "text", "flag", "vector"]
Value = int | float | str | bool | list[float] | None
KeyValue = int | str
Entity = tuple[KeyValue, ...]
"""Whom a row is about: the values of the view's keys, in their order."""


class Frozen(BaseModel):
    """A value: closed to unknown fields, unchanged once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(Frozen):
    """What names an entity, such as a customer's number."""

    name: Name
    kind: KeyKind = "text"


class Feature(Frozen):
    """One value that is known of an entity."""

    name: Name
    kind: Kind = "float"
    dimensions: int | None = Field(default=None, ge=1, le=8192, description="Of a vector: how many numbers it has.")
    description: str = Field(default="", max_length=400)


class FeatureView(Frozen):
    """Features that are known together of one kind of entity, each row from a moment on."""

    name: Name
    description: str = Field(default="", max_length=400)
    keys: tuple[Key, ...] = Field(min_length=1, max_length=4)
    features: tuple[Feature, ...] = Field(min_length=1, max_length=500)
    timestamp: str = Field(default="", max_length=40, description="The column that says when a row became true. A view without is refused.")
    ttl_seconds: int | None = Field(default=None, ge=1, le=10 * 366 * 86_400, description="How long a value is believed; None for ever.")

    def digest(self) -> str:
        """SHA-256 of what values mean, words left out: an equal definition is the same version."""
        meaning = {
            "name": self.name,
            "keys": [[key.name, key.kind] for key in self.keys],
            "features": [[each.name, each.kind, each.dimensions] for each in self.features],
            "timestamp": self.timestamp,
            "ttl_seconds": self.ttl_seconds,
        }
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    def feature(self, name: str) -> Feature | None:
        """The feature of this name, None where there is none."""
        return next((each for each in self.features if each.name == name), None)


class StoredView(FeatureView):
    """A version of a view, as a team keeps it."""

    tenant: str
    version: int
    provider: str
    created_by: str
    created_at: datetime
    retired_at: datetime | None = None

    @property
    def title(self) -> str:
        """`customers@2`, as a person names it."""
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """What is known of one entity from a moment on. What comes from outside passes `checked_rows` first; here nothing is checked again."""

    entity: Entity
    event_at: datetime
    values: dict[str, Value]


class Batch(Frozen):
    """A write as it is kept: its rows count once it is, and once only."""

    id: str
    tenant: str
    view: str
    version: int
    rows: int
    first_event_at: datetime
    last_event_at: datetime
    written_at: datetime
    digest: str = Field(description="SHA-256 of the rows: the same key with other rows is refused.")
    part: str = Field(default="", description="The file that holds the rows, where the store has files.")
    part_digest: str = Field(default="", description="SHA-256 of that file's bytes: a file that changed is not trained on.")
    online: bool = Field(default=True, description="Whether readings see the rows; those of a backfill wait to be materialised.")


class OnlineRow(BaseModel):
    """The newest that is known of an entity now."""

    keys: dict[str, KeyValue]
    state: Literal["found", "absent", "expired"] = Field(description="expired: older than the view believes; its values are null.")
    event_at: datetime | None = None
    values: dict[str, Value]


def reference(text: str) -> str:
    """Check `view`, `view@version`, `view:feature` or `view@version:feature`; ValueError says which."""
    view, _, feature = text.partition(":")
    name, at, version = view.partition("@")
    words = [name, *([feature] if ":" in text else [])]
    if any(not word.replace("_", "").isalnum() or "__" in word for word in words) or (at and not version.isdecimal()):
        raise ValueError("write VIEW, VIEW@VERSION, VIEW:FEATURE or VIEW@VERSION:FEATURE")
    return text


Reference = Annotated[str, Field(max_length=120), AfterValidator(reference)]


class Spine(Frozen):
    """The rows of a training set taken from a view itself, most often that of the labels: one for each event in a window."""

    view: Reference
    start: datetime | None = None
    end: datetime | None = None


class TrainingSetSpec(Frozen):
    """Which features of whom, as they were known when."""

    features: tuple[Reference, ...] = Field(min_length=1, max_length=500, description="VIEW for all of a view, or VIEW:FEATURE.")
    spine: Spine | None = Field(default=None, description="Take entities and moments from a view's events.")
    rows: tuple[dict[str, JsonValue], ...] = Field(default=(), max_length=ROWS_MAX, description="Or name them: keys and event_at.")
    label: Reference | None = Field(default=None, description="VIEW:FEATURE that a model is to name; of the spine's own events.")
    as_served: bool = Field(default=False, description="Leave out what was written after each row's moment, as a reading then would have.")


class TrainingSet(BaseModel):
    """A training set as it is kept: its digest names exactly these rows."""

    id: str
    tenant: str
    digest: str = Field(description="SHA-256 of the rows, whatever file they lie in.")
    rows: int
    features: list[str] = Field(description="Its columns beside keys and event_at, as VIEW__FEATURE.")
    label: str = ""
    views: list[str] = Field(description="The versions that it was joined from.")
    complete: float = Field(description="Share of values that are there, from 0 to 1.")
    request: dict[str, JsonValue]
    path: str = Field(default="", exclude=True)
    created_by: str
    created_at: datetime

    @property
    def dataset(self) -> str:
        """The name under which a training job takes it."""
        return f"set:{self.id}"
