"""What is known of pipelines, their versions, runs, steps and triggers."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from factory_infra.paas.training.pipelines.spec import Scalar

JsonObject = dict[str, JsonValue]


class RunState(StrEnum):
    """Where a run is in its life. `proposed`: it waits for people before it begins; `waiting`: at a gate, before it goes on."""

    ASKED = "asked"
    PROPOSED = "proposed"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    GATED = "gated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self not in OPEN


OPEN = (RunState.ASKED, RunState.PROPOSED, RunState.RUNNING, RunState.WAITING)


class StepState(StrEnum):
    """Where a step is. `cached`: nothing ran, an earlier run left the same."""

    WAITING = "waiting"
    RUNNING = "running"
    ASKING = "asking"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    UNDONE = "undone"

    @property
    def good(self) -> bool:
        """Whether later steps may use what it left."""
        return self in {StepState.DONE, StepState.CACHED}


class Standing(BaseModel):
    """One person's standing word on one version: its runs need no other for so long."""

    actor: str
    role: str
    at: datetime
    expires_at: datetime


class PipelineVersion(BaseModel):
    """A version of a pipeline. It never changes; `approvals` grow."""

    model_config = ConfigDict(from_attributes=True)

    tenant: str
    name: str
    version: int
    digest: str = Field(description="SHA-256 of the document: what a standing approval names.")
    document: JsonObject
    text: str
    file: str
    lines: dict[str, int] = Field(description="Where each step stands in the file.")
    approvals: list[Standing]
    created_by: str
    created_at: datetime
    retired_at: datetime | None = None


class PipelineLine(BaseModel):
    """A pipeline in a list."""

    tenant: str
    name: str
    version: int
    description: str
    steps: int
    digest: str
    created_by: str
    created_at: datetime


class NewRun(BaseModel):
    """A run that is asked for; the key makes it one, however often it is asked."""

    tenant: str
    pipeline: str
    version: int | None = None
    parameters: dict[str, Scalar] = {}
    key: str
    actor: str
    role: str
    cache: bool = True
    trigger_id: str = ""
    trigger: Literal["api", "schedule", "data", "drift", "push", "plan", "rerun"] = "api"
    plan_id: str = Field(default="", description="An approved plan that asks for exactly this.")


class PipelineRun(BaseModel):
    """One run of one version."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    pipeline: str
    version: int
    digest: str = Field(description="Of the version.")
    parameters: dict[str, Scalar]
    state: RunState
    trigger: str
    trigger_id: str
    plan_id: str
    cache: bool
    actor: str
    role: str
    thread_id: str
    code: str
    reason: str
    remedy: str
    card: JsonObject = Field(description="While it waits for people: what they decide on, with its digest.")
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class RunStep(BaseModel):
    """One step of one run."""

    model_config = ConfigDict(from_attributes=True)

    run_id: str
    step: str
    kind: str
    state: StepState
    attempt: int
    job_id: str
    lease_id: str
    cache_key: str
    cached_from: str = Field(description="The run that left it, where nothing ran.")
    inputs: dict[str, str] = Field(description="File to SHA-256.")
    outputs: dict[str, str] = Field(description="File to SHA-256.")
    result: JsonObject
    card: JsonObject
    code: str
    reason: str
    remedy: str
    started_at: datetime | None
    ended_at: datetime | None


class Kept(BaseModel):
    """What a step left, as the cache knows it."""

    outputs: dict[str, str]
    result: JsonObject
    run_id: str


class ScheduleSpec(BaseModel):
    """When a trigger fires by the clock: a cron expression, or every so many seconds."""

    model_config = ConfigDict(extra="forbid")

    cron: str = Field(default="", max_length=100, description="Minute, hour, day of month, month, day of week.")
    every_seconds: int = Field(default=0, ge=0, le=366 * 86_400)
    time_zone: str = Field(default="UTC", max_length=64)


class NewTrigger(BaseModel):
    """What starts runs by itself."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    kind: Literal["schedule", "data", "drift", "push"]
    schedule: ScheduleSpec | None = None
    dataset: str = Field(default="", max_length=40, description="Of data: whose new versions start a run.")
    monitor: str = Field(default="", max_length=40, description="Of drift: whose alerts start a run.")
    branch: str = Field(default="", max_length=200, description="Of push: pushes to another start nothing; any if empty.")
    parameters: dict[str, Scalar] = Field(default={}, max_length=50)
    overlap: Literal["skip", "allow"] = Field(default="skip", description="What to do while a run of this trigger is not over.")


class Trigger(NewTrigger):
    """A trigger as it is kept."""

    id: str
    tenant: str
    pipeline: str
    enabled: bool
    generation: int = Field(description="Of its secret: grows when it is made anew.")
    actor: str
    role: str
    created_at: datetime


class Firing(BaseModel):
    """One time that a trigger fired."""

    model_config = ConfigDict(from_attributes=True)

    trigger_id: str
    key: str
    at: datetime
    outcome: Literal["started", "skipped", "refused", "ignored"]
    run_id: str
    reason: str
