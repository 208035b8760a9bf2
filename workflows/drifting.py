"""Messages about looking for drift. Light: workflow files import it."""

from pydantic import BaseModel, Field

SCHEDULE = "lineshaft-drift"
EVERY_SECONDS = 30
"""How often it is looked which monitors are due; each has an interval of its own."""


class DriftInput(BaseModel):
    """How many monitors one look takes at most; the next look takes the others."""

    monitors_max: int = Field(default=20, ge=1, le=200)


class MonitorName(BaseModel):
    """One monitor."""

    tenant: str
    name: str


class DueMonitors(BaseModel):
    """Those whose time has come."""

    monitors: list[MonitorName]


class Comparison(BaseModel):
    """What was found of one."""

    tenant: str
    name: str
    verdict: str = ""
    alert_id: str = ""
    error: str = Field(default="", description="Why it could not be compared, in words.")


class Answer(BaseModel):
    """What followed from an alert."""

    alert_id: str
    plan_id: str = ""
    error: str = Field(default="", description="Why no plan could be proposed, in words.")


class DriftRound(BaseModel):
    """One look: what was compared, and what was proposed."""

    compared: list[Comparison] = []
    answers: list[Answer] = []


class Answers(BaseModel):
    """What followed from alerts."""

    answers: list[Answer] = []
