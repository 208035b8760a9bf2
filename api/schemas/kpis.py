"""What is said about the sums of the key figures."""

from datetime import datetime

from pydantic import BaseModel, Field


class LogRead(BaseModel):
    """How far the log was read into the sums."""

    events: int = Field(description="Read now.")
    whole: bool = Field(description="Whether all of the log was read once: until then there are no figures.")
    at: datetime
