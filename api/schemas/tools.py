"""Bodies of the routes over tools, plans that programs propose, and servers of tools."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.schemas.chat import Body, ProjectName
from factory_infra.paas.tenants.models import Role
from factory_infra.saas.metering.models import Exact
from factory_infra.saas.tool_servers.models import EffectWord
from tools.plan import Effect, Verdict

JsonObject = dict[str, JsonValue]
CallId = Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$", description="Send it again to be sure: one id is one call.")]
ThreadId = Annotated[str | None, Field(pattern=r"^thread-[A-Za-z0-9-]{1,56}$", description="Where it is told; one is opened otherwise.")]
Team = Annotated[str | None, Field(max_length=64, description="Of an administrator: which team's.")]


class ToolCard(BaseModel):
    """A tool as callers see it."""

    name: str
    description: str
    effect: Effect
    role: Role = Field(description="The least role that may call it; an effect is then a plan, which policy and people decide.")
    agents: list[str] = Field(description="The agents whose scope it is in.")
    runs_as: Literal["activity", "job"]
    arguments: JsonObject = Field(description="JSON Schema.")
    result: JsonObject = Field(description="JSON Schema.")
    undo: str
    postcondition: str
    source: str = Field(default="", description="The tool server of others that it belongs to; empty for our own.")


class NewCall(Body):
    """One call of a tool."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)

    arguments: JsonObject = {}
    tenant: Team = None
    project: ProjectName = ""
    thread_id: ThreadId = None
    call_id: CallId = None


class NewStep(Body):
    """One step of a plan that a program proposes. A reference `{"from_step": ID, "field": NAME}` takes an earlier step's result."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    tool: str = Field(max_length=64)
    agent: str | None = Field(default=None, max_length=64, description="Who answers for it; left out, the first whose scope it is in.")
    summary: str = Field(default="", max_length=300)
    arguments: JsonObject = {}
    after: tuple[str, ...] = ()
    gate: bool = False
    always: bool = False


class NewPlan(Body):
    """A whole plan."""

    title: str = Field(min_length=1, max_length=200)
    steps: tuple[NewStep, ...] = Field(min_length=1, max_length=100)
    request: str = Field(default="", max_length=2_000, description="Why, in words; the card shows it.")
    tenant: Team = None
    project: ProjectName = ""
    thread_id: ThreadId = None
    call_id: CallId = None


class Proposed(BaseModel):
    """A plan that stands for the effect which was asked for. Nothing was done yet, unless policy lets it run at once."""

    outcome: Literal["needs_approval"] = "needs_approval"
    plan_id: str
    digest: str
    state: str
    title: str
    thread_id: str
    price_low: Exact
    price_high: Exact
    currency: str
    basis: str = ""
    steps: list[str]
    verdict: Verdict | None = None
    how: str = Field(description="What decides it, and where.")


class NewToolServer(Body):
    """A server of tools, by its address; its key is a file among the secrets."""

    name: str = Field(max_length=20)
    url: str = Field(max_length=400)
    tenant: Team = None
    secret: str = Field(default="", max_length=64, description="Name of a file in the folder of secrets.")
    effects: dict[str, EffectWord] = {}


class ServerApproval(Body):
    """An approval of exactly the descriptions that were read."""

    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    effects: dict[str, EffectWord] = Field(default={}, description="What each tool does; one that is not named is held for costly.")
