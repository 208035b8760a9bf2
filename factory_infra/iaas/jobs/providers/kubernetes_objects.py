"""What the cluster says of a job: the parts of Jobs, JobSets, pods, events and workloads that are read, and our record of it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.pools.kubernetes import Read
from factory_infra.iaas.jobs.models import JobFailure, JobState
from factory_infra.iaas.kubernetes.models import Meta

MAIN = "job"
"""The container of the job's own program."""


class Condition(Read):
    """One condition of an object."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None

    @property
    def holds(self) -> bool:
        """Whether it is true."""
        return self.status == "True"


class Conditions(Read):
    """A status that has conditions."""

    conditions: list[Condition] | None = None

    def named(self, kind: str) -> Condition | None:
        """The condition of this type, whatever it says."""
        return next((each for each in self.conditions or [] if each.type == kind), None)

    def true(self, kind: str) -> Condition | None:
        """The condition of this type where it holds."""
        found = self.named(kind)
        return found if found is not None and found.holds else None


class EngineStatus(Conditions):
    """How a Job or JobSet stands."""

    start_time: datetime | None = None
    completion_time: datetime | None = None
    succeeded: int = 0
    failed: int = 0


class EngineSpec(Read):
    """What a Job or JobSet was told."""

    suspend: bool = False


class EngineJob(Read):
    """A Job, or a JobSet."""

    metadata: Meta
    spec: EngineSpec = EngineSpec()
    status: EngineStatus = EngineStatus()

    @property
    def succeeded(self) -> Condition | None:
        """That it has ended well."""
        return self.status.true("Complete") or self.status.true("Completed")

    @property
    def failed(self) -> Condition | None:
        """That it has ended badly."""
        return self.status.true("Failed")


class Waits(Read):
    """Why a container does not run."""

    reason: str = ""
    message: str = ""


class Runs(Read):
    """That a container runs."""

    started_at: datetime | None = None


class Ended(Read):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Read):
    """Where a container is in its life."""

    waiting: Waits | None = None
    running: Runs | None = None
    terminated: Ended | None = None


class ContainerStatus(Read):
    """One container of a pod."""

    name: str
    state: ContainerState = ContainerState()


class PodStatus(Conditions):
    """How a pod stands."""

    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"] = "Pending"
    reason: str = ""
    message: str = ""
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class PodSpec(Read):
    """Where a pod runs."""

    node_name: str = ""


class Pod(Read):
    """A pod of a job."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def main(self) -> ContainerState:
        """The state of the job's own program."""
        return next((each.state for each in self.status.container_statuses or [] if each.name == MAIN), ContainerState())

    @property
    def index(self) -> int:
        """Its rank, or its index in an array; 0 where it has none."""
        return int(self.metadata.annotations.get("batch.kubernetes.io/job-completion-index", "0") or 0)

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def started_at(self) -> datetime | None:
        """When the job's own program began."""
        state = self.main
        return (state.running and state.running.started_at) or (state.terminated and state.terminated.started_at) or None


class Involved(Read):
    """What an event is about."""

    uid: str = ""
    name: str = ""


class Event(Read):
    """Something that the cluster told."""

    reason: str = ""
    message: str = ""
    type: str = "Normal"
    involved_object: Involved = Involved()
    last_timestamp: datetime | None = None


class Workload(Read):
    """How Kueue sees a job."""

    metadata: Meta
    status: Conditions = Conditions()


class ConfigMap(Read):
    """A ConfigMap."""

    metadata: Meta
    data: dict[str, str] | None = None


class Secret(Read):
    """A Secret; its values are in base 64."""

    metadata: Meta
    data: dict[str, str] | None = None


class End(BaseModel):
    """How a job ended, kept when its objects may be gone."""

    model_config = ConfigDict(extra="ignore")

    state: JobState
    at: datetime
    started_at: datetime | None = None
    exit_code: int | None = None
    failure: JobFailure | None = None
    attempt: int = 1
    nodes: list[str] = []
    tasks: dict[str, int] = {}


class TaskEnd(BaseModel):
    """How one task of an array ended."""

    state: JobState
    exit_code: int | None = None


class Record(BaseModel):
    """What we keep of a job in the cluster: enough to tell of it when the engine has forgotten it. Written before anything is started."""

    model_config = ConfigDict(extra="ignore")

    id: str
    tenant: str
    name: str
    made_at: datetime
    nodes: int = 1
    array: int = 0
    after: list[str] = []
    kind: Literal["jobs", "jobsets"] = "jobs"
    generation: int = Field(default=1, description="How often a person, or a loss, had it started.")
    engine_uid: str = Field(default="", description="Of this generation's Job or JobSet, once it is made.")
    asked_at: datetime = Field(description="When this generation was asked for.")
    end: End | None = None

    @property
    def held(self) -> bool:
        """Whether it waits for others, and nothing of it is started."""
        return bool(self.after) and not self.engine_uid and self.end is None

    @property
    def width(self) -> int:
        """How many pods run at most at a time."""
        return max(self.nodes, self.array, 1)


class Seen(BaseModel):
    """All that the cluster says of one job at a moment."""

    record: Record
    version: str
    uid: str
    job: EngineJob | None = None
    pods: list[Pod] = Field(default=[], description="Of this generation.")
    before: list[Pod] = Field(default=[], description="Of earlier ones, as long as they are there.")
    out: dict[str, str] = Field(default={}, description="What the carriers wrote.")
    events: list[Event] = []
    workload: Workload | None = None

    def attempt(self, index: int) -> int:
        """How often the pod of this index was started."""
        return int(self.out.get(f"t{index}.attempt", "0") or 0)

    def pods_of(self, index: int | None) -> list[Pod]:
        """The pods of an index, or all."""
        return [pod for pod in self.pods if index is None or pod.index == index]

    @property
    def live(self) -> bool:
        """Whether any process may still run."""
        return any(not pod.ended for pod in self.pods)
