"""One model per message between doors, workflows and activities. Light: workflow files import it."""

from pydantic import BaseModel, Field, JsonValue

from tools.plan import Plan, PlanState, Step

JsonObject = dict[str, JsonValue]


class Told(BaseModel):
    """What an activity is asked, with what the agents did before: it writes that first, and saves the step a call of its own."""

    events: list[JsonObject] = []


class Who(BaseModel):
    """Who asks, as the door authenticated it."""

    actor: str
    role: str
    tenant: str | None


class UserMessage(BaseModel):
    """One message; its id makes it one, however often it is sent."""

    id: str
    text: str
    who: Who


class Accepted(BaseModel):
    """The answer to a message: it is kept, and will be worked on."""

    message_id: str
    turn: int


class ThreadInput(BaseModel):
    """What a thread starts with, and what it carries over when its history is cut."""

    thread_id: str
    tenant: str | None
    turn: int = 0
    sequence: int = 0
    memory: JsonObject = {}
    seen: list[str] = Field(default=[], description="The last message ids: a repeated one is not worked on again.")
    waiting: list[UserMessage] = []


class PlanEnded(BaseModel):
    """What a plan tells its thread."""

    plan_id: str
    state: PlanState
    title: str
    text: str
    citations: list[JsonObject] = []


class Decision(BaseModel):
    """A person's word on exactly one plan, named by its digest."""

    approve: bool
    digest: str
    who: Who
    reason: str = ""


class Cancellation(BaseModel):
    """A person ends a plan or a job."""

    who: Who
    reason: str = ""


class PlanStatus(BaseModel):
    """Where a plan is, as its workflow knows."""

    state: PlanState
    steps: dict[str, str] = {}


class StepCall(Told):
    """One step with its arguments filled in."""

    plan_id: str
    thread_id: str
    tenant: str
    actor: str
    key: str = Field(description="Idempotency key: workflow and step.")
    step: Step
    arguments: JsonObject
    result: JsonObject = {}


class ToolCall(BaseModel):
    """A read-only tool call of an agent."""

    name: str
    agent: str
    arguments: JsonObject
    tenant: str
    actor: str
    plan_id: str = ""
    thread_id: str = ""


class JobOutcome(BaseModel):
    """How a job ended."""

    job_id: str
    state: str
    result: JsonObject = {}
    code: str = ""
    reason: str = ""
    remedy: str = ""


class PlanMove(BaseModel):
    """A plan's new state."""

    plan_id: str
    state: PlanState
    decided_by: str | None = None
    outcome: JsonObject | None = None


class PlanOutcome(BaseModel):
    """How a plan ended: what was done, skipped, undone, and why."""

    state: PlanState
    done: list[str] = []
    skipped: list[str] = []
    undone: list[str] = []
    undo_failed: list[str] = []
    results: dict[str, JsonObject] = {}
    code: str = ""
    reason: str = ""
    remedy: str = ""


class ModelCall(Told):
    """One call of the model, with whom it is charged to."""

    call: JsonObject
    tenant: str
    plan_id: str
    thread_id: str
    agent: str


class SituationCall(Told):
    """Whose factory to look at."""

    tenant: str | None


class PlannerCall(Told):
    """A request to the planner: the turn and the facts, and in the second half the ranking and the model's answers."""

    turn: JsonObject = {}
    facts: JsonObject
    ranking: JsonObject = {}
    answers: dict[str, str] = {}


class PlanReport(BaseModel):
    """What a plan's end looks like in words, with what it cost."""

    text: str
    citations: list[JsonObject] = []
    cost: JsonObject = {}


class ReportCall(BaseModel):
    """A plan that ended."""

    plan: Plan
    outcome: PlanOutcome
