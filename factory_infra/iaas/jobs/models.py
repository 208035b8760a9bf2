"""What a job is: a process with limits, a log, progress and an end."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class JobState(StrEnum):
    """Where a job is in its life. `lost` means that its process vanished without an exit record: it may be submitted again."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether it will not change any more."""
        return self not in {JobState.PENDING, JobState.RUNNING}


class JobLimits(BaseModel):
    """The walls around a job's processes."""

    memory_gib: float = 4.0
    file_gib: float = 2.0
    seconds: float | None = Field(default=3600.0, description="Wall time; None for a service.")


class JobSpec(BaseModel):
    """What to run. Never a shell string: an argument vector."""

    model_config = ConfigDict(extra="forbid")

    id: str
    tenant: str
    name: str
    argv: list[str]
    environment: dict[str, str] = {}
    inputs: dict[str, str] = Field(default={}, description="Files written into the job's folder before it starts: name → text.")
    slot_kind: str = "cpu"
    slots: list[int] = Field(default=[], description="Indices of the leased slots: CPU affinity, or visible GPUs.")
    limits: JobLimits = JobLimits()
    service: bool = Field(default=False, description="A server that should stay up: no wall-time limit, no progress.")
    pool: str = "local"
    lease_id: str = ""
    devices: list[str] = Field(default=[], description="What CUDA_VISIBLE_DEVICES names in place of the slots' indices, such as UUIDs.")
    image: str = Field(default="", description="The container image, where the pool runs containers; the pool's own if empty.")
    queue: str = Field(default="", description="A QOS, a LocalQueue or a job queue of the engine in place of the pool's.")
    nodes: int = Field(default=1, ge=1, le=1000, description="The program starts once on each, with the variables of a rendezvous.")
    array: int = Field(default=0, ge=0, le=10_000, description="So many tasks of the same job, each with its index; 0 for none.")
    after: list[str] = Field(default=[], max_length=100, description="Jobs of the same team and pool that must succeed before.")
    attempts_max: int = Field(
        default=1, ge=1, le=20, description="Times that it is started when its program fails. A lost host counts not."
    )
    project: str = Field(
        default="", max_length=64, description="What it is charged to where it has no lease; with one, the lease's counts."
    )


class JobFailure(BaseModel):
    """Why a job did not succeed, in words."""

    code: str
    reason: str
    remedy: str = ""


class Waiting(BaseModel):
    """Why a job does not run yet: what the engine says, what that means, and what would help."""

    code: str = Field(description="The engine's own reason, such as AssocGrpGRES.")
    reason: str
    remedy: str = ""


class Job(BaseModel):
    """A job as the provider sees it now."""

    id: str
    tenant: str
    name: str
    state: JobState
    percent: float | None = None
    stage: str = ""
    exit_code: int | None = None
    failure: JobFailure | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    pool: str = "local"
    engine_id: str = Field(default="", description="What the engine calls it.")
    waiting: Waiting | None = Field(default=None, description="While it is pending.")
    attempt: int = Field(default=1, description="How often it was started, preemptions and retries included.")
    nodes: list[str] = Field(default=[], description="Where it runs.")
    tasks: dict[str, int] = Field(default={}, description="Of an array: how many tasks are in which state.")
    project: str = Field(default="", description="The team's project that it is charged to; empty for none.")


class LogChunk(BaseModel):
    """A piece of a job's log, by byte offset."""

    text: str
    next_offset: int
    complete: bool = Field(description="Whether the job has ended and nothing follows.")
