"""What walks through the graph of one turn."""

import operator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypedDict

from pydantic import BaseModel, Field

from agents.planning.interface import Facts, Outcome, Pending
from factory_infra.paas.tenants.models import PLATFORM
from tools.plan import Bounds, Plan, Step
from tools.ports import JsonObject, Ports

RECENT_MAX = 6


class Asker(BaseModel):
    """Who asks, as the door authenticated it."""

    actor: str
    role: str
    tenant: str | None
    project: str = ""


class Memory(BaseModel):
    """What a thread keeps from turn to turn; bounded."""

    pending: Pending | None = None
    recent: list[str] = []
    summary: str = ""
    identifiers: list[str] = []


class TurnInput(BaseModel):
    """One message, with the thread's memory."""

    thread_id: str
    plan_id: str = Field(description="The id that a plan of this turn will have.")
    text: str
    who: Asker
    memory: Memory = Memory()
    now: datetime

    def project_in(self, team: str) -> str:
        """The project that a team's part of the turn is charged to: the asker's, where it is that team's."""
        return self.who.project if team == self.who.tenant else ""


class OfferedTool(BaseModel):
    """A reading tool of another's server: pinned and approved, and yet a stranger's words."""

    name: str
    description: str = ""
    parameters: JsonObject = {}


class Situation(BaseModel):
    """What a turn is planned from: the factory's facts and the model that is there."""

    facts: Facts
    model: str | None = Field(default=None, description="PROVIDER:NAME, or None where there is none.")
    planner: Literal["playbook", "free"] = "playbook"
    plan_state: str = Field(default="", description="Where the plan is on whose card the thread waits; empty where it waits on none.")
    approval_seconds_max: float = 86_400
    bounds: Bounds = Field(default=Bounds(), description="How far a run of this team may go.")
    foreign: list[OfferedTool] = Field(default=[], description="Reading tools of approved servers of others that the team may use.")


class TurnResult(BaseModel):
    """What a turn leaves: the memory for the next one, and a plan if one is proposed."""

    memory: Memory
    plan: Plan | None = None


class Thought(BaseModel):
    """What the supervisor made of the request, and who made it."""

    outcome: Outcome = Field(discriminator="type")
    planner: str
    team: str


class GraphState(TypedDict, total=False):
    """The state of the dispatch graph."""

    turn: TurnInput
    situation: Situation
    thought: Thought
    foreseen: Annotated[list[Step], operator.add]
    result: TurnResult


@dataclass(frozen=True)
class TurnContext:
    """What the nodes of a turn reach."""

    ports: Ports


class Assignment(TypedDict):
    """What one specialist is handed: its own steps of a draft."""

    agent: str
    steps: list[Step]
    turn: TurnInput
    thought: Thought


def charged_team(turn: TurnInput, facts: Facts) -> str:
    """The team that a turn's model calls are charged to: the asker's own, else one that the words name, else the platform's."""
    if turn.who.tenant is not None:
        return turn.who.tenant
    words = set(turn.text.lower().replace(",", " ").replace(".", " ").split())
    return next((team.name for team in facts.teams if team.name in words), PLATFORM)
