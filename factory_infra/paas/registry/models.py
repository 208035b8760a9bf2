"""What the registry keeps of a model."""

from datetime import datetime

from pydantic import BaseModel


class ModelVersion(BaseModel):
    """One registered version: a model trained by one run."""

    tenant: str
    model_name: str
    version: int
    run_id: str
    dataset: str
    dataset_digest: str
    algorithm: str
    metrics: dict[str, float]
    archived: bool = False
    created_at: datetime
    run_url: str = ""
