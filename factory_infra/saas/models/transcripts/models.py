"""What is told of kept calls."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Retention(BaseModel):
    """Whether a team's calls are kept."""

    tenant: str
    days: int | None = Field(description="None: nothing is kept, which is so unless the team asked.")
    set_by: str = ""
    set_at: datetime | None = None


class TranscriptHead(BaseModel):
    """A kept call, without a word of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    key_id: str
    model: str
    at: datetime
    expires_at: datetime


class Transcript(TranscriptHead):
    """A kept call, opened."""

    request: dict[str, JsonValue]
    answer: dict[str, JsonValue]


class Kept(BaseModel):
    """One call that is to be kept."""

    id: str
    tenant: str
    key_id: str
    model: str
    request: dict[str, JsonValue]
    answer: dict[str, JsonValue]
