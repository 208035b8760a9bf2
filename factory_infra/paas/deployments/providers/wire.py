"""What is said between an endpoint's server and whoever asks it, and where it lies."""

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

ROWS_MAX = 1000
BODY_BYTES_MAX = 16 * 1024 * 1024
ORDER_FILE = "serve.json"
TOKEN_HEADER = "x-lineshaft-token"  # noqa: S105 - a header's name
"""Where a proxy on the way keeps `authorization` to itself."""
TOKEN_FILE = ".token"  # noqa: S105 - a file's name
ADDRESS_FILE = "endpoint.json"


class Order(BaseModel):
    """What a server should serve."""

    model_path: str
    holdout_path: str
    model_name: str
    version: int
    host: str = "127.0.0.1"
    port: int = 0
    """0: a free one."""


class ChatOrder(BaseModel):
    """Which language model a server should serve."""

    model_path: str
    sha256: str = ""
    """What the file's digest must be; empty where nobody knows it."""
    model_name: str
    version: int


class Address(BaseModel):
    """Where a server listens, on the loopback interface."""

    port: int


class Rows(BaseModel):
    """What is asked: rows of numbers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    rows: list[list[FiniteFloat]] = Field(min_length=1, max_length=ROWS_MAX)


class Answer(BaseModel):
    """A class for each row; probabilities only where the model gives true ones."""

    labels: list[str]
    probabilities: list[list[float]] | None = None


class Complaint(BaseModel):
    """Why a request was refused."""

    code: str
    reason: str


class Holdout(BaseModel):
    """Held-out rows that came with a version."""

    class_names: list[str]
    features: int
    rows: list[list[float]]
    labels: list[str]
    predictions: list[str]
