"""What a roll-out is: how a version comes by its traffic, what must hold at each step, and how it ended."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

STEPS_MAX = 20
CANARY_SHARES = (0.01, 0.1, 0.5)


class Strategy(StrEnum):
    """How a candidate comes by its traffic."""

    CANARY = "canary"
    """A growing share of the requests is answered by it."""
    BLUE_GREEN = "blue_green"
    """All requests at once; what was live stands by until the end."""
    SHADOW = "shadow"
    """It is asked beside the live version; its answers are compared and never returned."""


class RolloutState(StrEnum):
    """Where a roll-out is."""

    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    PROMOTED = "promoted"
    FINISHED = "finished"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self not in OPEN

    @property
    def good(self) -> bool:
        """Whether the candidate held."""
        return self in {RolloutState.PROMOTED, RolloutState.FINISHED}


OPEN = frozenset({RolloutState.PREPARING, RolloutState.RUNNING, RolloutState.PAUSED})


class Closed(BaseModel):
    """A value from outside: closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Gates(Closed):
    """What must hold of the candidate. A step ends well once all of it is shown; what is shown not to hold ends the roll-out at once."""

    error_rate_max: float = Field(default=0.02, ge=0, lt=1, description="Share of its requests that it may fail.")
    latency_p95_ms_max: float | None = Field(default=None, gt=0, description="95 of 100 of its answers come within this.")
    latency_ratio_max: float | None = Field(default=None, ge=1, description="The same, as a multiple of the live version's.")
    agreement_min: float | None = Field(default=None, gt=0, le=1, description="Share of its answers that are the live version's too.")
    accuracy_min: float | None = Field(default=None, gt=0, le=1, description="Share of its answers that feedback calls right.")
    samples_min: int = Field(default=20, ge=1, le=100_000, description="Comparisons, or labels of feedback, that are needed to judge.")

    @property
    def compares(self) -> bool:
        """Whether answers must be compared with the live version's."""
        return self.agreement_min is not None


class RolloutPlan(Closed):
    """How a candidate is brought in."""

    strategy: Strategy = Strategy.CANARY
    shares: tuple[float, ...] = Field(
        default=(), max_length=STEPS_MAX, description="Of the requests, step by step; of mirrored ones for a shadow."
    )
    step_seconds: float = Field(default=60.0, ge=0, le=86_400, description="So long each step lasts at least.")
    requests_min: int = Field(default=20, ge=0, le=1_000_000, description="So many requests the candidate must have had in each step.")
    patience_seconds: float = Field(default=86_400.0, gt=0, le=30 * 86_400, description="A step that is not decided by then goes back.")
    gates: Gates = Gates()
    promote: bool = Field(default=True, description="Whether the candidate becomes the live version at the end.")

    @model_validator(mode="after")
    def _shares_grow(self) -> Self:
        if any(not 0 < share <= 1 for share in self.shares):
            raise ValueError("each share must be above 0 and at most 1")
        if any(later <= earlier for earlier, later in zip(self.shares, self.shares[1:], strict=False)):
            raise ValueError("shares must grow from step to step")
        if self.strategy is not Strategy.CANARY and len(self.shares) > 1:
            raise ValueError(f"a {self.strategy} roll-out has one step")
        if self.strategy is Strategy.BLUE_GREEN and self.shares not in {(), (1.0,)}:
            raise ValueError("a blue_green roll-out moves all requests at once: leave shares out")
        if self.strategy is Strategy.SHADOW and self.gates.accuracy_min is not None:
            raise ValueError("a shadow's answers are returned to nobody, so there is no feedback on them: leave accuracy_min out")
        if self.strategy is not Strategy.SHADOW and not self.promote:
            raise ValueError("only a shadow may end without being promoted")
        return self

    @property
    def steps(self) -> tuple[float, ...]:
        """The share of each step."""
        return self.shares or (CANARY_SHARES if self.strategy is Strategy.CANARY else (1.0,))


class NewRollout(Closed):
    """Which version is to come in under which name."""

    tenant: str
    endpoint: str
    model_name: str
    version: int
    plan: RolloutPlan = RolloutPlan()
    key: str = Field(description="Idempotency key: the same key is the same roll-out.")
    asked_by: str = ""
    thread_id: str = Field(default="", description="Where its moves are told.")


class Rollout(BaseModel):
    """A roll-out as it stands."""

    id: str
    tenant: str
    endpoint: str
    model_name: str
    version: int
    old_model_name: str
    old_version: int
    plan: RolloutPlan
    state: RolloutState
    step: int
    """Counted from 0; the number of steps once it is promoted."""
    share: float
    """Of the requests that the candidate answers now; of those mirrored to a shadow."""
    code: str
    reason: str
    """Why it is where it is, in words."""
    asked_by: str
    thread_id: str
    created_at: datetime
    step_at: datetime
    ended_at: datetime | None

    @property
    def shadow(self) -> bool:
        """Whether the candidate's answers are never returned."""
        return self.plan.strategy is Strategy.SHADOW


class Move(BaseModel):
    """One change of a roll-out."""

    rollout_id: str
    number: int
    at: datetime
    state: RolloutState
    step: int
    share: float
    code: str
    reason: str


class RolloutReport(BaseModel):
    """A roll-out with all that happened, and what was counted in its present step."""

    rollout: Rollout
    moves: list[Move]
    candidate: "SideReport"
    live: "SideReport"


class SideReport(BaseModel):
    """What was counted of one version's answers."""

    requests: int = 0
    errors: int = 0
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    compared: int = 0
    agreed: int = 0
    labelled: int = 0
    right: int = 0


RolloutReport.model_rebuild()
