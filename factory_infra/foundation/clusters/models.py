"""What a cluster is: machines that were made for one lease or team and belong together."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from factory_infra.foundation.pools.spec import PriceClass

ClusterForm = Literal["fleet", "auto_scaling", "kubernetes", "hyperpod"]
"""How machines are made: an EC2 fleet, an Auto Scaling group, EKS with a node group, a HyperPod cluster."""


class ClusterState(StrEnum):
    """Where a cluster is in its life. `partial`: some machines are there and more were asked for. `broken`: half made, to be released."""

    CREATING = "creating"
    READY = "ready"
    PARTIAL = "partial"
    RELEASING = "releasing"
    RELEASED = "released"
    BROKEN = "broken"

    @property
    def final(self) -> bool:
        """Whether nothing of it is left."""
        return self is ClusterState.RELEASED


class ClusterSpec(BaseModel):
    """What is asked for. `key` makes it one cluster, however often it is asked: all names and client tokens come from it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(min_length=1, max_length=200)
    tenant: str
    lease_id: str = ""
    run_id: str = ""
    form: ClusterForm = "fleet"
    machine: str = Field(description="The type of machine, such as p5.48xlarge.")
    alternatives: tuple[str, ...] = Field(default=(), description="Other types that do as well: spot is spread over them.")
    count: int = Field(ge=1, le=1000)
    count_min: int | None = Field(default=None, ge=1, description="Fewer than this is a failure, and is undone; all of them if None.")
    price_class: PriceClass = "on_demand"
    topology: Literal["any", "rack"] = Field(default="any", description="rack: one placement group, with EFA where the machine has it.")
    reservation_id: str = Field(default="", description="A capacity reservation or block to launch into.")


class Machine(BaseModel):
    """One machine of a cluster."""

    id: str
    type: str
    state: Literal["pending", "running", "stopping", "gone"]
    zone: str = ""
    address: str = ""
    price_class: PriceClass = "on_demand"
    launched_at: datetime | None = None


class Cluster(BaseModel):
    """A cluster as the provider sees it now."""

    id: str = Field(description="Ours, from the key: the same for every attempt.")
    pool: str
    tenant: str
    lease_id: str = ""
    run_id: str = ""
    form: ClusterForm = "fleet"
    state: ClusterState
    wanted: int
    machines: list[Machine] = []
    note: str = Field(default="", description="What is missing and why, in words.")
    created_at: datetime | None = None


class Interruption(BaseModel):
    """A machine that its owner takes back soon: drain, checkpoint, requeue."""

    pool: str
    machine_id: str
    cluster_id: str
    lease_id: str
    action: Literal["terminate", "stop", "rebalance"]
    at: datetime
