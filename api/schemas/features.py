"""Bodies of the routes over features and drift."""

from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from api.schemas.chat import Body
from factory_infra.paas.features.drift_models import Alert, Check, MonitorSpec
from factory_infra.paas.features.models import READ_MAX, ROWS_MAX, FeatureView, OnlineRow, StoredView, TrainingSetSpec


class NewRows(Body):
    """Rows of a view."""

    rows: list[dict[str, JsonValue]] = Field(min_length=1, max_length=ROWS_MAX, description="Keys, the timestamp and features by name.")
    key: str = Field(min_length=1, max_length=200, description="Idempotency key: the same key and rows again write nothing.")
    online: bool = Field(default=True, description="Whether readings see them at once; a backfill waits to be materialised.")


class Question(Body):
    """Whose features are read."""

    entities: list[dict[str, JsonValue]] = Field(min_length=1, max_length=READ_MAX, description="The values of the view's keys, by name.")


class Reading(BaseModel):
    """The newest that is known of each entity, in the order asked for."""

    view: str
    version: int
    at: datetime
    rows: list[OnlineRow]


class Materialised(BaseModel):
    """What readings know now."""

    view: str
    version: int
    entities: int


class ViewFacts(BaseModel):
    """A version of a view with what was written to it."""

    view: StoredView
    rows_written: int
    first_event_at: datetime | None
    last_event_at: datetime | None


class NewView(FeatureView):
    """A definition; an equal one is the version that is there."""


class NewTrainingSet(Body):
    """What is joined."""

    spec: TrainingSetSpec
    key: str = Field(min_length=1, max_length=200, description="Idempotency key: the same key is the same set.")


class NewMonitor(Body):
    """What is watched."""

    spec: MonitorSpec
    revision: int | None = Field(default=None, description="Of a change: the revision that was read. Another one by now is refused.")


class Checked(BaseModel):
    """What a comparison found, and the alert that is open because of it."""

    check: Check
    alert: Alert | None
