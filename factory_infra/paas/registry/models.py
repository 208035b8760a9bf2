"""What the registry keeps of a model."""

from datetime import datetime

from pydantic import BaseModel

GGUF = "gguf"
"""The algorithm of a version that is a language model in a GGUF file: `lineshaft.algorithm` of its run."""

LORA = "lora"
"""The algorithm of a version that is an adapter of a language model; the tag `lineshaft.base` of its run names the base."""


class ModelVersion(BaseModel):
    """One registered version: a model trained by one run. Weights that came with the installation have no run."""

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

    @property
    def chats(self) -> bool:
        """Whether it is a language model, which is asked through the gateway, and not one that names the class of a row."""
        return self.algorithm == GGUF
