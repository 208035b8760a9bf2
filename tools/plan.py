"""What a plan is: typed steps with a dry run, a price and an undo each. Data only, importable everywhere above the factory."""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer


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
    template: str = Field(default="", description="The CloudFormation template by which what is long-lived would be made.")

    @model_serializer(mode="wrap")
    def _without_empty_template(self, write: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """Leave out what most steps have not: the digest of a plan of before stays what was approved."""
        written: dict[str, JsonValue] = write(self)
        return {name: value for name, value in written.items() if name != "template" or value}


class Bounds(Frozen):
    """How far one run may go: hard, whatever a model or a plan says."""

    steps_max: int = Field(default=24, ge=1)
    model_calls_max: int = Field(default=40, ge=0)
    tokens_max: int = Field(default=200_000, ge=0)
    money_max: Decimal | None = Field(default=None, description="In the price book's currency; None leaves it to the team's budget.")
    seconds_max: float = Field(default=86_400.0, gt=0, description="Wall time of planning, and again of execution; people's time is free.")
    depth_max: int = Field(default=3, ge=1, description="How deep agents may hand work on to other agents.")


class Verdict(Frozen):
    """What the policy says of a plan: run it at once, ask people, or refuse it; and how far it may go."""

    decision: Literal["run", "approve", "refuse"]
    approvals: int = Field(default=0, description="How many different people must approve.")
    role: str = Field(default="approver", description="The least role of who may approve.")
    requester_may_approve: bool = True
    expires_seconds: float = Field(default=86_400.0, description="How long an approval may be waited for, and how long it is good for.")
    reasons: tuple[str, ...] = Field(default=(), description="Each rule that decided, as a sentence that the card shows.")
    code: str = ""
    remedy: str = ""
    policy: str = Field(default="", description="Version and digest of the policy file that said so.")
    bounds: Bounds = Bounds()


class Scope(Frozen):
    """What a run may do: fixed from the request and the factory's facts before any text from outside is read. It only ever narrows."""

    tools: tuple[str, ...] = Field(description="Tools with an effect that the request asks for; reads are always allowed.")
    objects: tuple[str, ...] = Field(default=(), description="Names that the request gave or the factory's facts link it to.")
    limits: dict[str, int] = Field(default={}, description="Most of a number that an effect may use, by argument name: {'slots': 2}.")


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


def references(step: Step) -> set[str]:
    """The steps whose results this one's arguments take."""
    return {str(value["from_step"]) for value in step.arguments.values() if isinstance(value, dict) and "from_step" in value}


class Plan(Frozen):
    """What would be done, for whom, at what price: what an approval is bound to."""

    id: str
    tenant: str
    thread_id: str
    requested_by: str
    requester_role: str = ""
    request: str = Field(description="The words that it was made from.")
    playbook: str = ""
    title: str
    steps: tuple[Step, ...]
    price: Price = Price()
    notes: tuple[str, ...] = Field(default=(), description="Defaults taken and limits met, each a sentence that the card shows.")
    planner: str = Field(default="", description="Who made it: 'playbook (embedded:…)', 'playbook (no model)', 'free (…)'.")
    expires_at: datetime | None = None
    revision: int = Field(default=1, description="Grows when a person edits the plan; each revision has its own digest.")
    verdict: Verdict | None = Field(default=None, description="What the policy said when it was proposed.")
    scope: Scope | None = Field(default=None, description="What its run may do; a step outside is refused at execution too.")
    lessons: tuple[str, ...] = Field(default=(), description="Ids of the lessons that shaped it.")
    project: str = Field(default="", description="The team's project that it is charged to; empty for none.")

    @model_serializer(mode="wrap")
    def _without_empty_project(self, write: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        """Leave out what most plans have not: the digest of one of before stays what was approved."""
        written: dict[str, JsonValue] = write(self)
        return {name: value for name, value in written.items() if name != "project" or value}

    def problem(self) -> str:
        """What makes the plan impossible to run whatever the world is like: a sentence, or empty where nothing does."""
        known = [step.id for step in self.steps]
        if len(set(known)) < len(known):
            return f"Two steps are called alike: {', '.join(known)}."
        needs = {step.id: {*step.after, *references(step)} for step in self.steps}
        strangers = sorted({name for names in needs.values() for name in names} - set(known))
        if strangers:
            return f"Steps refer to steps that are not there: {', '.join(strangers)}."
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            return f"Steps wait for each other: {', '.join(error.args[1])}."
        return ""

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
    PAUSED = "paused"
    DONE = "done"
    GATED = "gated"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    EXPIRED = "expired"
    ESCALATED = "escalated"
    UNDONE = "undone"
