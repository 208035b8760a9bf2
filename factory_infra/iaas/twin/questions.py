"""What may be asked of the twin about an installation, and what it answers. Every number in an answer is simulated."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from factory_infra.iaas.leases.models import PRIORITY_MAX, QUEUE_PATTERN, Topology

CHANGES_MAX = 20
NODES_MAX = 10_000
SLOTS_MAX = 100_000
SECONDS_MAX = 7 * 24 * 3600
TIMES_MAX = 1000
PoolName = Annotated[str, Field(default="", max_length=40, description="The pool that was asked about if empty.")]


class Asked(BaseModel):
    """What every part of a question is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MoreNodes(Asked):
    """So many nodes more, like the pool's last one; or fewer, the last first."""

    change: Literal["nodes"] = "nodes"
    pool: PoolName = ""
    more: int = Field(ge=-NODES_MAX, le=NODES_MAX, description="Fewer where it is negative.")


class NodeFails(Asked):
    """A node is out of order from now on."""

    change: Literal["node_fails"] = "node_fails"
    pool: PoolName = ""
    node: str = Field(min_length=1, max_length=255)


class OtherPolicy(Asked):
    """Another policy: the fields of a pool's section `scheduling:` that are to be different."""

    change: Literal["policy"] = "policy"
    fields: dict[str, JsonValue] = Field(min_length=1, max_length=20)


class MoreWork(Asked):
    """A lease, or several alike, asked for now."""

    change: Literal["work"] = "work"
    team: str = Field(default="", max_length=64, description="Whose it is; the asker's own team if empty.")
    queue: str = Field(default="", max_length=200, pattern=QUEUE_PATTERN)
    pool: PoolName = ""
    slots: int = Field(ge=1, le=SLOTS_MAX)
    seconds: int = Field(ge=1, le=SECONDS_MAX)
    times: int = Field(default=1, ge=1, le=TIMES_MAX)
    topology: Topology = "any"
    priority: int = Field(default=0, ge=-PRIORITY_MAX, le=PRIORITY_MAX)


class Without(Asked):
    """A lease that waits or is held ends now."""

    change: Literal["without"] = "without"
    lease_id: str = Field(min_length=1, max_length=64)


class OtherLimit(Asked):
    """Another limit of GPUs or cores of a queue; a team's own queue has its name."""

    change: Literal["limit"] = "limit"
    queue: str = Field(min_length=1, max_length=200, pattern=QUEUE_PATTERN)
    resource: Literal["gpus", "cpus"] = "gpus"
    amount: float = Field(ge=0, le=1e9)


Change = Annotated[MoreNodes | NodeFails | OtherPolicy | MoreWork | Without | OtherLimit, Field(discriminator="change")]


class WhatIf(Asked):
    """A question: the changes, or the same in words. All changes are made together."""

    pool: str = Field(default="", max_length=40, description="The pool that is asked about; the default one if empty.")
    changes: tuple[Change, ...] = Field(default=(), max_length=CHANGES_MAX)
    words: str = Field(default="", max_length=1000, description="Such as `add 2 nodes and order shortest`, in place of changes.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> "WhatIf":
        if bool(self.changes) == bool(self.words.strip()):
            raise ValueError("a question has either changes or words")
        return self


class StartsThen(BaseModel):
    """When one that waits would start, as it is and with the changes."""

    lease_id: str
    queue: str
    slots: int
    hypothetical: bool = Field(default=False, description="It exists in the question only.")
    starts_as_it_is: datetime | None = Field(default=None, description="None where it would not start, or is not there.")
    starts_then: datetime | None = None
    sooner_seconds: float | None = Field(default=None, description="By how much the changes help it; negative where they delay it.")


class WhatIfAnswer(BaseModel):
    """The installation from now on until all that is known of has ended, as it is and with the changes, side by side."""

    simulated: Literal[True] = True
    as_of: datetime
    pools: list[str] = Field(description="Those that are scheduled together.")
    changes: list[Change]
    told: list[str] = Field(description="The changes as they were understood, in words.")
    leases: list[StartsThen] = Field(description="Those that wait: a team sees its own, and what the question adds.")
    others: int = Field(default=0, description="How many of other teams wait too, and are not listed.")
    others_delayed: int = Field(default=0, description="How many of those would start more than a second later.")
    figures: list[dict[str, str | float]] = Field(description="A row as it is, a row with the changes.")
