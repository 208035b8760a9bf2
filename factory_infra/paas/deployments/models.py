"""What a deployment is: an endpoint that serves one version of a model."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, SecretStr


class EndpointState(StrEnum):
    """Whether an endpoint should answer."""

    LIVE = "live"
    RETIRED = "retired"


class Endpoint(BaseModel):
    """A stable name that answers with one version of a model."""

    tenant: str
    name: str
    model_name: str
    version: int
    previous_version: int | None = None
    previous_model_name: str | None = None
    state: EndpointState
    url: str
    updated_at: datetime


class ChatServer(BaseModel):
    """Where a live endpoint's OpenAI-compatible server listens, and its key: for who calls it in a caller's name, never for the caller."""

    job_id: str
    url: str
    key: SecretStr
    model_name: str
    version: int


class Prediction(BaseModel):
    """What an endpoint answers."""

    model_name: str
    version: int
    labels: list[str]
    probabilities: list[list[float]] | None = None


class SmokeReport(BaseModel):
    """What the smoke test on held-out rows found."""

    rows: int
    accuracy: float
    agrees_with_training: bool
    seconds: float
