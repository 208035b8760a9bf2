"""What each blueprint is asked for."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

PROCESSES_MAX = 64
TEXT_CHARACTERS_MAX = 65_536
BASE_PATTERN = r"^$|^/[A-Za-z0-9._/-]{1,400}$"
DATASET_PATTERN = r"^$|^set:[A-Za-z0-9-]{1,64}$"


class Order(BaseModel):
    """What every blueprint is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, lt=2**31)
    processes: int = Field(default=0, ge=0, le=PROCESSES_MAX, description="On each node; as many as the lease has slots there if 0.")
    learning_rate: FiniteFloat = Field(default=0.01, gt=0, le=10)
    batch: int = Field(default=32, ge=1, le=65_536, description="Rows or pieces of one process's step.")


class DistributedOrder(Order):
    """Data-parallel training of a perceptron."""

    dataset: str = Field(default="", pattern=DATASET_PATTERN, description="A training set, set:ID; spirals from the seed if left out.")
    epochs: int = Field(default=10, ge=1, le=10_000)
    width: int = Field(default=64, ge=1, le=65_536)
    layers: int = Field(default=2, ge=1, le=64)
    rows: int = Field(default=3000, ge=30, le=10_000_000, description="Of the spirals.")


class LoraOrder(Order):
    """Fine-tuning by low-rank adapters."""

    base: str = Field(default="", pattern=BASE_PATTERN, description="A folder with a model of transformers; a tiny random one if left out.")
    text: str = Field(default="", max_length=TEXT_CHARACTERS_MAX, description="What is learnt; a few lines that ship if left out.")
    steps: int = Field(default=100, ge=1, le=1_000_000)
    rank: int = Field(default=8, ge=1, le=1024)
    length: int = Field(default=64, ge=2, le=8192, description="Tokens of a piece.")
    targets: list[str] = Field(default=[], max_length=50, description="What gets an adapter; attention and feed-forward if none.")
    width: int = Field(default=64, ge=8, le=4096, multiple_of=8, description="Of the tiny model.")
    layers: int = Field(default=2, ge=1, le=64, description="Of the tiny model.")


class Blueprint(BaseModel):
    """A way of training that is ready to run."""

    name: str
    description: str
    environment: str = Field(description="The training environment that it needs where the pool runs no images.")
    launcher: Literal["torchrun", "python"]
    program: str
    strategy: str = ""
    nodes_max: int
    order: type[Order] = Field(exclude=True)


class BlueprintResult(BaseModel):
    """What a blueprint's job left."""

    blueprint: str
    job_id: str = ""
    run_id: str = Field(description="Its run in MLflow.")
    value: float = Field(description="Accuracy on held-out rows, or the held-out loss of an LLM.")
    metrics: dict[str, float]
