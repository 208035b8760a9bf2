"""Messages about access that is asked for. Light: workflow files import it."""

from typing import Literal

from pydantic import BaseModel, Field

Act = Literal["granted", "refused", "withdrawn", "revoked", "lapsed", "expired"]
REMIND_SECONDS = 86_400.0
REMINDERS_MAX = 5
ENDING_SECONDS = 86_400.0
"""So long before a grant expires its team is told."""


class AccessInput(BaseModel):
    """A request that was asked, and how long people may take."""

    request_id: str
    decide_seconds: float = Field(gt=0)
    remind_seconds: float = Field(default=REMIND_SECONDS, gt=0)


class AccessMove(BaseModel):
    """Where a request is to go: by whom, and why."""

    request_id: str = ""
    act: Act
    by: str = "platform"
    reason: str = ""


class AccessStands(BaseModel):
    """Where a request stands."""

    request_id: str
    state: str
    seconds_left: float | None = Field(default=None, description="Until a grant expires.")


class AccessReminder(BaseModel):
    """Who is to be told again, how often."""

    request_id: str
    number: int
    ending: bool = Field(default=False, description="Whether a grant ends soon; else a decision is waited for.")
