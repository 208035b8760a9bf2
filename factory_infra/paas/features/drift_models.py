"""What is watched for drift, and what a comparison finds."""

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from factory_infra.paas.features.models import Frozen, Name, Reference

Verdict = Literal["stable", "drifted", "unknown"]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
WINDOW_SECONDS_MAX = 366 * 86_400


class Thresholds(Frozen):
    """From when on a difference counts. It must be large *and* no accident."""

    psi: float = Field(default=0.2, gt=0, le=10, description="Population stability index.")
    ks: float = Field(default=0.15, gt=0, le=1, description="Kolmogorov-Smirnov: the greatest distance of the two distributions.")
    mmd: float = Field(default=0.01, gt=0, le=2, description="Of vectors: squared maximum mean discrepancy, from 0 to 2.")
    missing: float = Field(default=0.1, gt=0, le=1, description="Change of the share of values that are not there.")
    alpha: float = Field(
        default=0.001, gt=0, lt=0.5, description="How often a check may find drift where there is none; divided by the features."
    )
    features_min: int = Field(default=1, ge=1, le=500, description="So many features must drift.")


class Past(Frozen):
    """What the present is compared with: a training set, or a window of the view's history."""

    set_id: str = Field(default="", max_length=64)
    start: datetime | None = None
    end: datetime | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        """A set, or a whole window."""
        window = self.start is not None and self.end is not None
        if bool(self.set_id) == window or (self.start is None) != (self.end is None):
            raise ValueError("name a training set by set_id, or a window by start and end")
        return self


class Retraining(Frozen):
    """The plan that is proposed when drift is found."""

    model_name: ObjectName
    endpoint: ObjectName = Field(description="Where the new version takes over, by canary.")
    features: tuple[Reference, ...] = Field(min_length=1, max_length=500)
    label: Reference = Field(description="VIEW:FEATURE that the model names; that view's events are the rows.")
    train_seconds: int = Field(ge=60, le=WINDOW_SECONDS_MAX, description="How far back the training set reaches.")
    accuracy_min: float = Field(ge=0, le=1, description="The gate: the accuracy must be above it.")
    algorithm: Literal["auto", "logistic_regression", "svm", "mlp", "k_neighbors"] = "auto"
    slots: int = Field(default=1, ge=1, le=64)
    pool: str = Field(default="", max_length=40)
    lease_seconds: int = Field(default=3600, ge=60, le=86_400)
    shares: tuple[float, ...] = Field(default=(0.01, 0.1, 0.5), min_length=1, max_length=10, description="The canary's steps.")
    step_seconds: int = Field(default=60, ge=1, le=86_400)
    requests_min: int = Field(default=20, ge=0, le=1_000_000, description="Answers of the new version before a step is judged.")


class MonitorSpec(Frozen):
    """What is compared with what, how often, and what follows."""

    name: Name
    description: str = Field(default="", max_length=400)
    view: Reference | None = Field(default=None, description="The view whose newest events are watched.")
    endpoint: ObjectName | None = Field(
        default=None, description="Or the endpoint whose predictions are: what it was sent and answered, where its team keeps that."
    )
    features: tuple[Name, ...] = Field(default=(), max_length=500, description="Only these; all if left out.")
    past: Past
    window_seconds: int = Field(ge=60, le=WINDOW_SECONDS_MAX, description="How far back the present reaches.")
    rows_min: int = Field(default=50, ge=20, le=100_000, description="With fewer rows on either side nothing is said.")
    rows_max: int = Field(default=5_000, ge=100, le=50_000, description="The newest so many rows of each side are compared.")
    every_seconds: int = Field(default=3600, ge=10, le=31 * 86_400)
    thresholds: Thresholds = Thresholds()
    retraining: Retraining | None = Field(default=None, description="Without it drift is told, and nothing is proposed.")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """A view or an endpoint."""
        if (self.view is None) == (self.endpoint is None):
            raise ValueError("watch a view or an endpoint")
        return self


class Monitor(MonitorSpec):
    """A monitor as a team keeps it."""

    tenant: str
    revision: int = Field(description="Grows with each change; a change names the one that it was made from.")
    enabled: bool
    due_at: datetime
    checked_at: datetime | None
    verdict: str = Field(description="Of the last check; empty before the first.")
    created_by: str
    updated_at: datetime


class FeatureDrift(BaseModel):
    """What was found of one feature."""

    feature: str
    kind: str
    drifted: bool
    words: str = Field(description="Why it counts as drift, or what it is; a sentence.")
    psi: float | None = None
    psi_noise: float | None = Field(
        default=None, description="What the index exceeds by accident as rarely as alpha says, with so few rows."
    )
    ks: float | None = None
    ks_p: float | None = None
    mmd: float | None = None
    mmd_p: float | None = None
    missing_before: float
    missing_now: float
    since: datetime | None = Field(default=None, description="About when it began, by ADWIN over the window.")


class DriftReport(BaseModel):
    """One comparison."""

    verdict: Verdict
    reason: str
    rows_before: int
    rows_now: int
    start: datetime
    end: datetime
    features: list[FeatureDrift] = []


class Check(BaseModel):
    """A comparison as it is kept."""

    id: str
    tenant: str
    monitor: str
    at: datetime
    verdict: str
    report: DriftReport


class Alert(BaseModel):
    """Drift from its first finding until it is answered."""

    id: str
    tenant: str
    monitor: str
    check_id: str
    reason: str
    plan_id: str
    opened_at: datetime
    closed_at: datetime | None
    closed_because: str
