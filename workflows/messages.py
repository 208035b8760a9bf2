"""One model per message between doors, workflows and activities. Light: workflow files import it."""

from pydantic import BaseModel, Field, JsonValue

from tools.plan import Plan, PlanState, Scope, Step

JsonObject = dict[str, JsonValue]


class Told(BaseModel):
    """What an activity is asked, with what the agents did before: it writes that first, and saves the step a call of its own."""

    events: list[JsonObject] = []


class Who(BaseModel):
    """Who asks, as the door authenticated it."""

    actor: str
    role: str
    tenant: str | None
    project: str = Field(default="", description="Of the tenant: what is done is charged to it; empty for none.")


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


class Pause(BaseModel):
    """A person holds a plan: what runs ends, nothing more begins."""

    who: Who
    reason: str = ""


class Resume(BaseModel):
    """A person lets a held plan go on."""

    who: Who


class Edit(BaseModel):
    """A person changes the steps of a plan that does not run now; the digest names the revision that was read."""

    digest: str
    steps: list[Step]
    who: Who
    reason: str = ""


class Kill(BaseModel):
    """A person ends a run: the turn that thinks, or the plan that waits or runs."""

    run_id: str
    who: Who
    reason: str = ""


class RevisionCall(BaseModel):
    """A plan whose steps are to be others: those in `kept` are done, and stay as they are."""

    plan: Plan
    steps: list[Step]
    kept: list[str] = []
    who: Who


class UndoInput(BaseModel):
    """A plan that ended, whose steps are to be undone."""

    plan: Plan
    outcome: "PlanOutcome"
    who: Who
    reason: str = ""


class PlanStatus(BaseModel):
    """Where a plan is, as its workflow knows."""

    state: PlanState
    steps: dict[str, str] = {}
    digest: str = Field(default="", description="Of the revision that a decision must name now.")
    revision: int = 1
    approvals: list[str] = Field(default=[], description="Who has approved this revision so far.")
    approvals_needed: int = 0


class StepCall(Told):
    """One step with its arguments filled in."""

    plan_id: str
    thread_id: str
    tenant: str
    project: str = ""
    actor: str
    key: str = Field(description="Idempotency key: workflow and step.")
    step: Step
    scope: Scope | None = Field(default=None, description="What the plan's run may do; checked again where the step acts.")
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
    """A plan's new state. With a digest, the approvals of that digest are used by it."""

    plan_id: str
    digest: str = ""
    state: PlanState
    decided_by: str | None = None
    outcome: JsonObject | None = None


class PlanOutcome(BaseModel):
    """How a plan ended: what was done, skipped, undone, and why."""

    state: PlanState
    done: list[str] = []
    order: list[str] = Field(default=[], description="The steps that left something, in the order in which they did.")
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
    project: str = ""
    plan_id: str
    thread_id: str
    agent: str


class SituationCall(Told):
    """Whose factory to look at, and the plan on whose card the thread waits."""

    tenant: str | None
    plan_id: str = ""


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


UndoInput.model_rebuild()
