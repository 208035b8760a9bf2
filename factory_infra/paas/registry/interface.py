"""The seam to the model registry."""

from pathlib import Path
from typing import Protocol

from factory_infra.paas.registry.models import ModelVersion


class Registry(Protocol):
    """Keeps versions of models with their lineage. Names are per tenant."""

    async def register(self, tenant: str, model_name: str, run_id: str, key: str) -> ModelVersion:
        """Register the run's model; the same key gives the same version again, another key a new one."""
        ...

    async def get(self, tenant: str, model_name: str, version: int | None = None) -> ModelVersion:
        """Return a version, the newest that is not archived without a number. Raises NotFound.

        Weights that the installation has pulled are version 1 of every team, under their own name, unless the team has such a model.
        """
        ...

    async def list(self, tenant: str | None = None) -> list[ModelVersion]:
        """Return all versions that are not archived, newest first."""
        ...

    async def archive(self, tenant: str, model_name: str, version: int) -> None:
        """Take a version out of use: the undo of register. Idempotent."""
        ...

    async def download(self, version: ModelVersion, folder: Path) -> Path:
        """Fetch a version's files into the folder and return the model's path: `model.onnx` with `holdout.json`, or `model.gguf`.

        Pulled weights are left where they lie.
        """
        ...
