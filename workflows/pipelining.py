"""Messages about pipelines. Light: workflow files import it."""

from typing import Literal

from pydantic import BaseModel, Field

from tools.plan import Plan
from workflows.messages import JsonObject, StepCall


class StepOrder(BaseModel):
    """What the workflow must know of a step; everything else is read where it acts."""

    id: str
    work: Literal["job", "data", "tool", "gate"]
    needs: list[str] = []
    pool: str = ""
    slots: int = 1
    seconds: int = 600
    attempts: int = 1
    wait_seconds: int = 0
    queue_seconds: int = 0
    calls: int = Field(default=1, description="Of a tool step: how many tools it calls, one after another.")
    asks: bool = Field(default=False, description="Of a gate: whether people are asked.")
    long: bool = Field(default=False, description="It may last without any job: slots that nobody uses are given back before.")


class PipelineInput(BaseModel):
    """One run."""

    run_id: str
    tenant: str
    actor: str
    thread_id: str
    project: str = ""
    title: str = ""
    steps: list[StepOrder]
    at_once_max: int = 4
    seconds_max: float = 86_400.0


class Told(BaseModel):
    """How something ended, in a code and words."""

    code: str = ""
    reason: str = ""
    remedy: str = ""


class Opening(Told):
    """What policy says of a run before it begins."""

    plan: Plan = Field(description="The run as people and policy see it; its digest is what they decide on.")
    decision: Literal["run", "ask", "refuse"]
    decided_by: str = ""


class PipelineCall(BaseModel):
    """One attempt at one step."""

    run_id: str
    tenant: str
    actor: str
    thread_id: str
    step: str
    attempt: int = 1
    lease_id: str = ""
    number: int = Field(default=0, description="Which of the step's tools.")
    stops: int = Field(default=0, description="How often every effect was stopped while it ran: its job is another then.")


class StepEnd(Told):
    """What came of it. `needs_lease`: nothing is known of it, so it must run, and has no slots yet."""

    state: Literal["done", "cached", "failed", "cancelled", "needs_lease", "lease_lost", "gated"]
    again: bool = Field(default=False, description="Whether another attempt may succeed.")


class GateEnd(StepEnd):
    """What a gate says: whether its number holds, and what people are to decide on."""

    card: Plan | None = None


class ToolEnd(BaseModel):
    """A tool that was called: what an undo needs to know."""

    call: StepCall
    passed: bool = True
    reason: str = ""


class RunMove(Told):
    """Where a run is now."""

    run_id: str
    state: str
    step: str = Field(default="", description="The gate at which people are asked.")
    card: JsonObject = {}
    digest: str = Field(default="", description="The approvals of this digest are used by it.")


class StepMove(Told):
    """Where a step is now, as only the workflow can know."""

    run_id: str
    step: str
    state: str
    card: JsonObject = {}


class PipelineEnd(Told):
    """How a run ended."""

    state: str
    steps: dict[str, str] = {}
    undone: list[str] = []
    undo_failed: list[str] = []


class PipelineStatus(BaseModel):
    """Where a run is, as its workflow knows."""

    state: str
    steps: dict[str, str] = {}
    asking: dict[str, str] = Field(default={}, description="Digest to the gate that it opens; empty text for the run itself.")
    given: dict[str, list[str]] = Field(default={}, description="Digest to who has approved it so far.")
    needed: dict[str, int] = {}


class FiringInput(BaseModel):
    """A trigger that the clock fires."""

    trigger_id: str
    key: str = Field(default="", description="Which firing: the same is fired once.")
