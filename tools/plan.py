"""What a plan is: typed steps with a dry run, a price and an undo each. Data only, importable everywhere above the factory."""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue


class Effect(StrEnum):
    """What a tool does to the world: the class that policy decides by."""

    READ = "read"
    WRITE = "write"
    COSTLY = "costly"
    DESTRUCTIVE = "destructive"


class Frozen(BaseModel):
    """A value: closed to unknown fields, unchanged once made."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(Frozen):
    """What a step or a plan may cost, as a range with its basis."""

    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    currency: str = "USD"
    basis: str = ""


class DryRun(Frozen):
    """What live state says about a step before anything is done."""

    feasible: bool = True
    reason: str = ""
    remedy: str = ""
    code: str = ""
    quota: str = Field(default="", description="The quota it would use, in words: '2 of 4 slots of team vision'.")
    starts_in_seconds: float | None = None


class Step(Frozen):
    """One call of one tool.

    An argument may be a reference `{"from_step": ID, "field": NAME}`: the result field of an earlier step, filled in at execution.
    """

    id: str
    tool: str
    agent: str = Field(description="The roster name of the agent that answers for it.")
    summary: str
    arguments: dict[str, JsonValue] = {}
    after: tuple[str, ...] = ()
    effect: Effect = Effect.READ
    runs_as: Literal["activity", "job"] = "activity"
    gate: bool = Field(default=False, description="A result with passed=false skips every later step but those marked always.")
    always: bool = Field(default=False, description="Runs whatever happened before, if the steps that it refers to were done.")
    postcondition: str = ""
    undo: str = ""
    dry_run: DryRun | None = None
    price: Price | None = None


class Plan(Frozen):
    """What would be done, for whom, at what price: what an approval is bound to."""

    id: str
    tenant: str
    thread_id: str
    requested_by: str
    request: str = Field(description="The words that it was made from.")
    playbook: str = ""
    title: str
    steps: tuple[Step, ...]
    price: Price = Price()
    notes: tuple[str, ...] = Field(default=(), description="Defaults taken and limits met, each a sentence that the card shows.")
    planner: str = Field(default="", description="Who made it: 'playbook (embedded:…)', 'playbook (no model)', 'free (…)'.")
    expires_at: datetime | None = None

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: what an approval names; any change of the plan changes it."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def feasible(self) -> bool:
        """Whether no step's dry run refused it."""
        return all(step.dry_run is None or step.dry_run.feasible for step in self.steps)

    @property
    def has_effects(self) -> bool:
        """Whether any step changes the world, and so needs an approval."""
        return any(step.effect is not Effect.READ for step in self.steps)


class PlanState(StrEnum):
    """Where a plan is in its life."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    RUNNING = "running"
    DONE = "done"
    GATED = "gated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    EXPIRED = "expired"
