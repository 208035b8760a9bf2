"""What a pipeline is: typed steps, what each reads and leaves, where it runs, and what it is named by."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from factory_infra.paas.training.models import ALGORITHMS

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
STEPS_MAX = 100
FILES_CHARACTERS_MAX = 200_000
"""Of all programs of a pipeline together."""
PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,39}")
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
FileRef = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,39}/[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""STEP/FILE: a file that an earlier step leaves."""


def worded(value: object) -> object:
    """A number or a flag as a program reads it: YAML and parameters know them, an argument vector knows texts only."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Word = Annotated[str, BeforeValidator(worded), StringConstraints(max_length=8192)]
RESULT = "result.json"
"""What every step leaves besides: the fields that others refer to."""


class Strict(BaseModel):
    """What every part of a pipeline is: closed to unknown names, unchanged once made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldRef(Strict):
    """A field of what an earlier step found out: of its result, or of a JSON file that it leaves."""

    step: StepId = Field(alias="from", description="The step.")
    field: str = Field(min_length=1, max_length=200, description="Its name; dots go deeper.")
    file: FileName = Field(default=RESULT, description="The file that it is in.")

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Approval(Strict):
    """Who must say yes before anything after this step begins."""

    approvals: int = Field(default=1, ge=1, le=10, description="How many different people.")
    role: Literal["user", "operator", "approver", "admin"] = "approver"
    requester_may_approve: bool = True
    expires_seconds: int = Field(default=86_400, ge=10, le=30 * 86_400)


class StepBase(Strict):
    """What every step has."""

    id: StepId
    summary: str = Field(default="", max_length=200)
    after: tuple[StepId, ...] = Field(default=(), max_length=STEPS_MAX, description="Steps that must have succeeded before.")


class JobStep(StepBase):
    """A step that is a job in a pool."""

    pool: str = Field(default="", max_length=40, description="The installation's first pool if empty.")
    slots: int = Field(default=1, ge=1, le=10_000)
    seconds: int = Field(default=600, ge=1, le=604_800, description="Longer, and it is ended.")
    attempts: int = Field(default=1, ge=1, le=10, description="Times that it is started when it fails.")
    wait_seconds: int = Field(default=0, ge=0, le=86_400, description="Between two attempts.")
    queue_seconds: int = Field(default=3600, ge=0, le=604_800, description="How long it waits for slots that are not free; 0: not at all.")
    memory_gib: float = Field(default=4.0, gt=0, le=100_000)
    cache: bool = Field(default=True, description="Off: it runs each time, even where nothing changed.")
    image: str = Field(default="", max_length=255, description="The container image, where the pool runs containers.")
    environment: dict[str, Word] = Field(default={}, max_length=64, description="Variables; never secrets: a pipeline is kept and read.")


class RunStep(JobStep):
    """A program of your own."""

    kind: Literal["run"]
    argv: tuple[Word, ...] = Field(min_length=1, max_length=256, description="The program and its arguments; no shell reads them.")
    files: dict[FileName, str] = Field(default={}, max_length=32, description="Its texts: name to content.")
    inputs: dict[FileName, FileRef] = Field(default={}, max_length=64, description="Files in its folder: name to STEP/FILE.")
    outputs: tuple[FileName, ...] = Field(default=(), max_length=64, description="Files that it must leave; text of at most 4 MiB each.")
    nodes: int = Field(default=1, ge=1, le=64)


class DataStep(StepBase):
    """A version of a dataset, its bytes checked. Leaves rows.csv; a dataset that ships leaves its name only."""

    kind: Literal["data"]
    dataset: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}(@[1-9][0-9]{0,8})?$", description="NAME for the newest, or NAME@VERSION.")


class ColumnRule(Strict):
    """What must hold of one column."""

    kind: Literal["number", "text"] | None = None
    gaps: bool = Field(default=False, description="Whether rows may have nothing here.")
    low: float | None = Field(default=None, alias="min")
    high: float | None = Field(default=None, alias="max")
    one_of: tuple[str, ...] = Field(default=(), max_length=1000)
    unique: bool = False

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ValidateStep(JobStep):
    """Rows against what must hold of them; the first that does not is named by its line. Leaves rows.csv as it came."""

    kind: Literal["validate"]
    rows: FileRef
    columns: dict[str, ColumnRule] = Field(default={}, max_length=500)
    rows_min: int = Field(default=1, ge=0)
    rows_max: int | None = Field(default=None, ge=1)
    only: bool = Field(default=False, description="No columns but these.")


class FeaturesStep(StepBase):
    """A training set of the feature store, joined as of each row's moment. Its result has set_id, digest, rows and dataset."""

    kind: Literal["features"]
    features: tuple[str, ...] = Field(min_length=1, max_length=500)
    spine: str = Field(min_length=1, max_length=200, description="The view whose events are the rows.")
    label: str = Field(default="", max_length=200)


class TrainStep(JobStep):
    """A classifier, tracked as a run. Its result has run_id, accuracy, dataset_digest and algorithm."""

    kind: Literal["train"]
    model_name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    dataset: str | FieldRef | None = Field(default=None, description="One that ships, or a training set: {from: STEP, field: dataset}.")
    rows: FileRef | None = Field(default=None, description="Or rows of numbers with a column of labels.")
    label: str = Field(default="", max_length=200, description="The column of labels, where rows are given.")
    algorithm: Literal["auto", "logistic_regression", "svm", "mlp", "k_neighbors"] = "auto"
    seed: int = Field(default=0, ge=0, le=2**31)

    @model_validator(mode="after")
    def _on_something(self) -> "TrainStep":
        if (self.dataset is None) == (self.rows is None):
            raise ValueError("give either dataset, or rows with label")
        if self.rows is not None and not self.label:
            raise ValueError("rows need a label: the column that is to be learnt")
        return self


class EvaluateStep(JobStep):
    """Predictions against the truth. Leaves metrics.json; its result has accuracy, f1_macro and rows."""

    kind: Literal["evaluate"]
    rows: FileRef
    truth: str = Field(min_length=1, max_length=200, description="The column that says what is true.")
    predicted: str = Field(min_length=1, max_length=200)


class RegisterStep(StepBase):
    """A run becomes a version of a model. Its result has model_name and version."""

    kind: Literal["register"]
    model_name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    run_id: FieldRef


class GateStep(StepBase):
    """What must hold for anything after it: a number, a person's word, or both. The number is judged first."""

    kind: Literal["gate"]
    value: FieldRef | None = None
    above: float | None = Field(default=None, description="It passes only strictly above.")
    below: float | None = Field(default=None, description="It passes only strictly below.")
    approval: Approval | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> "GateStep":
        if (self.value is None) != (self.above is None and self.below is None):
            raise ValueError("a value needs 'above' or 'below', and these need a value")
        if self.value is None and self.approval is None:
            raise ValueError("give a value with a threshold, an approval, or both")
        return self


class DeployStep(StepBase):
    """A version goes live: at once, or by a roll-out whose end is waited for and is a gate."""

    kind: Literal["deploy"]
    endpoint: str = Field(min_length=1, max_length=63)
    model_name: str = Field(min_length=1, max_length=63)
    version: int | FieldRef
    strategy: Literal["at_once", "canary", "blue_green", "shadow"] = "at_once"
    smoke: bool = Field(default=True, description="Ask it for held-out rows afterwards, where it goes live at once.")
    shares: tuple[float, ...] = Field(default=(0.01, 0.1, 0.5), max_length=20)
    step_seconds: float = Field(default=60.0, gt=0, le=86_400)
    requests_min: int = Field(default=20, ge=1)


class ToolStep(StepBase):
    """A tool that agents use, with its effect: policy judges it, and a run that fails undoes it."""

    kind: Literal["tool"]
    tool: str = Field(pattern=r"^[a-z_]+\.[a-z_]+$")
    arguments: dict[str, JsonValue] = Field(default={}, description="As the tool takes them; {from: STEP, field: NAME} fills one in.")
    gate: bool = Field(default=False, description="A result with passed=false skips every later step.")


Step = Annotated[
    RunStep | DataStep | ValidateStep | FeaturesStep | TrainStep | EvaluateStep | RegisterStep | GateStep | DeployStep | ToolStep,
    Field(discriminator="kind"),
]
Scalar = str | int | float | bool


class Parameter(Strict):
    """What may be another at each run. Without a default it must be given."""

    type: Literal["text", "int", "number", "flag"] = "text"
    default: Scalar | None = None
    one_of: tuple[Scalar, ...] = Field(default=(), max_length=100)
    description: str = Field(default="", max_length=200)


class PipelineSpec(Strict):
    """A whole pipeline, its parameters filled in."""

    pipeline: Name = Field(description="Its name.")
    description: str = Field(default="", max_length=400)
    parameters: dict[str, Parameter] = Field(default={}, max_length=50)
    project: str = Field(default="", max_length=64)
    at_once_max: int = Field(default=4, ge=1, le=64, description="Steps side by side.")
    seconds_max: int = Field(default=86_400, ge=10, le=30 * 86_400, description="The whole run; waits for people included.")
    money_max: Decimal | None = Field(default=None, ge=0, description="A run whose leases could cost more does not begin.")
    steps: tuple[Step, ...] = Field(min_length=1, max_length=STEPS_MAX)

    def step(self, name: str) -> Step:
        """The step of a name. Raises KeyError."""
        return {each.id: each for each in self.steps}[name]


def outputs_of(step: Step) -> tuple[str, ...]:
    """The files that a step leaves, its result apart."""
    if isinstance(step, RunStep):
        return step.outputs
    return {"data": ("rows.csv",), "validate": ("rows.csv",), "evaluate": ("metrics.json",)}.get(step.kind, ())


def files_read(step: Step) -> dict[str, str]:
    """Files that a step takes from others: the path within the step to STEP/FILE."""
    if isinstance(step, RunStep):
        return {f"inputs.{name}": value for name, value in step.inputs.items()}
    if isinstance(step, ValidateStep | EvaluateStep | TrainStep) and step.rows is not None:
        return {"rows": step.rows}
    return {}


def fields_read(step: Step) -> Iterator[tuple[str, FieldRef]]:
    """Fields that a step takes from others, by the path within the step."""
    for name in ("dataset", "run_id", "value", "version"):
        found = getattr(step, name, None)
        if isinstance(found, FieldRef):
            yield name, found
    if isinstance(step, ToolStep):
        for name, value in step.arguments.items():
            if (found := field_of(value)) is not None:
                yield f"arguments.{name}", found


def field_of(value: JsonValue) -> FieldRef | None:
    """The reference that an argument is, None for a plain value."""
    if isinstance(value, dict) and "from" in value and set(value) <= {"from", "field", "file"}:
        return FieldRef.model_validate(value)
    return None


def needs_of(step: Step) -> set[str]:
    """The steps that must have succeeded before this one."""
    files = {value.partition("/")[0] for value in files_read(step).values()}
    return {*step.after, *files, *(ref.step for _, ref in fields_read(step))}


assert set(ALGORITHMS) == {"auto", "logistic_regression", "svm", "mlp", "k_neighbors"}  # noqa: S101  (the words above are these)
