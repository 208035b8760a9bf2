"""What the records hand out."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Event(BaseModel):
    """One thing that happened in a thread."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(description="Grows within a thread: the position to resume a stream from.")
    tenant: str | None
    thread_id: str
    plan_id: str
    run_id: str = Field(default="", description="The run that it belongs to: the request with all that came of it.")
    kind: str
    payload: dict[str, JsonValue]
    at: datetime


class NewEvent(BaseModel):
    """An event to write; the key makes it one, however often it is written."""

    key: str
    tenant: str | None = None
    thread_id: str
    plan_id: str = ""
    run_id: str = ""
    kind: str
    payload: dict[str, JsonValue] = {}


class Thread(BaseModel):
    """A conversation."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str | None
    project: str = Field(default="", description="The team's project that its plans are charged to; empty for none.")
    created_by: str
    title: str
    created_at: datetime


class PlanRecord(BaseModel):
    """A plan as it stands; `document` is the plan that an approval names by `digest`."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    project: str = Field(default="", description="The team's project that it is charged to; empty for none.")
    thread_id: str
    digest: str
    state: str
    document: dict[str, JsonValue]
    outcome: dict[str, JsonValue]
    decided_by: str | None
    created_at: datetime
    updated_at: datetime
