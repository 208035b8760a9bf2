"""Bodies of the routes over datasets, pipelines, runs and triggers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.schemas.chat import Body
from factory_infra.paas.training.data.models import PARTS_MAX, Format
from factory_infra.paas.training.pipelines.models import Firing, PipelineRun, RunStep, Trigger
from factory_infra.paas.training.pipelines.reading import TEXT_MAX
from factory_infra.paas.training.pipelines.spec import Scalar

FileText = Annotated[str, StringConstraints(max_length=200_000)]


class Verbatim(Body):
    """A body whose texts are taken as they are: a digest or a line number of them must hold."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=False)


class NewDataset(Verbatim):
    """A file of rows: as text, in base64, or as the parts of an upload."""

    format: Format = "csv"
    text: str | None = Field(default=None, max_length=900_000, description="CSV as it is.")
    content: str | None = Field(default=None, max_length=1_000_000, description="The file's bytes in base64.")
    upload: str = Field(default="", max_length=64, description="The SHA-256 of a file whose parts were sent before.")
    parts: int = Field(default=0, ge=0, le=PARTS_MAX)
    description: str = Field(default="", max_length=400)


class NewPart(Body):
    """A part of a file."""

    content: str = Field(min_length=1, max_length=1_000_000, description="In base64: at most 700,000 bytes.")


class PartKept(BaseModel):
    """A part that is kept."""

    upload: str
    part: int
    bytes: int


class DatasetRows(BaseModel):
    """A page of rows, as the file has them."""

    columns: list[str]
    rows: list[list[str]]


class NewPipeline(Verbatim):
    """A pipeline as a file, with the files that it names by their path."""

    text: str = Field(min_length=1, max_length=TEXT_MAX)
    file: str = Field(default="pipeline.yaml", max_length=200, description="What the file is called: refusals name it.")
    files: dict[str, FileText] = Field(default={}, max_length=64, description="Path, as the pipeline writes it, to text.")
    made_from: int | None = Field(default=None, ge=0, description="The version that the change was made from; 0 for a new pipeline.")


class Checked(BaseModel):
    """A pipeline that can be."""

    pipeline: str
    digest: str
    steps: list[str]


class NewPipelineRun(Body):
    """What a run is to do."""

    parameters: dict[str, Scalar] = Field(default={}, max_length=50)
    version: int | None = Field(default=None, ge=1)
    key: str = Field(min_length=1, max_length=200, description="Idempotency key: the same key is the same run.")
    cache: bool = Field(default=True, description="Off: everything is done anew.")


class StandingWord(Body):
    """A word on a version that holds for runs to come."""

    digest: str = Field(min_length=64, max_length=64)
    days: int = Field(default=30, ge=0, le=365, description="0 takes it back.")


class RunFacts(PipelineRun):
    """A run with its steps."""

    steps: list[RunStep]


class TriggerFacts(Trigger):
    """A trigger, with where and how a push is told."""

    address: str = Field(default="", description="Of push: where the webhook sends to.")
    secret: str = Field(default="", description="Of push: shown now, and never again.")


class Heard(BaseModel):
    """What came of a push."""

    outcome: str
    run_id: str
    reason: str

    @classmethod
    def of(cls, firing: Firing) -> "Heard":
        """As whoever sent it may know."""
        return cls(outcome=firing.outcome, run_id=firing.run_id, reason=firing.reason)
