"""The seam to whatever keeps features."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.paas.features.models import Batch, Entity, FeatureRow, StoredView, Value


class Sources(BaseModel):
    """A version of a view with every write to it that counts, oldest first."""

    model_config = ConfigDict(frozen=True)

    view: StoredView
    batches: tuple[Batch, ...]


class Ask(BaseModel):
    """One row of a training set before its features: whom, and as of when; `label` where the set has one."""

    model_config = ConfigDict(frozen=True)

    keys: dict[str, int | str]
    event_at: datetime
    label: Value = None


class Wanted(BaseModel):
    """What a join is to find."""

    columns: dict[str, list[str]] = Field(description="By view's title, the features that are wanted, in order.")
    asks: list[Ask]
    label: str = Field(default="", description="The name of the label's column; empty for none.")
    as_served: bool = False


class Joined(BaseModel):
    """What a join left in its file."""

    rows: int
    digest: str = Field(description="SHA-256 of the rows, whatever file they lie in.")
    complete: float


class FeatureStore(Protocol):
    """Keeps the rows of views. Definitions, versions and which writes count are the service's."""

    async def apply(self, view: StoredView) -> None:
        """Make room for a version of a view. Idempotent. Raises EffectFailed, Unavailable."""
        ...

    async def write(self, view: StoredView, rows: Sequence[FeatureRow], batch: Batch) -> Batch:
        """Store rows and return the batch with where they lie. The same batch again stores the same.

        Readings see a row if its batch is `online`, unless they know a newer one of its entity: later `event_at`, then later `written_at`.
        """
        ...

    async def read(self, view: StoredView, entities: Sequence[Entity]) -> list[FeatureRow | None]:
        """Return the newest row of each entity, whatever its age, in the order asked for; None where there is none."""
        ...

    async def remove(self, view: StoredView) -> None:
        """Take a version's values out of readings; its history stays. Idempotent."""
        ...


@runtime_checkable
class Forgetting(Protocol):
    """An extra ability of whatever keeps files of teams: to forget a team that was closed."""

    async def forget(self, tenant: str) -> None:
        """Remove every file of a team. Idempotent. Raises EffectFailed, Unavailable."""
        ...


@runtime_checkable
class FeatureHistory(Protocol):
    """An extra ability: what was written, as it was."""

    async def history(self, sources: Sources, start: datetime, end: datetime, rows_max: int) -> list[FeatureRow]:
        """Return rows whose moment is in (start, end], the newest `rows_max` of them, oldest first.

        Raises Conflict `feature_part_changed` where the bytes are not those that were written.
        """
        ...


@runtime_checkable
class PointInTime(Protocol):
    """An extra ability: training sets in which no row knows what came after it."""

    async def join(self, sources: Sequence[Sources], wanted: Wanted, target: Path) -> Joined:
        """Write one row for each ask into a Parquet file: of each view the newest row at that moment that its view still believes.

        Raises Conflict `feature_part_changed`, TooLarge, Unavailable.
        """
        ...


@runtime_checkable
class Materialisation(Protocol):
    """An extra ability: readings are filled from the history."""

    async def materialise(self, sources: Sources, end: datetime) -> int:
        """Bring the newest row of each entity until `end` into readings; a newer one there stays. Returns how many entities there are."""
        ...
