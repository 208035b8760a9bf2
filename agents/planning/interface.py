"""The seam between a request in words and a typed outcome; two planners stand behind it."""

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tools.plan import Scope, Step


class ModelFact(BaseModel):
    """A registered version, as the planner sees it."""

    model_name: str
    version: int
    dataset: str
    accuracy: float | None = None


class EndpointFact(BaseModel):
    """A live endpoint, as the planner sees it."""

    name: str
    model_name: str
    version: int
    previous_version: int | None = None


class LeaseFact(BaseModel):
    """An active lease, as the planner sees it."""

    id: str
    slots: int
    purpose: str = ""


class JobFact(BaseModel):
    """A job that runs, as the planner sees it."""

    id: str
    name: str
    state: str


class TeamFact(BaseModel):
    """One team and what is its own: only teams that the asker may see are ever listed."""

    name: str
    quota_slots: int
    quota_slots_used: int
    models: list[ModelFact] = []
    endpoints: list[EndpointFact] = []
    leases: list[LeaseFact] = []
    jobs: list[JobFact] = []


class DatasetFact(BaseModel):
    """A dataset, with the other words that people use for it."""

    name: str
    aliases: list[str] = []


class PoolFact(BaseModel):
    """A place where slots are, as the planner sees it."""

    name: str
    slot_kind: Literal["gpu", "cpu"]
    slots_total: int
    slots_free: int


class LessonFact(BaseModel):
    """What the asker's team was taught: words like these mean a playbook, or (a lesson) do not mean it."""

    id: str
    kind: Literal["example", "lesson"] = "example"
    anchor: str = Field(description="The taught words with names and numbers masked.")
    playbook: str


class Facts(BaseModel):
    """The factory as the planner may see it: read before planning, never guessed."""

    home_team: str | None = Field(description="The asker's own team; None for an administrator of all.")
    teams: list[TeamFact]
    datasets: list[DatasetFact]
    slot_kind: Literal["gpu", "cpu"]
    slots_total: int
    slots_free: int
    pools: list[PoolFact] = Field(default=[], description="Every pool that answers; what is above is of the first one.")
    lessons: list[LessonFact] = Field(default=[], description="Promoted lessons of the asker's own team, and of no other.")


class Pending(BaseModel):
    """What an unanswered question or an undecided card left open, carried by the thread to the next turn."""

    playbook: str
    slots: dict[str, JsonValue] = {}
    asked: str | None = Field(default=None, description="The slot that was asked for.")
    request: str = Field(description="The user's words so far, joined.")
    plan_id: str = Field(default="", description="The plan on whose card this waits; empty where none was proposed.")
    lessons: list[str] = Field(default=[], description="Lessons that led to what is open.")


class Turn(BaseModel):
    """One message with what came before it."""

    text: str
    pending: Pending | None = None
    recent: list[str] = Field(default=[], description="The last few user messages, oldest first; a long thread's summary goes before.")


class ModelQuestion(BaseModel):
    """One constrained question to the model: the answer is exactly one of the choices."""

    id: str
    system: str
    user: str
    choices: list[str]


class Ranking(BaseModel):
    """What code made of the words, before any model was asked: everything that `settle` needs."""

    model_config = ConfigDict(extra="allow")

    turn: Turn
    candidates: list[str] = Field(description="Playbooks, best first.")
    questions: list[ModelQuestion] = Field(default=[], description="Empty where no model is needed.")


class Draft(BaseModel):
    """Steps ready for the dry run. Read-only drafts run at once; the others become a plan on a card."""

    type: Literal["draft"] = "draft"
    playbook: str
    agent: str
    tenant: str
    title: str
    steps: list[Step]
    notes: list[str] = Field(default=[], description="Each default taken and each limit met, a sentence for the card.")
    slots: dict[str, JsonValue] = {}
    answer_style: Literal["plan", "reading"] = "plan"
    lessons: list[str] = Field(default=[], description="Ids of the lessons that it was understood with.")
    scope: Scope | None = Field(default=None, description="Fixed before planning; None: exactly what the steps do.")


class Question(BaseModel):
    """Something is missing or unclear: one question back."""

    type: Literal["question"] = "question"
    text: str
    options: list[str] = []
    pending: Pending | None = None


class Refusal(BaseModel):
    """It cannot be done, with a code, a reason and what would work."""

    type: Literal["refusal"] = "refusal"
    code: str
    reason: str
    remedy: str
    pending: Pending | None = Field(default=None, description="Kept, so that 'then one slot' amends what was refused.")


class Reply(BaseModel):
    """Nothing is asked to be done: a greeting, a thank-you, a 'never mind', a question about what can be asked."""

    type: Literal["reply"] = "reply"
    text: str
    pending: Pending | None = Field(default=None, description="What stays open: a card that waits on.")


Outcome = Draft | Question | Refusal | Reply


class Planner(Protocol):
    """Turns words into an outcome in two halves, so that the model call between them is durable, metered and optional."""

    async def rank(self, turn: Turn, facts: Facts) -> Ranking:
        """Link names, numbers and limits to the factory's own, rank playbooks, and say what the model must be asked."""
        ...

    def settle(self, ranking: Ranking, answers: dict[str, str], facts: Facts) -> Outcome:
        """Fill, ground and guard; `answers` maps a question's id to its choice, and lacks those that no model answered."""
        ...
