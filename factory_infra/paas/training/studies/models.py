"""What a study is: a search for the parameters with which a program does best, by trials that are jobs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from factory_infra.paas.training.studies.space import PARAMETER_PATTERN, Parameter, Scalar, combinations, outside

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
PARAMETERS_MAX = 50
TRIALS_MAX = 1000
PARALLEL_MAX = 64
STUDY_SECONDS_MAX = 604_800
STARTS_MAX = 3
"""So often is a trial started whose host is lost."""
Word = Annotated[str, StringConstraints(min_length=1, max_length=8192)]
Text = Annotated[str, StringConstraints(max_length=65_536)]
ParameterName = Annotated[str, StringConstraints(pattern=PARAMETER_PATTERN)]


class Closed(BaseModel):
    """Base of what comes through a door."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TabularProgram(Closed):
    """Our own program: a classifier of rows. It reports after each epoch, or after each growing share of the rows."""

    kind: Literal["tabular"] = "tabular"
    dataset: str = Field(min_length=1, max_length=128, description="One that ships, or set:ID of a training set.")
    algorithm: Literal["mlp", "logistic_regression", "svm", "k_neighbors", "random_forest"]
    epochs: int = Field(default=30, ge=1, le=1000, description="Of mlp; of the others so many growing shares of the rows, at most 8.")


class CommandProgram(Closed):
    """A program of one's own. Its folder holds `trial.json`; what it reports goes to `reports.jsonl`, its value to `result.json`."""

    kind: Literal["command"] = "command"
    argv: list[Word] = Field(min_length=1, max_length=256, description="No shell reads them. {NAME} is put in place of a parameter.")
    inputs: dict[str, Text] = Field(default={}, max_length=64, description="Files in its folder when it starts: name to text.")
    environment: dict[str, str] = Field(default={}, max_length=128, description="Variables; not for secrets: a study is kept and read.")
    python: str = Field(default="", max_length=63, description="A training environment, such as lora: `python` in argv[0] is its own.")
    image: str = Field(default="", max_length=255, description="The container image, where the pool runs containers.")


Program = Annotated[TabularProgram | CommandProgram, Field(discriminator="kind")]


class Pruner(Closed):
    """When a trial is ended early: it does worse than others did as far as it has come."""

    kind: Literal["none", "median", "percentile", "asha"] = "median"
    startup_trials: int = Field(default=5, ge=1, le=TRIALS_MAX, description="Of median and percentile: so many trials end undisturbed.")
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000, description="A trial is left alone up to this step.")
    percentile: float = Field(default=25.0, gt=0, lt=100, description="Of percentile: go on only in the best so many per cent.")
    steps_min: int = Field(default=1, ge=1, le=1_000_000, description="Of asha: the first rung.")
    reduction: int = Field(default=3, ge=2, le=16, description="Of asha: one of so many goes on from rung to rung.")


class Bounds(Closed):
    """Where a study ends, whatever it has found."""

    trials_max: int = Field(default=30, ge=1, le=TRIALS_MAX)
    parallel: int = Field(default=2, ge=1, le=PARALLEL_MAX, description="Trials at one time; the lease's slots bound them too.")
    seconds_max: int = Field(default=3600, ge=1, le=STUDY_SECONDS_MAX, description="Wall time from its start.")
    trial_seconds_max: int = Field(default=3600, ge=1, le=STUDY_SECONDS_MAX, description="Wall time of one trial.")
    slot_hours_max: float | None = Field(default=None, gt=0, le=1_000_000, description="Slots times hours of all trials together.")
    failures_max: int = Field(default=5, ge=1, le=TRIALS_MAX, description="So many failed trials one after another end it.")
    value_enough: FiniteFloat | None = Field(default=None, description="A trial that reaches this ends it.")


class StudySpec(Closed):
    """What is searched, with what, and how far."""

    name: str = Field(pattern=NAME_PATTERN, description="Its experiment in MLflow is TEAM/NAME.")
    space: dict[ParameterName, Parameter] = Field(min_length=1, max_length=PARAMETERS_MAX)
    program: Program
    direction: Literal["maximize", "minimize"] = "maximize"
    metric: str = Field(default="value", pattern=r"^[A-Za-z0-9_./ -]{1,64}$", description="What the value is; a key of result.json.")
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    seed: int = Field(default=0, ge=0, lt=2**31)
    startup_trials: int = Field(default=10, ge=1, le=TRIALS_MAX, description="Of tpe: so many trials are drawn at random first.")
    pruner: Pruner = Pruner()
    bounds: Bounds = Bounds()
    first: list[dict[ParameterName, Scalar]] = Field(default=[], max_length=TRIALS_MAX, description="Parameters to try before all others.")
    slots_per_trial: int = Field(default=1, ge=1, le=1024)
    memory_gib: float = Field(default=2.0, gt=0, le=100_000, description="Of one trial.")

    @model_validator(mode="after")
    def _consistent(self) -> "StudySpec":
        for number, parameters in enumerate(self.first):
            if wrong := outside(self.space, parameters):
                raise ValueError(f"first[{number}]: {wrong}")
        if self.sampler == "grid" and combinations(self.space) is None:
            raise ValueError("a grid needs a step for every float, and at most a million combinations")
        return self


class StudyState(StrEnum):
    """Where a study is. `stopping`: what still runs is being ended."""

    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self not in {StudyState.RUNNING, StudyState.STOPPING}


class TrialState(StrEnum):
    """Where a trial is. `asked`: its parameters are chosen, its job not started. `pruning`: it is being ended as too bad."""

    ASKED = "asked"
    RUNNING = "running"
    PRUNING = "pruning"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Whether nothing follows."""
        return self in {TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED, TrialState.STOPPED}


class Report(BaseModel):
    """A value that a trial reached on its way."""

    step: int = Field(ge=0, le=10**9)
    value: FiniteFloat


class Trial(BaseModel):
    """One set of parameters, and what came of it."""

    model_config = ConfigDict(from_attributes=True)

    study_id: str
    number: int
    state: TrialState
    parameters: dict[str, Scalar]
    value: float | None = None
    reports: list[Report] = []
    job_id: str
    slots: list[int] = []
    run_id: str = Field(default="", description="Its run in MLflow.")
    starts: int = 0
    code: str = ""
    reason: str = ""
    asked_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None

    def slot_seconds(self, slots: int, now: datetime) -> float:
        """Slots times seconds that its job has run."""
        return slots * max(((self.ended_at or now) - self.started_at).total_seconds(), 0.0) if self.started_at else 0.0


class Study(BaseModel):
    """A study as it stands."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    tenant: str
    name: str
    spec: StudySpec
    state: StudyState
    lease_id: str
    plan_id: str = ""
    run_id: str = Field(default="", description="Its run in MLflow, under which those of its trials lie.")
    run_url: str = ""
    best_number: int | None = None
    best_value: float | None = None
    code: str = Field(default="", description="Why it ended, in one word.")
    reason: str = ""
    created_by: str
    created_at: datetime
    ended_at: datetime | None = None


class StudyReport(BaseModel):
    """A study with its best trial and how many trials are in which state."""

    study: Study
    best: Trial | None = None
    trials: dict[str, int]
    slot_hours: float
