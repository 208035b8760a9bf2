"""What a node is, what it tells of itself, and what happened to it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from factory_infra.foundation.reliability.health import Health, Trigger
from factory_infra.foundation.reliability.statistics import Rate
from factory_infra.foundation.reliability.taxonomy import Action, Severity

NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
PoolName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Word = Annotated[str, StringConstraints(max_length=120)]


class Closed(BaseModel):
    """What comes in from a node: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeAccelerator(Closed):
    """One accelerator of a node: how it is, and nothing of what runs on it."""

    index: int = Field(ge=0, le=1023)
    name: Word = ""
    uuid: Word = ""
    state: Literal["ok", "lost", "failed"] = "ok"
    busy_percent: float | None = None
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None


class NodeReport(Closed):
    """A heartbeat: what the node is and how it is now."""

    accelerator: Word = Field(default="", description="Their type in the catalogue, such as H100.")
    accelerators: list[NodeAccelerator] = Field(default=[], max_length=256)
    driver: Literal["ok", "no_driver", "driver_mismatch", "failed"] = "no_driver"
    versions: dict[Word, Word] = Field(default={}, max_length=32, description="Of driver, CUDA, kernel, Lineshaft, …")
    cores: int = Field(default=0, ge=0)
    memory_gib: float = Field(default=0, ge=0)
    machine_id: Word = Field(default="", description="What the maker of machines calls it.")
    cluster_id: Word = Field(default="", description="The cluster that it was made for.")


class NodeEvent(Closed):
    """Something that happened on a node. Its id makes it one event, however often it is sent."""

    id: str = Field(pattern=r"^[A-Za-z0-9._-]{8,64}$")
    code: str = Field(pattern=r"^[a-z0-9_]{1,40}$", description="Of the taxonomy: xid_79, gpu_lost, ecc_uncorrectable, …")
    recovered: bool = Field(default=False, description="It is over.")
    accelerator: int | None = Field(default=None, ge=0, le=1023)
    uuid: Word = ""
    words: str = Field(default="", max_length=400, description="What was seen.")
    at: AwareDatetime


class Node(BaseModel):
    """A node as it is known now."""

    model_config = ConfigDict(from_attributes=True)

    pool: str
    name: str
    health: Health
    health_since: datetime
    reason: str = Field(description="Why its health is so.")
    accelerator: str
    accelerators: int
    accelerators_ok: int
    driver: str
    versions: dict[str, str] = {}
    gauges: list[NodeAccelerator] = Field(default=[], description="For administrators.")
    cores: int
    memory_gib: float
    machine_id: str
    cluster_id: str
    replaced_by: str = Field(description="The node that stands in its place.")
    first_seen_at: datetime
    heartbeat_at: datetime | None = Field(description="None while it was never heard of.")


class NodeMove(BaseModel):
    """One change of a node's health."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    pool: str
    node: str
    was: Health
    now: Health
    trigger: Trigger
    reason: str
    actor: str
    at: datetime


class KnownEvent(BaseModel):
    """An event as it is kept, with what the table says of it."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    pool: str
    node: str
    code: str
    recovered: bool
    severity: Severity
    action: Action
    accelerator: int | None
    uuid: str
    words: str
    at: datetime
    received_at: datetime
    incident_id: str


class Incident(BaseModel):
    """One failure of a node, from its first event until the node was good again or gone. It gets one plan at most."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    pool: str
    node: str
    code: str
    severity: Severity
    action: Action
    reason: str
    opened_at: datetime
    closed_at: datetime | None
    plan_id: str


class NodeHistory(BaseModel):
    """A node with what happened to it, newest first."""

    node: Node
    incidents: list[Incident]
    events: list[KnownEvent]
    moves: list[NodeMove]


class NodeFilter(BaseModel):
    """Which nodes of a list are wanted; None for all."""

    model_config = ConfigDict(frozen=True)

    pool: str | None = None
    health: Health | None = None


class Figures(BaseModel):
    """How reliable a node, a pool or everything is."""

    subject: str
    nodes: int
    accelerators: int
    node_mtbf: Rate = Field(description="Time between failures of one node.")
    accelerator_mtbf: Rate = Field(description="The same by hours of accelerators.")
    mttr: Rate = Field(description="Time until a failed node was good again, or gone.")
