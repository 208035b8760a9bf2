"""Messages about lessons. Light: workflow files import it."""

from pydantic import BaseModel


class LessonInput(BaseModel):
    """A candidate that is there, or a finished plan that may become one."""

    tenant: str
    lesson_id: str = ""
    plan_id: str = ""


class LessonDecision(BaseModel):
    """A person's word on a candidate, where the setting asks for one."""

    promote: bool
    by: str
    reason: str = ""


class LessonOutcome(BaseModel):
    """What became of a candidate; without an id nothing was learnt, and the reason says why."""

    lesson_id: str = ""
    state: str = ""
    reason: str = ""


class LessonProposal(BaseModel):
    """The candidate that a plan gave, if any."""

    lesson_id: str = ""
    reason: str = ""


class LessonVerdict(BaseModel):
    """What the evaluation says."""

    promote: bool = False
    ask: bool = False
    open: bool = True
    state: str = ""
    reason: str = ""


class LessonEnd(BaseModel):
    """What is to become of a candidate."""

    lesson_id: str
    tenant: str
    promote: bool
    reason: str
    by: str = ""
